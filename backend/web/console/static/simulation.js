// A simulation: how far it is, as its lines come in, and what it found; whoever stops it ends it on the server too.
(function () {
  "use strict";
  const form = document.getElementById("simulation"), begin = document.getElementById("begin"), stop = document.getElementById("stop");
  const progress = document.getElementById("progress"), bar = progress.querySelector("progress"), soFar = document.getElementById("so-far");
  const mistake = document.getElementById("mistake"), result = document.getElementById("simulated");
  let running = null;

  form.addEventListener("click", (event) => {
    const span = event.target.closest("[data-since]");
    if (!span) return;
    form.elements.since.value = span.dataset.since;
    form.elements.until.value = span.dataset.until;
    for (const each of form.querySelectorAll("[data-since]")) each.setAttribute("aria-pressed", String(each === span));
  });
  function wrong(text) {
    const made = document.createElement("p");
    made.className = "notice bad";
    made.textContent = text;
    mistake.replaceChildren(made);
  }
  function heard(line) {
    if (line.progress !== undefined) {
      bar.value = line.progress;
      soFar.textContent = `${line.visitors.toLocaleString("en")} visitors, ${line.events.toLocaleString("en")} events`;
    } else if (line.html !== undefined) {
      result.innerHTML = line.html; // a piece of a page, made and escaped by the server like every other
    } else wrong(line.message || "That did not work.");
  }
  async function lines(answer) {
    const reader = answer.body.getReader(), decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? "" : decoder.decode(value, { stream: true });
      const found = rest.split("\n");
      rest = found.pop();
      found.filter(Boolean).forEach((each) => heard(JSON.parse(each)));
      if (done) return;
    }
  }
  function show(on) {
    begin.disabled = on;
    stop.hidden = !on;
    progress.hidden = !on;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    running = new AbortController();
    mistake.replaceChildren();
    result.replaceChildren();
    bar.value = 0;
    soFar.textContent = "";
    show(true);
    try {
      const answer = await fetch(form.action, { method: "POST", body, signal: running.signal, headers: { Accept: "application/json" } });
      if (answer.ok) await lines(answer);
      else wrong((await answer.json()).message || "That did not work.");
    } catch (error) {
      if (error.name !== "AbortError") wrong("The server cannot be reached.");
    }
    show(false);
  });
  stop.addEventListener("click", () => running && running.abort());
})();
