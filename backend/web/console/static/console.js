// What every page of the console does: errors as toasts, menus that close, times in the reader's own zone, the stream.
(function () {
  "use strict";

  const chimein = (window.chimeinConsole = { on, toast, csrf });
  const listeners = {};

  function csrf() {
    try { return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"]; } catch (error) { return ""; }
  }

  function toast(text, bad) {
    const box = document.getElementById("toasts");
    if (!box || !text) return;
    const made = document.createElement("div");
    made.className = bad ? "toast bad" : "toast";
    made.textContent = text;
    box.append(made);
    setTimeout(() => made.remove(), bad ? 7000 : 3500);
  }

  // -- htmx ---------------------------------------------------------------------------------------------------------

  function told(xhr) {
    try { return JSON.parse(xhr.responseText).message; } catch (error) { return ""; }
  }
  document.addEventListener("htmx:responseError", (event) => {
    const xhr = event.detail.xhr;
    if (xhr.status !== 401) toast(told(xhr) || "That did not work.", true);
  });
  document.addEventListener("htmx:sendError", () => toast("The server cannot be reached.", true));
  document.addEventListener("toast", (event) => toast(event.detail.value || event.detail, false));
  document.addEventListener("htmx:load", (event) => times(event.target));

  // -- times --------------------------------------------------------------------------------------------------------

  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
  function times(root) {
    const found = root.querySelectorAll ? root.querySelectorAll("time[datetime]") : [];
    for (const each of found) {
      const moment = new Date(each.getAttribute("datetime"));
      if (isNaN(moment)) continue;
      each.title = whole.format(moment);
      if (each.dataset.show === "clock") each.textContent = clock.format(moment);
      if (each.dataset.show === "whole") each.textContent = whole.format(moment);
    }
  }
  chimein.times = times;
  function tick() {
    for (const each of document.querySelectorAll('time[data-show="ago"]')) {
      each.textContent = ago((Date.now() - new Date(each.getAttribute("datetime"))) / 1000, each.textContent);
    }
  }
  function ago(seconds, otherwise) {
    if (seconds < 45) return "now";
    if (seconds < 45 * 60) return Math.max(1, Math.round(seconds / 60)) + " min";
    if (seconds < 18 * 3600) return Math.max(1, Math.round(seconds / 3600)) + " h";
    if (seconds < 7 * 86400) return Math.max(1, Math.round(seconds / 86400)) + " d";
    return otherwise;
  }
  setInterval(tick, 20000);

  // -- menus --------------------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    for (const each of document.querySelectorAll("details.menu[open]")) {
      if (!each.contains(event.target) || event.target.closest("[data-close]")) each.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const each of document.querySelectorAll("details.menu[open]")) {
      each.open = false;
      each.querySelector("summary").focus();
    }
  });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches && event.target.matches("details.menu") && event.target.open) {
      const first = event.target.querySelector("[autofocus], input[name]:not([type=hidden])");
      if (first) first.focus();
    }
  }, true);

  // -- the stream: what happens on the site, as it happens; where it cannot be had, listeners are asked to look ------

  function on(name, listener) {
    (listeners[name] = listeners[name] || []).push(listener);
    begin();
  }
  function tell(name, data) {
    for (const each of listeners[name] || []) each(data);
  }
  const QUIET = 2.5; // beats that may be missed before a stream counts as dead
  let source = null, failures = 0, poll = 0, again = 0, heard = 0, beat = 15;
  function begin() {
    const address = document.body.dataset.live;
    if (source || !address || !window.EventSource) return;
    heard = Date.now();
    source = new EventSource(address, { withCredentials: true });
    source.onerror = () => {
      lost();
      if (source && source.readyState === 2) later();
    };
    source.addEventListener("hello", (event) => {
      heard = Date.now();
      try { beat = JSON.parse(event.data).beat || beat; } catch (error) { /* as before */ }
      clearInterval(poll);
      poll = failures = 0;
      document.body.dataset.stream = "open";
      tell("look", {}); // what happened since the page was made, or the stream was lost, is not told again
    });
    source.addEventListener("beat", () => { heard = Date.now(); });
    for (const name of ["part", "marks", "typing", "presence", "visitor", "changed"]) {
      source.addEventListener(name, (event) => {
        heard = Date.now();
        let data;
        try { data = JSON.parse(event.data); } catch (error) { return; }
        tell(name, data);
      });
    }
  }
  function lost() {
    failures += 1;
    document.body.dataset.stream = "lost";
    if (!poll) poll = setInterval(() => { if (!document.hidden) tell("look", {}); }, 5000);
  }
  function later() {
    if (source) source.close();
    source = null;
    clearTimeout(again);
    again = setTimeout(begin, Math.min(5000, 500 * Math.pow(2, Math.min(failures, 4))) * (0.7 + Math.random() * 0.6));
  }
  // A connection can die without a word: a lid was shut, a network changed. Then no beat comes any more.
  function check() {
    if (source && Date.now() - heard > QUIET * beat * 1000) { lost(); later(); }
  }
  setInterval(check, 2000);
  window.addEventListener("online", () => { if (source) { lost(); later(); } });
  window.addEventListener("pageshow", (event) => { if (event.persisted) { lost(); later(); } });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    check();
    if (poll) tell("look", {});
  });

  // Where one is, in a row that is longer than the screen.
  for (const each of document.querySelectorAll(".tabs [aria-current], .rail nav [aria-current]")) {
    const row = each.parentElement;
    if (row.scrollWidth > row.clientWidth) row.scrollLeft = each.offsetLeft - row.offsetLeft - (row.clientWidth - each.offsetWidth) / 2;
  }
  times(document);
})();
