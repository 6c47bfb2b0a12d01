// The editor of a segment: what editor.js does, and how many belong to it now.
(function () {
  "use strict";
  const told = JSON.parse(document.getElementById("editor").dataset.told);
  const form = document.getElementById("editor-form"), json = document.getElementById("editor-json");
  const counted = document.getElementById("counted");
  let whole = told.whole, asked = 0, condition = whole.condition;
  const { make, fill, changed, post: send, show } = window.chimeinEditor({ form, json, told, whole: () => whole, replace: (next) => { whole = next; }, draw, look });
  const post = (address, more) => send(address, { whole: JSON.stringify(whole), id: told.id, ...more });

  function draw() {
    fill();
    const kind = form.querySelector(`[name="kind"][value="${whole.manual ? "manual" : "condition"}"]`);
    if (kind) kind.checked = true;
    const rows = form.querySelector("[data-rows]");
    if (rows) rows.hidden = !!whole.manual;
    document.getElementById("count-card").hidden = !!whole.manual;
  }
  form.addEventListener("change", (event) => {
    if (event.target.name !== "kind") return;
    if (event.target.value === "manual") { condition = whole.condition; delete whole.condition; whole.manual = true; } else { delete whole.manual; whole.condition = condition; }
    changed();
  });
  const number = (value) => value.toLocaleString("en");
  async function look(always) {
    const mine = ++asked, count = always === true || told.often;
    if (count && !whole.manual) counted.setAttribute("aria-busy", "true");
    try {
      const found = await post(told.check, count ? { count: "on" } : {});
      if (mine !== asked) return; // something newer is on its way
      show(found.mistakes, []);
      counted.removeAttribute("aria-busy");
      if (found.size !== undefined) counted.replaceChildren(make("p", { class: "counted" }, make("b", {}, number(found.size)), ` of ${number(found.total)} visitors`, ...(found.total ? [make("span", { class: "quiet" }, ` (${(100 * found.size / found.total).toFixed(1)} %)`)] : [])));
      else if (found.mistakes.length) counted.replaceChildren(make("p", { class: "quiet" }, "It is counted when it can be read."));
    } catch (error) { if (mine === asked) document.getElementById("verdict").textContent = error.message; }
  }
  document.getElementById("count").addEventListener("click", () => look(true));
  document.getElementById("save").addEventListener("click", async (event) => {
    event.target.disabled = true;
    try {
      const done = await post(told.save, { version: told.version });
      if (done.saved) { window.location.assign(done.saved); return; }
      show(done.mistakes, []);
    } catch (error) { window.chimeinConsole.toast(error.message, true); }
    event.target.disabled = false;
  });

  draw();
  look();
})();
