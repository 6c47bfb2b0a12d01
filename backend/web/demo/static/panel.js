/** "What is happening?" at the foot of each page: who you are to the server, and a way to start over. */

import { clear } from "./cart.js";
import { forgetOrder } from "./checkout.js";
import { load } from "./store.js";
import { forget } from "./tell.js";

const COOKIE = "chimein_id";
const STORED = "chimein:demo:id"; // where the library keeps it where cookies are refused

/** Fills the panel in whenever it is opened, because the id may come later than the page. */
export function openPanel() {
  const panel = document.querySelector("#panel");
  panel.addEventListener("toggle", () => panel.open && fill());
  document.querySelector("#start-over").addEventListener("click", () => {
    forget();
    clear();
    forgetOrder();
    location.assign(document.querySelector(".brand").href);
  });
}

function fill() {
  const id = anonymousId();
  const curl = document.querySelector("#card-curl");
  document.querySelector("#anonymous-id").textContent = id ?? "none; the library has not loaded, or may not keep one";
  const address = `${curl.dataset.host}/api/v1/sites/demo/visitors?anonymous_id=${id ? encodeURIComponent(id) : "…"}`;
  curl.textContent = `curl -H "Authorization: Bearer $TOKEN" '${address}'`;
}

function anonymousId() {
  const cookie = document.cookie.split("; ").find((part) => part.startsWith(`${COOKIE}=`));
  return cookie?.slice(COOKIE.length + 1) || load("localStorage", STORED)?.anonymousId || null;
}
