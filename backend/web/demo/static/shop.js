/** Starts what the open page needs; the page says which one it is. */

import { add, cart, count, watch } from "./cart.js";
import { basketPage, detailsPage, paymentPage, thanksPage } from "./checkout.js";
import { openPanel } from "./panel.js";
import { introduce, track } from "./tell.js";

const pages = {
  product: productPage,
  cart: () => basketPage(watch),
  checkout: detailsPage,
  payment: paymentPage,
  "thank-you": thanksPage,
  contact: () => document.forms.contact?.addEventListener("submit", (event) => introduce(event.target)),
};

watch(() => {
  const pieces = count(cart());
  document.querySelector("[data-count]").textContent = pieces;
  document.querySelector("[data-count-words]").textContent =
    pieces === 0 ? ", empty" : `, ${pieces} ${pieces === 1 ? "piece" : "pieces"}`;
});
openPanel();

// What the server knows about this page (which product, which list), it has written on the body.
const { page, event } = document.body.dataset;
if (event) {
  const { name, properties } = JSON.parse(event);
  track(name, properties);
}
pages[page]?.();

function productPage() {
  const form = document.querySelector("#add");
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const product = JSON.parse(form.dataset.product);
    const added = add(product, form.elements.quantity.value);
    const link = Object.assign(document.createElement("a"), {
      href: document.querySelector(".basket").href,
      textContent: "See the basket",
    });
    const said = added > 0 ? `${added} × ${product.name} added. ` : "Twenty is the most we can send at once. ";
    document.querySelector("#added").replaceChildren(said, link);
  });
}
