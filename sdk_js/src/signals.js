// What a page notices without a click: time in sight, how much of it was seen, and the turn to leave. A bundle of its
// own, loaded where the site asks for it; its address says what to report: ?time_on_page=10,30&scroll_depth=50&exit_intent=1
const { track } = window.chimein;
const asked = new URL(document.currentScript.src).searchParams;
const TICK = 500;
const HURRY = 500; // milliseconds in which a finger that wants to leave is most of a screen further up

const quietly =
  (work) =>
  (...args) => {
    try {
      work(...args);
    } catch (e) {
      console.error(e); // never thrown into the page
    }
  };
const listen = (target, type, work) => target.addEventListener(type, quietly(work), { capture: true, passive: true });
const marks = (name) => (asked.get(name) || '').split(',').filter(Boolean).map(Number);
const address = () => location.pathname + location.search;

let here;
let times;
let depths;
let mayLeave;
let seen; // milliseconds in sight
let since = performance.now();
let turn; // where and when the present way up began: [pixels, milliseconds]

function begin() {
  here = address();
  times = marks('time_on_page');
  depths = marks('scroll_depth');
  mayLeave = !!asked.get('exit_intent');
  seen = 0;
  turn = [scrollY, performance.now()];
}

function count() {
  const now = performance.now();
  // A page of a single-page application is a page.
  if (here !== address()) begin();
  else if (!document.hidden) seen += now - since;
  since = now;
  while (times.length && seen >= times[0] * 1000) track('Time On Page', { seconds: times.shift() });
}

function leaving(kind) {
  if (!mayLeave || here !== address()) return;
  mayLeave = false;
  track('Exit Intent', { kind });
}

function scrolled() {
  const now = performance.now();
  if (here !== address()) return;
  const { scrollHeight } = document.documentElement;
  // A pixel less than all: browsers round.
  const depth = ((scrollY + innerHeight + 1) / scrollHeight) * 100;
  while (depths.length && depth >= depths[0]) track('Scrolled', { depth: depths.shift() });
  if (scrollY >= turn[0] || now - turn[1] > HURRY) turn = [scrollY, now];
  else if (turn[0] - scrollY > innerHeight * 0.7 && matchMedia('(hover: none)').matches) leaving('scroll');
}

begin();
setInterval(quietly(count), TICK);
// The time until it was hidden still counts; that in which it was hidden does not.
listen(document, 'visibilitychange', () => {
  if (document.hidden) seen += performance.now() - since;
  since = performance.now();
});
listen(window, 'scroll', ({ target }) => target === document && scrolled());
listen(document, 'mouseout', ({ clientY, relatedTarget }) => !relatedTarget && clientY <= 0 && leaving('pointer'));
