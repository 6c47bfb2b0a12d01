// The editor of a funnel: what editor.js does, and its stages in order, those of one's own with their conditions.
(function () {
  "use strict";
  const told = JSON.parse(document.getElementById("editor").dataset.told);
  const form = document.getElementById("editor-form"), json = document.getElementById("editor-json");
  const list = document.getElementById("stages"), add = document.getElementById("add"), save = document.getElementById("save");
  let whole = told.whole;
  const { set, make, fill, changed, post, show, isObject } = window.chimeinEditor({ form, json, told, whole: () => whole, replace: (next) => { whole = next; }, draw, look: () => {} });
  const stages = () => (Array.isArray(whole.stages) ? whole.stages : []);

  function move(from, to) {
    const next = [...stages()], [one] = next.splice(from, 1);
    if (to !== null) next.splice(to, 0, one);
    whole.stages = next;
    changed();
  }
  function stage(each, place) {
    const own = isObject(each), path = `stages.${place}`, last = stages().length - 1;
    const button = (sign, label, to, off) => make("button", { type: "button", class: "button bare icon-only", "aria-label": label, disabled: off || !save, onclick: () => move(place, to) }, sign);
    const name = own ? make("label", { class: "field" }, make("span", { class: "sr" }, "Name of the stage"), make("input", { "data-path": `${path}.name`, maxlength: "50", placeholder: "Its name", readonly: !save })) : make("b", {}, String(each));
    const parts = [make("div", { class: "stage-top" }, make("span", { class: "number" }, `${place + 1}`), name, ...(own ? [] : [make("span", { class: "badge" }, "built in")]), button("↑", "Earlier", place - 1, place === 0), button("↓", "Later", place + 1, place === last), button("×", "Take this stage away", null, stages().length <= 2))];
    if (own && place > 0) {
      parts.push(make("h3", {}, "Somebody enters it when"), make("div", { "data-rows": `${path}.enter` }));
      if (each.leave !== undefined) parts.push(make("h3", {}, "and leaves it when"), make("div", { "data-rows": `${path}.leave` }));
      else if (save) parts.push(make("div", {}, make("button", { type: "button", class: "button bare small", onclick: () => { set(`${path}.leave`, { performed: "Order Completed" }); changed(); } }, "Leaves it by a condition of its own…")));
    }
    return make("li", { "data-mark": path }, ...parts);
  }
  function draw() {
    list.replaceChildren(...stages().map(stage));
    fill();
    if (add) {
      const missing = told.builtin.filter((each) => !stages().includes(each));
      const put = (text, fresh, place) => make("button", { type: "button", class: "button small", onclick: () => { whole.stages = [...stages()]; whole.stages.splice(place, 0, fresh); changed(); } }, text);
      add.replaceChildren(put("Add one of your own", { name: "", enter: { performed: "Order Completed" } }, stages().length), ...missing.map((each) => put(`Add “${each}”`, each, at(each))));
    }
  }
  // Built-in stages keep their order: behind the last that comes before.
  const at = (name) => stages().reduce((place, each, here) => (told.builtin.includes(each) && told.builtin.indexOf(each) < told.builtin.indexOf(name) ? here + 1 : place), 0);

  if (save) {
    save.addEventListener("click", async () => {
      save.disabled = true;
      try {
        const done = await post(told.save, { whole: JSON.stringify(whole) });
        if (done.saved) { window.location.assign(done.saved); return; }
        show(done.mistakes, done.warnings);
        if (!done.mistakes.length) document.getElementById("verdict").textContent = "Saved. Mind what is said above.";
      } catch (error) { window.chimeinConsole.toast(error.message, true); }
      save.disabled = false;
    });
  } else json.readOnly = true;
  draw();
  if (!save) form.querySelectorAll("input, select, button").forEach((each) => { each.disabled = true; });
})();
