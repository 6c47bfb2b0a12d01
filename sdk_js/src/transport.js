// Brings events to the collector: each is a stored entry of its own until the collector has answered for it,
// so tabs, reloads and lost networks cost nothing; the messageId keeps what is sent twice from counting twice.
import { emit, fail, listen } from './emitter.js';
import { post, retryAfter } from './http.js';
import { get, keys, locked, set } from './storage.js';

const KEPT = 500;
const EVENT_BYTES = 32 * 1024;
const BODY_BYTES = 59000; // browsers allow 64 kB for what outlives its page
const HOUR = 3600e3;

let url;
let writeKey;
let timer;
let busy;
let counter = 0;
let failures = 0;
let most = 100;
const leaving = new Set(); // names that are under way already, so that a leaving page does not send them again

/** Says where to send; sends what earlier pages left behind. */
export function connect(host, key) {
  url = `${host}/v1/batch`;
  writeKey = key;
  listen(window, 'online', () => {
    if (failures) set('wait', null);
    flush();
  });
  later();
}

/** Takes an event over; it goes out within 50 ms, or at once when twenty wait. */
export function enqueue(event) {
  const body = JSON.stringify(event);
  if (size(body) > EVENT_BYTES) return fail('too_large', { event });
  const names = keys('q:');
  names.slice(0, 1 - KEPT).forEach((name) => {
    set(name, null);
    fail('queue_full');
  });
  // Keys sort by time; the messageId in them keeps two tabs from writing the same one.
  set(`q:${Date.now() * 1000 + (counter++ % 1000)}${event.messageId}`, body);
  if (names.length > 18) flush();
  else later();
}

/** Forgets what has not been sent. */
export const clear = () => forget(keys('q:'));

/** Sends all that waits, unless the collector asked to be left alone. */
export async function flush() {
  clearTimeout(timer);
  timer = 0;
  if (busy) return;
  busy = true;
  await locked('send', send);
  busy = false;
  if (keys('q:').length) later();
}

/** The page may be gone the next moment: hands everything to the browser, and still keeps it until it is answered. */
export function leave() {
  while (pause() <= 0) {
    const names = take((name) => !leaving.has(name));
    if (!names.length || !navigator.sendBeacon(url, bodyOf(names))) return;
    names.forEach((name) => leaving.add(name));
    clearTimeout(timer);
    timer = 0;
    later(3000); // if the page lives on, it learns the answer then
  }
}

function later(milliseconds = 50) {
  timer = timer || setTimeout(flush, milliseconds);
}

const pause = () => Math.min(HOUR, get('wait') - Date.now());

async function send() {
  for (;;) {
    if (pause() > 0) return later(pause());
    const names = take(() => true);
    if (!names.length) return undefined;
    names.forEach((name) => leaving.add(name));
    await deliver(names).catch(() => backOff(0));
    names.forEach((name) => leaving.delete(name));
  }
}

async function deliver(names) {
  const response = await post(url, bodyOf(names), AbortSignal.timeout && AbortSignal.timeout(15000), true);
  const { status } = response;
  if (response.ok) {
    const { rejected } = await response.json();
    failures = 0;
    most = Math.min(100, most * 2);
    (rejected || []).forEach((rejection) => emit('error', rejection));
  } else if (status === 408 || status === 429 || status > 499) {
    return backOff(retryAfter(response));
  } else if (names.length > 1 && (status === 400 || status === 413)) {
    // One of them is bad: halve until it stands alone, and save its neighbours.
    most = names.length >> 1;
    return undefined;
  } else {
    fail(`http_${status}`);
  }
  return forget(names);
}

// All tabs share the pause, and it outlives the page: a reload is no reason to call again earlier.
function backOff(asked) {
  const jitter = Math.random() * Math.min(60000, 1000 * 2 ** failures++);
  set('wait', Date.now() + Math.max(asked, 200 + jitter));
}

function take(wanted) {
  let bytes = 200;
  return keys('q:')
    .filter(wanted)
    .slice(0, most)
    .filter((name, i) => (bytes += size(get(name)) + 1) < BODY_BYTES || !i);
}

const forget = (names) => names.forEach((name) => set(name, null));

const bodyOf = (names) =>
  `{"writeKey":${JSON.stringify(writeKey)},"sentAt":"${new Date().toISOString()}","batch":[${names.map(get).filter(Boolean)}]}`;

const size = (text) => new Blob([text]).size;
