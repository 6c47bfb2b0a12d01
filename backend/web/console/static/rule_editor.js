// The editor of a rule: what editor.js does, and the channels, the variants and a preview of what they say.
(function () {
  "use strict";
  const told = JSON.parse(document.getElementById("rule-editor").dataset.told);
  const form = document.getElementById("rule-form"), json = document.getElementById("rule-json");
  let rule = told.rule, asked = 0, named = Boolean(told.id);
  const { get, set, make, plain, read, isObject, fill, changed, post: send, show } = window.chimeinEditor({ form, json, told, whole: () => rule, replace: (next) => { rule = next; }, draw, look });
  const post = (address, more) => send(address, { rule: JSON.stringify(rule), id: told.id || "", ...more });

  // -- variants -----------------------------------------------------------------------------------------------------
  const TEXTS = [["title", "Title"], ["body", "Text", true], ["button.text", "Button"], ["button.url", "Leads to"], ["subject", "Subject of the mail"]];
  function variant(each, place) {
    const path = `message.variants.${place}`;
    const field = (name, label, long) => {
      const at = `${path}.${name}`;
      return make("label", { class: "field" }, label, make(long ? "textarea" : "input", { "data-at": at, value: plain(get(at)), rows: long ? 3 : undefined, oninput: (e) => { set(at, name === "weight" ? read(e.target.value) || undefined : e.target.value || undefined); changed(true); } }));
    };
    const mail = (get("message.channels") || []).includes("email");
    return make("fieldset", { class: "variant" }, make("legend", {}, `Variant ${each.name || place + 1}`), make("div", { class: "two" }, field("name", "Name"), field("weight", "Weight")), ...TEXTS.filter(([name]) => name !== "subject" || mail).map(([name, label, long]) => field(`content.${name}`, label, long)),
      make("div", {}, make("button", { type: "button", class: "button bare small", onclick: () => { rule.message.variants.splice(place, 1); changed(); } }, "Remove this variant")));
  }

  // -- drawing ------------------------------------------------------------------------------------------------------
  function draw() {
    fill();
    form.querySelector('[data-other="trigger"]').hidden = !rule.trigger || typeof rule.trigger.event === "string";
    form.querySelector('[data-other="message"]').hidden = !rule.steps;
    const ways = get("message.channels") || [];
    document.getElementById("channels").replaceChildren(...told.channels.map((each) => {
      const box = make("input", { type: "checkbox", value: each, onchange: (e) => { set("message.channels", e.target.checked ? [...ways, each] : ways.filter((one) => one !== each)); changed(); } });
      box.checked = ways.includes(each);
      return make("label", { class: "check" }, box, each);
    }));
    const said = get("message.variants");
    document.getElementById("variants").replaceChildren(...(Array.isArray(said) ? said.filter(isObject).map(variant) : []));
  }
  document.getElementById("add-variant").addEventListener("click", () => {
    const now = Array.isArray(get("message.variants")) ? get("message.variants") : [];
    set("message.variants", [...now, { name: String.fromCharCode(65 + now.length % 26), content: { title: "", body: "" } }]);
    changed();
  });

  // -- what the server says -----------------------------------------------------------------------------------------
  function preview(said) {
    const ways = get("message.channels") || [], names = (get("message.variants") || []).map((each) => (each && each.name) || "");
    const shown = [];
    said.said.forEach((each, place) => {
      if (each.mistake) { shown.push(make("p", { class: "notice warn" }, `${names[place]}: not said. ${each.mistake}`)); return; }
      const content = each.content, button = content.button && content.button.text;
      for (const way of ways) {
        shown.push(make("figure", { class: `said said-${way}` }, make("figcaption", {}, `${names[place]} · ${way}`), make("div", { class: "said-box" },
          ...(way === "email" ? [make("b", { class: "said-subject" }, content.subject || "(no subject)")] : content.title ? [make("b", {}, content.title)] : []),
          make("p", {}, content.body || ""), ...(button ? [make("span", { class: "said-button" }, button)] : []))));
      }
    });
    document.getElementById("preview").replaceChildren(...(said.visitor === null ? [make("p", { class: "quiet" }, "Choose a visitor to see their names filled in.")] : shown));
  }
  async function look() {
    const mine = ++asked;
    try {
      const [found, said] = await Promise.all([post(told.check), post(told.preview, { visitor: document.getElementById("preview-visitor").value })]);
      if (mine !== asked) return; // something newer is on its way
      // A rule that nobody has named yet is no mistake before one says "save".
      const early = !named && !rule.name && found.mistakes.length === 1 && found.mistakes[0][0] === "name";
      show(early ? [] : found.mistakes, found.warnings);
      if (early) document.getElementById("verdict").textContent = "Give it a name";
      preview(said);
    } catch (error) { if (mine === asked) document.getElementById("verdict").textContent = error.message; }
  }
  document.getElementById("preview-visitor").addEventListener("change", look);
  document.getElementById("save").addEventListener("click", async (event) => {
    event.target.disabled = true;
    named = true;
    try {
      const move = document.getElementById("move");
      const done = await post(told.save, { version: told.version || "", enrolled: move && move.checked ? "move" : "keep" });
      if (done.saved) { window.location.assign(done.saved); return; }
      show(done.mistakes, done.warnings);
    } catch (error) { window.chimeinConsole.toast(error.message, true); }
    event.target.disabled = false;
  });

  draw();
  look();
})();
