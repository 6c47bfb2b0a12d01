// The stream of messages: one for the whole browser, held by one visible tab, shared with the others.
import { fail, listen, safe, watchSight } from './emitter.js';
import { post, retryAfter } from './http.js';
import { allowed, current } from './identity.js';
import { get, locked, scoped, set } from './storage.js';

const SILENCE = 50000; // the server's heartbeat comes every 20 s
const CONNECT = 10000; // a proxy that buffers shows no first byte
const STREAM_AGAIN = 60000; // how long to poll before a stream is tried again

let inbox; // addresses
let stream;
let writeKey;
let receive;
let leadership; // AbortController of this tab's leading, or of its wish to
let lastEventId;
let failures; // streams in a row that brought nothing
let tries; // waits in a row
let streamAgain; // when to try a stream after that
let refused; // the proof of who the visitor is
let channel;

/** Says where to listen; `receiver(kind, data)` gets `message`, `revoke` and `conversation`, in every open tab. */
export function listenTo(host, live, key, receiver) {
  inbox = `${host}/v1/inbox`;
  stream = `${live}/v1/live`;
  writeKey = key;
  receive = receiver;
  if (window.BroadcastChannel) {
    channel = new BroadcastChannel(scoped('live'));
    channel.onmessage = (event) => receive(...event.data);
  }
  watchSight(follow);
  listen(window, 'pagehide', stop);
  listen(window, 'pageshow', follow);
  follow();
}

/** Ends the stream and begins a new one, as whoever the visitor is now. */
export function restart() {
  stop();
  lastEventId = undefined;
  if (inbox) follow();
}

function stop() {
  leadership = leadership && leadership.abort();
}

function follow() {
  // Who talks to somebody is told of the answer elsewhere too.
  if (!allowed() || (document.hidden && !get('live'))) return stop();
  if (!leadership) {
    leadership = new AbortController();
    const { signal } = leadership;
    if (navigator.locks) locked('live', () => lead(signal), signal);
    else lease(signal);
  }
}

// Plain http has no Web Locks: a lease in the storage, renewed while its tab lives. Should two tabs take it in the
// same millisecond, there are two streams for a while and still each message once.
async function lease(signal) {
  await sleep(Math.random() * 500, signal);
  while (!signal.aborted && get('lease') > Date.now()) await sleep(1000, signal);
  const renew = () => set('lease', Date.now() + 4000);
  const timer = setInterval(renew, 1000);
  renew();
  await lead(signal);
  clearInterval(timer);
  set('lease', null);
}

async function lead(signal) {
  failures = tries = 0;
  refused = false;
  while (!signal.aborted) {
    const wait = await call(signal);
    // Full jitter, so that a thousand pages do not come back in the same second.
    await sleep(wait < 0 ? 1000 + Math.random() * Math.min(30000, 3000 * 2 ** tries++) : wait, signal);
  }
}

// One stream, or one poll where streams do not pass. Resolves with the milliseconds to wait, -1 where that is open.
async function call(signal) {
  const control = new AbortController();
  const end = () => control.abort();
  const polling = failures > 1 && Date.now() < streamAgain;
  const began = Date.now();
  let heard = polling;
  let watchdog;
  const expect = (milliseconds) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(end, milliseconds);
  };
  signal.addEventListener('abort', end, { signal: control.signal });
  expect(CONNECT);
  try {
    const who = { writeKey, lastEventId, ...current() };
    if (refused) who.userId = who.userHash = undefined;
    const response = await post(polling ? inbox : stream, JSON.stringify(who), control.signal);
    const { status } = response;
    if (!response.ok) {
      if (status === 403 && !refused) {
        // The proof of identity is wrong or too old: what is this browser's own may still come.
        refused = true;
        return fail('identity_refused'); // at once
      }
      if (status === 401 || status === 403) return fail(`http_${status}`) || 2e9; // for this page's life
      const asked = retryAfter(response);
      if (asked) return asked * (1 + Math.random());
    } else if (polling) {
      const { items, conversation, poll_after: seconds } = await response.json();
      items.forEach((message) => share('message', message));
      if (conversation) share('conversation', conversation);
      tries = 0;
      return seconds * 1000 || 30000;
    } else {
      await readFrames(response.body.getReader(), () => {
        heard = true;
        failures = 0;
        expect(SILENCE);
      });
    }
  } catch (e) {
    // Cut, refused, or silent for too long: all the same.
  } finally {
    clearTimeout(watchdog);
    end();
  }
  if (!heard) failures++;
  if (!polling) streamAgain = Date.now() + STREAM_AGAIN;
  // A stream that held for a while is no reason to wait long.
  if (heard && Date.now() - began > 5000) tries = 0;
  return -1;
}

async function readFrames(reader, alive) {
  const decoder = new TextDecoder();
  let rest = '';
  let frame = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
    rest = lines.pop();
    lines.forEach((line) => {
      const colon = line.indexOf(': ');
      if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 2);
      if (line) return;
      lastEventId = frame.id || lastEventId;
      if (frame.data) share(frame.event, frame.data);
      frame = {};
    });
  }
}

const share = safe((kind, data) => {
  if (typeof data === 'string') data = JSON.parse(data);
  receive(kind, data);
  if (channel) channel.postMessage([kind, data]);
});

const sleep = (milliseconds, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', resolve);
    if (signal.aborted) resolve();
  });
