// The inbox: the list and the conversation live, the composer with its canned replies, keys, and many at once.
(function () {
  "use strict";

  const { on, toast, csrf, times } = window.chimeinConsole;
  const $ = (selector, root) => (root || document).querySelector(selector);
  const $$ = (selector, root) => [...(root || document).querySelectorAll(selector)];
  const desk = $(".desk");
  const thread = () => $(".thread");
  const picked = new Set();

  function post(address, fields) {
    const body = new URLSearchParams();
    for (const [name, value] of Object.entries(fields)) for (const each of [].concat(value)) body.append(name, each);
    return ask(address, { method: "POST", body, headers: { "X-CSRF-Token": csrf() } });
  }
  async function ask(address, options) {
    const told = options || {};
    const headers = { "HX-Request": "true", ...(told.headers || {}) };
    let answer;
    try {
      answer = await fetch(address, { ...told, headers, credentials: "same-origin" });
    } catch (error) {
      throw new Error("The server cannot be reached.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401 && answer.headers.get("HX-Redirect")) location.assign(answer.headers.get("HX-Redirect"));
    let message = "That did not work.";
    try { message = (await answer.json()).message || message; } catch (error) { /* no JSON */ }
    throw new Error(message);
  }
  const failed = (error) => toast(error.message, true);

  // -- the list -----------------------------------------------------------------------------------------------------

  let due = 0, busy = false, shown = "";
  function refresh() {
    if (!due) due = setTimeout(renew, 350);
  }
  async function renew() {
    due = 0;
    if (busy) return refresh();
    busy = true;
    try {
      const answer = await ask(desk.dataset.list + location.search);
      const list = $("#list"), top = list.scrollTop, focused = document.activeElement && document.activeElement.id;
      const more = $(".more", list) ? 0 : $$(".talk", list).length; // further pages were loaded: those stay as they are
      const made = document.createElement("div"), text = await answer.text();
      if (text === shown && !more) return; // nothing is new
      shown = text;
      made.innerHTML = text;
      const views = $("template", made);
      if (views) { $("#views").innerHTML = views.innerHTML; views.remove(); }
      if (more > $$(".talk", made).length) {
        const fresh = new Set($$(".talk", made).map((each) => each.id));
        const rest = $$(".talk", list).filter((each) => !fresh.has(each.id)).slice(0, more);
        const button = $(".more", made);
        if (button) button.replaceWith(...rest);
      }
      list.replaceChildren(...made.childNodes);
      htmx.process(list);
      times(list);
      dress();
      list.scrollTop = top;
      if (focused && focused.startsWith("t-") && $("#" + focused)) $("#" + focused).focus({ preventScroll: true });
    } catch (error) {
      /* the next event, or the poll, tries again */
    } finally {
      busy = false;
    }
  }
  function dress() {
    const here = thread() && thread().dataset.id;
    for (const each of $$(".talk")) {
      if (each.dataset.id === here) each.setAttribute("aria-current", "true"); else each.removeAttribute("aria-current");
      const box = $("input", each);
      box.checked = picked.has(each.dataset.id);
      each.classList.toggle("picked", box.checked);
    }
    const bar = $("#bulk");
    bar.hidden = !picked.size;
    $("b", bar).textContent = picked.size + " chosen";
    desk.classList.toggle("picking", picked.size > 0);
    const waiting = $$(".talk.unread").length, badge = $("#nav-unread");
    if (badge) { badge.hidden = !waiting; badge.textContent = waiting; }
  }

  // -- opening a conversation ---------------------------------------------------------------------------------------

  let opening = 0;
  const spoken = new Set(); // conversations of which something was told since one was opened
  async function open(row, quietly) {
    const mine = ++opening, address = row.getAttribute("href");
    spoken.clear();
    keep();
    try {
      const answer = await ask(address);
      const text = await answer.text();
      if (mine !== opening) return;
      $("#thread").innerHTML = text;
      if (!quietly) history.pushState({}, "", address);
      document.body.classList.add("has-thread");
      document.body.classList.remove("has-card");
      htmx.process($("#thread"));
      times($("#thread"));
      arrive();
      dress();
      if (thread() && spoken.has(thread().dataset.id)) more(); // said while this was on its way
    } catch (error) { failed(error); }
  }
  function arrive() {
    const here = thread();
    if (!here) return;
    days();
    const parts = $("#parts");
    parts.scrollTop = parts.scrollHeight;
    atEnd = true;
    document.title = here.dataset.title + " · chimein";
    restore();
    seen();
  }
  window.addEventListener("popstate", () => location.reload());
  // A picture that comes late pushes nothing out of sight: who was at the end stays there.
  let atEnd = true;
  document.addEventListener("scroll", ({ target }) => { if (target.id === "parts") atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 120; }, true);
  document.addEventListener("load", ({ target }) => { const parts = $("#parts"); if (atEnd && parts && parts.contains(target)) parts.scrollTop = parts.scrollHeight; }, true);

  function last() {
    const found = $$("#parts [data-number]");
    return found.length ? Number(found[found.length - 1].dataset.number) : 0;
  }
  // So far was read: said once the page is looked at.
  function seen() {
    const here = thread(), number = last();
    if (!here || document.hidden || !$("#composer") || number <= Number(here.dataset.read)) return;
    here.dataset.read = number;
    post(here.dataset.base.split("?")[0] + "/read", { number }).then(refresh, () => {});
  }
  document.addEventListener("visibilitychange", seen);

  // Parts come one request after the other, each behind the last that is there: none twice, none out of order.
  let fetching = null, again = false;
  async function more() {
    const here = thread();
    if (!here) return;
    if (fetching) { again = true; return fetching; }
    fetching = (async () => {
      const answer = await ask(here.dataset.base + "/parts?after=" + last());
      const text = await answer.text();
      if (here !== thread()) return;
      add(text);
    })().catch(() => {}).finally(() => {
      fetching = null;
      if (again) { again = false; more(); }
    });
    return fetching;
  }
  function add(text) {
    const parts = $("#parts"), made = document.createElement("ol");
    made.innerHTML = text;
    const low = parts.scrollHeight - parts.scrollTop - parts.clientHeight < 120;
    for (const each of [...made.children]) {
      if (each.dataset.number && !document.getElementById(each.id)) parts.append(each);
    }
    htmx.process(parts);
    times(parts);
    days();
    if (low) parts.scrollTop = parts.scrollHeight;
    seen();
  }
  // What was changed while nobody told: the latest parts once more, each in its place; then what came behind them.
  async function look() {
    const here = thread(), first = $$("#parts [data-number]").slice(-50)[0];
    if (!here) return;
    if (first) {
      const answer = await ask(here.dataset.base + "/parts?after=" + (Number(first.dataset.number) - 1));
      const made = document.createElement("ol");
      made.innerHTML = await answer.text();
      if (here !== thread()) return;
      for (const each of [...made.children]) {
        const old = each.id && document.getElementById(each.id);
        if (!old || !each.dataset.number) continue;
        if (each.dataset.stamp !== old.dataset.stamp && !$(".rewrite", old)) { old.replaceWith(each); times(each); }
        else if ($("[data-seen]", each) && $("[data-seen]", old)) $("[data-seen]", old).textContent = $("[data-seen]", each).textContent;
      }
    }
    return more();
  }
  async function replace(number) {
    const here = thread(), old = document.getElementById("p-" + number);
    if (!here || !old) return;
    const answer = await ask(here.dataset.base + "/parts?number=" + number);
    swap(old, await answer.text());
  }
  function swap(old, text) {
    const made = document.createElement("ol");
    made.innerHTML = text;
    const fresh = $("[data-number]", made);
    if (fresh) { old.replaceWith(fresh); times(fresh); }
  }
  async function earlier(button) {
    const here = thread(), parts = $("#parts"), height = parts.scrollHeight;
    try {
      const answer = await ask(here.dataset.base + "/parts?before=" + button.dataset.before);
      const made = document.createElement("ol");
      made.innerHTML = await answer.text();
      button.closest("li").replaceWith(...made.children);
      times(parts);
      days();
      parts.scrollTop += parts.scrollHeight - height;
    } catch (error) { failed(error); }
  }
  function days() {
    for (const each of $$("#parts .day")) each.remove();
    const told = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
    let before = "";
    for (const each of $$("#parts [data-at]")) {
      const day = told.format(new Date(each.dataset.at));
      if (day !== before) {
        const made = document.createElement("li");
        made.className = "day";
        made.textContent = day;
        each.before(made);
      }
      before = day;
    }
  }
  async function head() {
    const here = thread();
    if (!here || $("#thread-head details[open]")) return;
    try {
      const answer = await ask(here.dataset.base + "/head" + location.search);
      if (here !== thread()) return;
      $("#thread-head").outerHTML = await answer.text();
      htmx.process($("#thread-head"));
      times($("#thread-head"));
    } catch (error) { /* it is as it was */ }
  }

  // -- what is told -------------------------------------------------------------------------------------------------

  on("part", (note) => {
    refresh();
    const here = thread();
    spoken.add(note.conversation.id);
    if (!here || note.conversation.id !== here.dataset.id) return;
    if (note.again) replace(note.part.number).catch(() => {}); else more();
    if (note.part.kind === "event" || note.part.author === "operator") head(); // an answer assigns it
    if (note.part.author === "visitor") { hush("visitor"); htmx.trigger("#card", "refresh"); }
    else if (note.part.author === "operator") hush("operator");
  });
  on("marks", (note) => {
    const here = thread();
    if (here && note.conversation_id === here.dataset.id) {
      for (const each of $$("[data-seen]")) each.textContent = Number(each.dataset.seen) <= note.seen ? "Seen" : "";
    } else refresh();
  });
  on("look", () => { refresh(); look().catch(() => {}); head(); });
  let typingUntil = 0;
  function hush(by) {
    const line = $("#typing");
    if (line && (!by || line.dataset.by === by)) line.hidden = true;
  }
  on("typing", (note) => {
    const here = thread(), line = $("#typing"), operator = note.by === "operator";
    if (!here || !line || note.conversation_id !== here.dataset.id) return;
    if (operator && note.name === document.body.dataset.name) return; // that is me
    line.textContent = (operator ? note.name || "A colleague" : here.dataset.title) + " is typing …";
    line.dataset.by = note.by;
    line.hidden = false;
    clearTimeout(typingUntil);
    typingUntil = setTimeout(hush, 6000);
  });
  let toldAt = 0;
  function typed() {
    const here = thread(), form = $("#composer");
    if (!here || !form || form.dataset.kind !== "message" || !$("#body").value.trim() || Date.now() - toldAt < 3000) return;
    toldAt = Date.now();
    post(here.dataset.base + "/typing", {}).catch(() => {});
  }
  // The timeline of who is here, as it happens.
  setInterval(async () => {
    const list = $("#happened");
    if (!list || document.hidden || !list.offsetParent) return;
    try {
      const text = await (await ask(list.dataset.renewFrom)).text();
      if (text === list.dataset.was || list !== $("#happened")) return;
      list.dataset.was = text;
      list.innerHTML = text;
      times(list);
    } catch (error) { /* the next time */ }
  }, 4000);

  // -- the composer -------------------------------------------------------------------------------------------------

  const drafts = {};
  let sending = null;
  let tray = []; // files and products that go with what is written
  function keep() {
    const here = thread(), body = $("#body");
    if (here && body) drafts[here.dataset.id] = { text: body.value, kind: $("#composer").dataset.kind, tray };
  }
  function restore() {
    const draft = drafts[thread().dataset.id], body = $("#body");
    tray = (draft && draft.tray) || [];
    if (draft && body) { body.value = draft.text; kind(draft.kind); }
    if (body) drawTray();
  }
  function kind(name) {
    const form = $("#composer");
    if (!form) return;
    form.dataset.kind = name;
    for (const each of $$("[role=tab]", form)) each.setAttribute("aria-selected", String(each.dataset.kind === name));
    $("#send span").textContent = name === "note" ? "Add note" : "Send";
    $("#body").placeholder = name === "note" ? "A note that only operators see. @ mentions a colleague." : "Write a reply. / for canned replies, Ctrl+Enter to send.";
  }
  async function send() {
    const here = thread(), body = $("#body"), text = body.value.trim(), held = tray;
    if ((!text && !held.length) || (sending && sending.busy)) return;
    if (held.some((each) => each.busy)) return say("A file is still on its way.");
    if (held.some((each) => each.wrong)) return say("Take off what could not be sent.");
    const files = held.filter((each) => each.file).map((each) => each.key);
    const products = held.filter((each) => !each.file).map((each) => each.key);
    // The same id until it arrived: an answer that is sent again is one.
    const signature = JSON.stringify([text, files, products]);
    if (!sending || sending.signature !== signature || sending.thread !== here.dataset.id) {
      sending = { id: id(), signature, thread: here.dataset.id };
    }
    const mine = sending;
    mine.busy = true;
    const button = $("#send");
    button.disabled = true;
    try {
      await post(here.dataset.base + "/say", { body: text, kind: $("#composer").dataset.kind, id: mine.id, files, products });
      sending = null;
      delete drafts[here.dataset.id];
      toldAt = 0;
      if (here === thread()) { body.value = ""; tray = []; drawTray(); kind("message"); close(); await more(); $("#parts").scrollTop = 1e9; }
      refresh();
    } catch (error) {
      failed(error);
    } finally {
      mine.busy = false;
      button.disabled = false;
    }
  }
  function say(text) { const line = $("#composer-said"); if (line) line.textContent = text; }

  // -- what goes with it: files (picked, dropped, pasted), products ------------------------------------------------

  function drawTray() {
    const box = $("#tray");
    if (!box) return;
    box.replaceChildren(...tray.map((each, place) => {
      const row = document.createElement("li"), name = document.createElement("span"), off = document.createElement("button");
      row.className = each.wrong ? "wrong" : each.busy ? "busy" : "";
      if (each.picture) {
        const picture = document.createElement("img");
        picture.src = each.picture;
        picture.alt = "";
        picture.referrerPolicy = "no-referrer";
        row.append(picture);
      }
      name.className = "cut grow";
      name.textContent = each.name;
      name.title = each.name;
      row.append(name);
      const told = document.createElement("small");
      told.textContent = each.wrong || (each.busy ? Math.round(each.share * 100) + " %" : each.told || "");
      row.append(told);
      if (each.busy) {
        const bar = document.createElement("progress");
        bar.max = 1;
        bar.value = each.share;
        bar.setAttribute("aria-label", each.name);
        row.append(bar);
      }
      off.type = "button";
      off.className = "button bare small icon-only";
      off.dataset.off = place;
      off.setAttribute("aria-label", "Take off " + each.name);
      off.textContent = "×";
      row.append(off);
      return row;
    }));
    box.hidden = !tray.length;
    say("");
  }
  function off(place) {
    const [gone] = tray.splice(place, 1);
    if (gone && gone.asked) gone.asked.abort();
    drawTray();
    $("#body").focus();
  }
  function addFiles(list) {
    const form = $("#composer"), here = thread();
    if (!form || !list || !list.length) return;
    const largest = Number(form.dataset.largest), most = Number(form.dataset.most);
    for (const file of list) {
      if (tray.filter((each) => each.file).length >= most) { toast("At most " + most + " files in one message.", true); break; }
      const made = { file: true, name: file.name || "file", share: 0, busy: true };
      tray.push(made);
      if (file.size > largest) { made.busy = false; made.wrong = "Larger than " + Math.floor(largest / 1048576) + " MB"; }
      else if (!file.size) { made.busy = false; made.wrong = "There is nothing in it"; }
      else upload(made, file, here.dataset.base);
    }
    drawTray();
  }
  function upload(made, file, base) {
    const asked = (made.asked = new XMLHttpRequest());
    const done = (wrong) => { made.busy = false; made.wrong = wrong; made.asked = null; if (tray.includes(made)) drawTray(); };
    asked.open("POST", base + "/files?name=" + encodeURIComponent(made.name));
    asked.setRequestHeader("Content-Type", "application/octet-stream");
    asked.setRequestHeader("X-CSRF-Token", csrf());
    asked.setRequestHeader("HX-Request", "true");
    asked.upload.onprogress = (event) => {
      if (!event.lengthComputable) return;
      made.share = event.loaded / event.total;
      if (tray.includes(made)) drawTray();
    };
    asked.onload = () => {
      let told = {};
      try { told = JSON.parse(asked.responseText); } catch (error) { /* no JSON */ }
      if (asked.status !== 201) return done(told.message || (asked.status === 413 ? "Too large" : "That did not work."));
      Object.assign(made, { key: told.id, name: told.name, told: told.shown });
      if (/^image\//.test(told.type)) made.picture = told.address;
      done();
    };
    asked.onerror = () => done("The server cannot be reached.");
    asked.send(file);
  }
  function put(button) {
    const key = button.dataset.product, row = button.closest(".product"), form = $("#composer");
    if (!form) return;
    kind("message");
    if (!tray.some((each) => each.key === key)) {
      if (tray.filter((each) => !each.file).length >= 5) return toast("At most 5 products in one reply.", true);
      const picture = $("img", row), price = $("small", row);
      tray.push({ key, name: $(".cut", row).textContent, told: price ? price.textContent : "", picture: picture ? picture.src : "" });
    }
    drawTray();
    document.body.classList.remove("has-card");
    $("#body").focus();
  }
  document.addEventListener("change", (event) => {
    if (event.target.id !== "pick-files") return;
    addFiles([...event.target.files]);
    event.target.value = "";
  });
  document.addEventListener("paste", (event) => {
    const files = event.target.id === "body" && event.clipboardData ? [...event.clipboardData.files] : [];
    if (!files.length) return;
    event.preventDefault();
    addFiles(files);
  });
  const dropped = (event) => $("#composer") && event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let leaving = 0;
  document.addEventListener("dragover", (event) => {
    if (!dropped(event)) return;
    event.preventDefault();
    $(".said-pane").classList.add("dropping");
    clearTimeout(leaving);
    leaving = setTimeout(() => { const pane = $(".said-pane"); if (pane) pane.classList.remove("dropping"); }, 300);
  });
  document.addEventListener("drop", (event) => {
    if (!dropped(event)) return;
    event.preventDefault(); // a file that misses the pane must not open in place of the console
    if (event.target.closest(".said-pane")) addFiles([...event.dataTransfer.files]);
  });

  function id() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
  }

  // -- what is completed: /canned replies, @colleagues -----------------------------------------------------------------------------------------------

  let found = [], at = 0, asked = 0;
  function slash() {
    const body = $("#body"), before = body.value.slice(0, body.selectionStart);
    return /(?:^|\s)\/([\p{L}\p{N}_-]{0,40})$/u.exec(before);
  }
  function atSign() {
    const form = $("#composer"), body = $("#body");
    if (form.dataset.kind !== "note") return null;
    return /(?:^|[^\p{L}\p{N}_@])@([\p{L}\p{N}][^@\n]{0,60}|)$/u.exec(body.value.slice(0, body.selectionStart));
  }
  function colleagues(begun) {
    let all = [];
    try { all = JSON.parse($("#composer").dataset.people); } catch (error) { /* nobody */ }
    const wanted = begun.toLocaleLowerCase();
    const fits = (name) => name.startsWith(wanted) || name.split(/\s+/).some((each) => each.startsWith(wanted));
    return all.filter((each) => fits(each.name.toLocaleLowerCase()) && each.name.toLocaleLowerCase() !== wanted).slice(0, 8);
  }
  async function complete() {
    const name = atSign();
    if (name) {
      asked += 1;
      found = colleagues(name[1]).map((each) => ({ person: each.name }));
      at = 0;
      return show();
    }
    const told = slash();
    if (!told) return close();
    const mine = ++asked;
    try {
      const answer = await ask(thread().dataset.base + "/canned?q=" + encodeURIComponent(told[1]), { headers: { Accept: "application/json" } });
      const list = await answer.json();
      if (mine !== asked || !slash()) return;
      found = list;
      at = 0;
      show();
    } catch (error) { close(); }
  }
  function show() {
    const box = $("#canned");
    box.replaceChildren(...found.map((each, number) => {
      const row = document.createElement("li"), name = document.createElement("b"), text = document.createElement("span");
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", String(number === at));
      row.dataset.number = number;
      name.textContent = each.person ? "@" + each.person : "/" + each.shortcut;
      text.textContent = each.person ? "" : each.problem ? each.problem : each.text;
      text.className = each.problem ? "cut wrong" : "cut quiet";
      row.append(name, text);
      return row;
    }));
    box.hidden = !found.length;
  }
  function take(number) {
    const body = $("#body"), reply = found[number], told = reply && (reply.person ? atSign() : slash());
    if (!told) return;
    const end = body.selectionStart, begin = end - told[1].length - 1;
    body.setRangeText(reply.person ? "@" + reply.person + " " : reply.text, begin, end, "end");
    close();
    if (reply.problem) $("#composer-said").textContent = reply.problem;
    body.focus();
  }
  function close() {
    asked += 1;
    found = [];
    const box = $("#canned");
    if (box) box.hidden = true;
  }

  // -- clicks -------------------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const target = event.target;
    const box = target.closest(".pick input");
    if (box) {
      event.stopPropagation();
      const row = box.closest(".talk");
      setTimeout(() => pick(row.dataset.id, !picked.has(row.dataset.id)));
      event.preventDefault();
      return;
    }
    const row = target.closest(".talk");
    if (row && !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      open(row);
      return;
    }
    const does = target.closest("[data-snooze], [data-before], [data-edit], [data-back], [data-bulk], [data-keys], [data-card], [data-off], [data-product], #attach, #composer [data-kind], #canned li");
    if (!does) return;
    if (does.dataset.snooze) snooze(does.dataset.snooze);
    else if (does.dataset.before) earlier(does);
    else if (does.dataset.edit) edit(does.closest(".part"));
    else if (does.dataset.back) back(does.closest(".part"));
    else if ("bulk" in does.dataset) bulk(does.dataset.bulk);
    else if ("keys" in does.dataset) $("#keys").showModal();
    else if ("card" in does.dataset) document.body.classList.toggle("has-card");
    else if ("off" in does.dataset) off(Number(does.dataset.off));
    else if ("product" in does.dataset) put(does);
    else if (does.id === "attach") $("#pick-files").click();
    else if (does.closest("#canned")) take(Number(does.dataset.number));
    else if (does.dataset.kind) { kind(does.dataset.kind); $("#body").focus(); }
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id === "composer") { event.preventDefault(); send(); }
    if (event.target.matches(".pick-time")) {
      event.preventDefault();
      const moment = new Date($("input", event.target).value);
      if (!isNaN(moment)) until(moment);
    }
    if (event.target.matches(".rewrite")) { event.preventDefault(); rewrite(event.target); }
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "body") { complete(); typed(); }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "thread-head") { more(); refresh(); }
    else if (event.detail.target.closest && event.detail.target.closest("#list")) dress();
  });

  function pick(name, chosen) {
    if (chosen && picked.size < 100) picked.add(name); else picked.delete(name);
    dress();
  }
  async function bulk(told) {
    if (!told) { picked.clear(); return dress(); }
    const [name, value] = told.split("=");
    try {
      const answer = await post($("#bulk").dataset.to, { ids: [...picked], [name]: value });
      picked.clear();
      dress();
      toast(answer.headers.get("X-Done") + " changed");
      refresh();
      head();
    } catch (error) { failed(error); }
  }
  function snooze(told) {
    const [unit, number] = told.split(":"), moment = new Date();
    if (unit === "hours") moment.setTime(moment.getTime() + Number(number) * 3600e3);
    else {
      moment.setDate(moment.getDate() + (unit === "monday" ? (8 - moment.getDay()) % 7 || 7 : Number(number)));
      moment.setHours(9, 0, 0, 0);
    }
    until(moment);
  }
  function until(moment) {
    htmx.ajax("POST", $("#thread-head").dataset.change, { target: "#thread-head", swap: "outerHTML", values: { until: moment.toISOString() } });
  }
  function edit(part) {
    const bubble = $(".bubble", part), form = document.createElement("form");
    form.className = "rewrite";
    const field = document.createElement("textarea"), save = document.createElement("button"), no = document.createElement("button");
    field.value = $(".text", part) ? $(".text", part).textContent : "";
    field.rows = 3;
    field.setAttribute("aria-label", "The text");
    save.className = "button small primary";
    save.textContent = "Save";
    no.className = "button small";
    no.type = "button";
    no.textContent = "Cancel";
    no.onclick = () => { form.remove(); bubble.hidden = false; };
    form.append(field, save, no);
    bubble.hidden = true;
    bubble.after(form);
    field.focus();
  }
  async function rewrite(form) {
    const part = form.closest(".part");
    try {
      const answer = await post(thread().dataset.base + "/parts/" + part.dataset.number, { body: $("textarea", form).value });
      swap(part, await answer.text());
    } catch (error) { failed(error); }
  }
  async function back(part) {
    if (!confirm("Take this back? Its text is gone then, also in the visitor's window.")) return;
    try {
      const answer = await post(thread().dataset.base + "/parts/" + part.dataset.number, { back: "1" });
      swap(part, await answer.text());
    } catch (error) { failed(error); }
  }

  // -- keys ---------------------------------------------------------------------------------------------------------

  function walk(by) {
    const rows = $$(".talk");
    if (!rows.length) return;
    let place = rows.indexOf(document.activeElement);
    if (place < 0) place = rows.findIndex((each) => each.hasAttribute("aria-current")) ;
    const next = rows[Math.max(0, Math.min(rows.length - 1, place < 0 ? 0 : place + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
  function menu(name) {
    const found = document.getElementById(name);
    if (found) { found.open = true; const first = $("input:not([type=hidden]), button", found); if (first) first.focus(); }
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "body") {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); return; }
      if (found.length && !event.isComposing) {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          event.preventDefault();
          at = (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
          show();
        } else if (event.key === "Enter" || event.key === "Tab") { event.preventDefault(); take(at); }
        else if (event.key === "Escape") { event.preventDefault(); close(); }
        return;
      }
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select") || $("dialog[open]")) return;
    const does = {
      j: () => walk(1), k: () => walk(-1),
      r: () => { kind("message"); $("#body") && $("#body").focus(); },
      n: () => { kind("note"); $("#body") && $("#body").focus(); },
      a: () => menu("assign"), s: () => menu("snooze"),
      e: () => $("#close-it") && $("#close-it").click(),
      x: () => {
        const row = document.activeElement.closest(".talk") || $(".talk[aria-current]");
        if (row) pick(row.dataset.id, !picked.has(row.dataset.id));
      },
      "/": () => $("#seek").focus(),
      "?": () => $("#keys").showModal(),
    }[event.key];
    if (does) { event.preventDefault(); does(); }
  });

  arrive();
  dress();
})();
