// What every editor of a document does: one document, shown as a form and as JSON; whichever is changed, the other follows.
// Conditions stand one in a row; mistakes beside what they are about. An editor calls
// `chimeinEditor({ form, json, told, whole, replace, draw, look })` and draws what is its own.
(function () {
  "use strict";
  window.chimeinEditor = function ({ form, json, told, whole, replace, draw, look }) {
    let timer = 0;
    // -- the document -------------------------------------------------------------------------------------------------
    const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    function get(path) {
      return path.split(".").reduce((at, key) => (at === null || at === undefined ? undefined : at[key]), whole());
    }
    function set(path, value) {
      const keys = path.split("."), last = keys.pop();
      let at = whole();
      for (const key of keys) {
        if (at[key] === null || typeof at[key] !== "object") { if (value === undefined) return; at[key] = {}; }
        at = at[key];
      }
      if (value === undefined) delete at[last]; else at[last] = value;
      if (value === undefined && keys.length && isObject(at) && !Object.keys(at).length && keys[0] !== "message") set(keys.join("."), undefined);
    }
    function make(tag, attributes, ...children) {
      const made = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes || {})) {
        if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
        else if (name === "value") made.value = value;
        else if (value === true) made.setAttribute(name, "");
        else if (value !== false && value !== undefined) made.setAttribute(name, value);
      }
      made.append(...children);
      return made;
    }
    const options = (names, chosen) => names.map((each) => {
      const [value, text] = Array.isArray(each) ? each : [each, each];
      const made = make("option", { value }, text);
      made.selected = value === chosen;
      return made;
    });

    // -- conditions, one row each -------------------------------------------------------------------------------------
    function plain(value) { return value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value); }
    function read(text) {
      if (/^(-?\d+(\.\d+)?|true|false|\[.*\]|\{.*\}|".*")$/s.test(text.trim())) { try { return JSON.parse(text); } catch (error) { /* text */ } }
      return text;
    }
    // Lists are written as people write them: "cart, checkout"; what holds a comma itself stays JSON.
    const several = (op) => /^(not_)?in$|^between$/.test(op);
    const simple = (each) => typeof each === "number" || (typeof each === "string" && each.trim() === each && each !== "" && !/[,"[{]/.test(each) && read(each) === each);
    const listed = (value) => (Array.isArray(value) && value.length && value.every(simple) ? value.join(", ") : plain(value));
    function readFor(op, text) {
      const value = read(text);
      if (!several(op) || typeof value === "object") return value;
      return text.split(",").map((each) => each.trim()).filter(Boolean).map(read);
    }
    function inside(condition) {
      const not = isObject(condition) && isObject(condition.not) && Object.keys(condition).length === 1;
      return [not, not ? condition.not : condition];
    }
    function kind(condition) {
      const keys = isObject(condition) ? Object.keys(condition).sort().join() : "";
      if (/^field,op(,value)?$/.test(keys)) return "field";
      if (/^performed(,within)?$/.test(keys)) return "performed";
      return keys === "segment" ? "segment" : "json";
    }
    function row(condition, path, change, remove) {
      const [not, core] = inside(condition), which = kind(core), place = not ? path + ".not" : path;
      const put = (next) => change(not ? { not: next } : next);
      const parts = [];
      if (which === "field") {
        parts.push(make("input", { list: "fields", value: core.field, "aria-label": "Field", placeholder: "profile.stage", "data-at": place + ".field", oninput: (e) => { core.field = e.target.value; put(core); } }));
        parts.push(make("select", { "aria-label": "Comparison", "data-at": place + ".op", onchange: (e) => { core.op = e.target.value; if (/is_(not_)?set/.test(core.op)) delete core.value; else if (several(core.op) && !Array.isArray(core.value) && core.value !== undefined) core.value = [core.value]; put(core); draw(); } }, ...options(told.operators.map((each) => [each, each.replaceAll("_", " ")]), core.op)));
        if (!/is_(not_)?set/.test(core.op)) parts.push(make("input", { value: several(core.op) ? listed(core.value) : plain(core.value), "aria-label": "Value", placeholder: several(core.op) ? "one, another" : "value", "data-at": place + ".value", oninput: (e) => { core.value = readFor(core.op, e.target.value); put(core); } }));
      } else if (which === "performed") {
        parts.push(make("input", { list: "events", value: core.performed, "aria-label": "Event", "data-at": place + ".performed", oninput: (e) => { core.performed = e.target.value; put(core); } }));
        parts.push(make("input", { value: core.within || "", "aria-label": "Within", placeholder: "ever; 30d", "data-at": place + ".within", oninput: (e) => { if (e.target.value) core.within = e.target.value; else delete core.within; put(core); } }));
      } else if (which === "segment") {
        parts.push(make("select", { "aria-label": "Segment", "data-at": place + ".segment", onchange: (e) => { core.segment = e.target.value; put(core); } }, ...options([["", "Choose…"], ...Object.entries(told.segments)], core.segment)));
      } else {
        parts.push(make("input", { class: "mono", value: JSON.stringify(core), readonly: true, "aria-label": "Written as JSON", "data-at": place, title: "Change it in the JSON" }));
      }
      const sense = make("select", { "aria-label": "Holds or not", onchange: (e) => { change(e.target.value ? { not: core } : core); draw(); } }, ...options({ field: [["", "where"], ["not", "where not"]], performed: [["", "did"], ["not", "did not"]], segment: [["", "in"], ["not", "not in"]], json: [["", "is"], ["not", "is not"]] }[which], not ? "not" : ""));
      return make("div", { class: "condition", "data-mark": path }, sense, ...parts, make("button", { type: "button", class: "button bare icon-only", "aria-label": "Remove this condition", onclick: remove }, "×"));
    }
    function rows(box) {
      const path = box.dataset.rows, whole = get(path);
      const group = isObject(whole) && Object.keys(whole).length === 1 && ["all", "any"].find((each) => Array.isArray(whole[each]));
      const mode = group || "all", list = group ? whole[group] : whole === undefined ? [] : [whole];
      const keep = (next, how = mode) => { set(path, next.length ? { [how]: next } : undefined); };
      const single = !group && list.length === 1;
      box.replaceChildren();
      if (list.length > 1) box.append(make("select", { class: "mode", "aria-label": "How conditions go together", onchange: (e) => { keep(list, e.target.value); changed(); } }, ...options([["all", "All of these hold"], ["any", "Any of these holds"]], mode)));
      list.forEach((each, place) => box.append(row(each, single ? path : `${path}.${mode}.${place}`, (next) => { list[place] = next; if (single) set(path, next); else keep(list); changed(true); }, () => { list.splice(place, 1); keep(list); changed(); })));
      const add = (text, fresh) => make("button", { type: "button", class: "button small", onclick: () => { keep([...list, fresh]); changed(); } }, text);
      box.append(make("div", { class: "toolbar" }, add("+ Field", { field: "profile.stage", op: "eq", value: "cart" }), ...(box.dataset.only !== "fields" ? [add("+ Event", { performed: "Order Completed", within: "30d" })] : []), ...(box.dataset.only !== "fields" && Object.keys(told.segments).length ? [add("Segment", { segment: Object.keys(told.segments)[0] })] : [])));
    }

    // -- keeping form and JSON the same -------------------------------------------------------------------------------
    function fill() {
      for (const each of form.querySelectorAll("[data-path]")) if (each !== document.activeElement) each.value = plain(get(each.dataset.path));
      form.querySelectorAll("[data-rows]").forEach(rows);
    }
    function changed(typing) {
      if (!typing) draw();
      if (json !== document.activeElement) json.value = JSON.stringify(whole(), null, 2);
      clearTimeout(timer);
      timer = setTimeout(look, 350);
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      const path = event.target.dataset.path;
      if (!path) return;
      const text = event.target.value;
      set(path, text === "" && path !== "name" ? undefined : event.target.dataset.kind ? read(text) : text);
      changed(true);
    });
    json.addEventListener("input", () => {
      try { const next = JSON.parse(json.value); if (!isObject(next)) throw new Error("It is an object."); replace(next); json.removeAttribute("aria-invalid"); } catch (error) { json.setAttribute("aria-invalid", "true"); show([["", `This is no JSON: ${error.message}`]], []); return; }
      draw();
      changed(true);
    });

    // -- what the server says -----------------------------------------------------------------------------------------
    async function post(address, fields) {
      const body = new URLSearchParams(fields);
      const answer = await fetch(address, { method: "POST", body, headers: { "X-CSRF-Token": window.chimeinConsole.csrf(), Accept: "application/json" } });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.message || "That did not work.");
      return said;
    }
    function show(mistakes, warnings) {
      form.querySelectorAll(".wrong").forEach((each) => each.remove());
      form.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
      const left = [];
      for (const [path, text] of mistakes) {
        const exact = form.querySelector(`[data-at="${CSS.escape(path)}"], [data-path="${CSS.escape(path)}"]`);
        const near = exact || [...form.querySelectorAll("[data-mark]")].filter((each) => path === each.dataset.mark || path.startsWith(each.dataset.mark + ".")).pop(); // the innermost
        if (!near) { left.push([path, text]); continue; }
        if (exact) exact.setAttribute("aria-invalid", "true");
        (near.closest(".condition, .field") || near).append(make("span", { class: "wrong" }, text));
      }
      const box = document.getElementById("mistakes");
      const list = (kind, found) => make("div", { class: `notice ${kind}` }, make("ul", {}, ...found.map(([path, text]) => make("li", {}, ...(path ? [make("code", {}, path), " "] : []), text))));
      box.replaceChildren(...(left.length ? [list("bad", left)] : []), ...(warnings.length ? [list("warn", warnings)] : []));
      document.getElementById("verdict").textContent = mistakes.length ? `${mistakes.length} mistake${mistakes.length > 1 ? "s" : ""}` : warnings.length ? "Works; see the remarks" : "No mistakes";
    }

    json.value = JSON.stringify(whole(), null, 2);
    return { get, set, make, options, plain, read, isObject, fill, changed, post, show };
  };
})();
