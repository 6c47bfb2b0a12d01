// What the pages about visitors, rules and the site do by themselves: pieces that renew, and what is copied.
(function () {
  "use strict";

  // A piece with data-renew asks for itself every so many seconds, unless nobody looks, or somebody is at something in it.
  function busy(target) {
    return document.hidden || !target || target.querySelector("details[open]") || target.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  }
  setInterval(() => {
    for (const each of document.querySelectorAll("[data-renew]")) {
      const due = Number(each.dataset.due || 0);
      if (!due) { each.dataset.due = String(Date.now() + Number(each.dataset.renew) * 1000); continue; }
      if (Date.now() < due || busy(document.querySelector(each.getAttribute("hx-target")))) continue;
      each.dataset.due = String(Date.now() + Number(each.dataset.renew) * 1000);
      each.dispatchEvent(new CustomEvent("renew"));
    }
  }, 500);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    if (!source || !navigator.clipboard) return;
    navigator.clipboard.writeText(source.value || source.textContent).then(() => {
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  });
})();
