// How operators learn that somebody waits: sound, a number in the title and at the app's icon, and web push.
(function () {
  "use strict";

  const { on, toast, csrf } = window.chimeinConsole;
  const $ = (selector) => document.querySelector(selector);
  const { site, me } = document.body.dataset;
  if (!site || !me) return;

  function kept(name) { try { return localStorage.getItem("chimein:" + name); } catch (error) { return null; } }
  function keep(name, value) {
    try { if (value === null) localStorage.removeItem("chimein:" + name); else localStorage.setItem("chimein:" + name, value); } catch (error) { /* not kept */ }
  }

  // -- sound ----------------------------------------------------------------------------------------------------------

  let audio = null;
  const quiet = () => kept("quiet") === "1";
  function sounding() {
    const Context = window.AudioContext || window.webkitAudioContext;
    if (!audio && Context) audio = new Context();
    if (audio && audio.state === "suspended") audio.resume().catch(() => {});
  }
  for (const name of ["pointerdown", "keydown"]) document.addEventListener(name, sounding, { once: true }); // browsers want a gesture first
  function ring() {
    if (quiet() || !audio || audio.state !== "running") return;
    for (const [pitch, begin] of [[660, 0], [880, 0.12]]) {
      const tone = audio.createOscillator(), volume = audio.createGain(), at = audio.currentTime + begin;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, at);
      volume.gain.exponentialRampToValueAtTime(0.12, at + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
      tone.connect(volume).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.32);
    }
  }
  // Of several windows one rings: whichever takes the part first.
  function once(name, does) {
    setTimeout(() => {
      if (kept("rung") === name) return;
      keep("rung", name);
      does();
    }, document.hidden ? 60 + Math.random() * 120 : Math.random() * 40);
  }
  const sound = $("#sound");
  function told() {
    sound.setAttribute("aria-pressed", String(!quiet()));
    $("#sound span").textContent = quiet() ? "Sound is off" : "Sound is on";
  }
  if (sound) {
    told();
    sound.addEventListener("click", () => {
      keep("quiet", quiet() ? null : "1");
      told();
      sounding();
      if (!quiet()) setTimeout(ring, 60);
    });
  }

  // -- the number -----------------------------------------------------------------------------------------------------

  let missed = 0;
  function number() {
    const title = document.title.replace(/^\(\d+\) /, "");
    document.title = missed ? "(" + missed + ") " + title : title;
    if (navigator.setAppBadge) (missed ? navigator.setAppBadge(missed) : navigator.clearAppBadge()).catch(() => {});
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !missed) return;
    missed = 0;
    number();
  });

  on("part", ({ conversation, part, again }) => {
    if (again) return;
    const mention = part.kind === "note" && part.author_id !== me
      && ((part.content && part.content.mentions) || []).some((each) => each.id === me);
    const spoken = part.kind === "message" && part.author === "visitor"
      && (!conversation.assignee_id || conversation.assignee_id === me);
    const content = part.content || {};
    const given = part.kind === "event" && content.event === "assigned" && content.to === me && part.author_id !== me;
    if (!mention && !spoken && !given) return;
    const thread = $(".thread"), open = thread && thread.dataset.id === conversation.id;
    if (document.hidden) { missed += 1; number(); }
    if (document.hidden || !open || !document.hasFocus()) once(part.id, ring);
    if (mention && !open) toast("A colleague mentions you: " + String(part.text).slice(0, 140));
    if (given && !open) toast("A conversation was given to you.");
  });

  // -- web push -------------------------------------------------------------------------------------------------------

  const button = $("#push"), mine = "push:" + site;
  const able = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  if ("serviceWorker" in navigator && window.isSecureContext) {
    navigator.serviceWorker.register("/console/worker.js", { scope: "/console/" }).catch(() => {});
  }

  async function post(address, fields) {
    const answer = await fetch(address, {
      method: "POST", credentials: "same-origin", body: new URLSearchParams(fields),
      headers: { "X-CSRF-Token": csrf(), "HX-Request": "true" },
    });
    if (answer.ok) return;
    let message = "That did not work.";
    try { message = (await answer.json()).message || message; } catch (error) { /* no JSON */ }
    throw new Error(message);
  }
  async function subscription() {
    const worker = await navigator.serviceWorker.ready;
    return [worker, await worker.pushManager.getSubscription()];
  }
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  const same = (found) => {
    const key = found.options && found.options.applicationServerKey;
    return !key || String(new Uint8Array(key)) === String(bytes(button.dataset.key));
  };
  function tell(found) {
    const { endpoint, keys } = found.toJSON();
    return post(button.dataset.to, { endpoint, p256dh: keys.p256dh, auth: keys.auth });
  }
  function state(isOn) {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(isOn));
    button.querySelector("span").textContent = isOn ? "Do not notify me in this browser" : "Notify me in this browser";
  }
  async function turn(isOn) {
    if (isOn && (await Notification.requestPermission()) !== "granted") {
      throw new Error("This browser does not allow notifications of this site.");
    }
    let [worker, found] = await subscription();
    if (isOn) {
      if (found && !same(found)) { await found.unsubscribe(); found = null; }
      found = found || await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(button.dataset.key) });
      await tell(found);
      keep(mine, me);
    } else {
      keep(mine, null);
      if (found) await post(button.dataset.to + "/off", { endpoint: found.endpoint });
    }
    state(isOn);
    toast(isOn ? "You are told here when somebody waits." : "You are not told here any more.");
  }
  // What was agreed to is told anew by each login; what somebody else agreed to in this browser ends.
  async function begin() {
    const [, found] = await subscription();
    let owner = kept("push-owner");
    if (found && owner && owner !== me) {
      await post(button.dataset.to + "/off", { endpoint: found.endpoint, everywhere: "1" });
      await found.unsubscribe();
      for (const name of Object.keys(localStorage)) if (name.startsWith("chimein:push:")) localStorage.removeItem(name);
      return state(false);
    }
    const isOn = Boolean(found) && kept(mine) === me && Notification.permission === "granted";
    if (isOn) await (same(found) ? tell(found) : turn(true));
    state(isOn);
  }
  if (button && able && window.isSecureContext) {
    begin().catch(() => state(false)).finally(() => keep("push-owner", me));
    button.addEventListener("click", () => {
      button.disabled = true;
      turn(button.getAttribute("aria-pressed") !== "true").catch((error) => toast(error.message, true)).finally(() => { button.disabled = false; });
    });
  }
  // Whoever logs out is not called here any more: the server forgets it by itself, the browser is told as far as it can be.
  const out = $("#log-out");
  if (out && able) {
    out.addEventListener("submit", (event) => {
      if (!kept("push-owner")) return;
      event.preventDefault();
      const forget = subscription().then(([, found]) => found && found.unsubscribe()).catch(() => {});
      for (const name of Object.keys(localStorage)) if (name.startsWith("chimein:push")) localStorage.removeItem(name);
      Promise.race([forget, new Promise((done) => setTimeout(done, 1000))]).finally(() => out.submit());
    });
  }

  // -- the app --------------------------------------------------------------------------------------------------------

  let asks = null;
  const install = $("#install");
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    asks = event;
    if (install) install.hidden = false;
  });
  if (install) install.addEventListener("click", () => { if (asks) asks.prompt(); asks = null; install.hidden = true; });
})();
