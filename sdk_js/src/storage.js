// Small values that outlive the page: localStorage, and memory where that is refused or full.
const memory = new Map();
let prefix = 'chimein:';

/** Keeps the values of two sites (write keys) on one origin apart; to be called before anything else here. */
export function bind(writeKey) {
  prefix = `chimein:${writeKey}:`;
}

/** The name under which `key` is seen by the other tabs (locks, channels, storage events). */
export const scoped = (key) => prefix + key;

/** The stored string, or null. */
export function get(key) {
  if (memory.has(key)) return memory.get(key);
  try {
    return localStorage.getItem(scoped(key));
  } catch (e) {
    return null;
  }
}

/** Stores a string; null removes it. Never throws. */
export function set(key, value) {
  memory.delete(key);
  try {
    if (value === null) localStorage.removeItem(scoped(key));
    else localStorage.setItem(scoped(key), value);
  } catch (e) {
    if (value !== null) memory.set(key, value);
  }
}

/** The stored JSON value, or `fallback` where there is none or it is damaged. */
export function read(key, fallback) {
  try {
    return JSON.parse(get(key)) || fallback;
  } catch (e) {
    return fallback;
  }
}

/** Stores a value as JSON. */
export const write = (key, value) => set(key, JSON.stringify(value));

/** The sorted keys that begin with `start`. */
export function keys(start) {
  let names = [];
  try {
    names = Object.keys(localStorage).map((name) => name.split(prefix)[1] || '');
  } catch (e) {
    // No storage: memory alone.
  }
  return [...names, ...memory.keys()].filter((name) => name.startsWith(start)).sort();
}

/**
 * Runs `work` while this tab alone holds the lock `name`, across the tabs of this browser.
 * Without Web Locks (plain http) it runs at once; what it does must bear being done twice.
 */
export async function locked(name, work, signal) {
  try {
    return await navigator.locks.request(scoped(name), { signal }, work);
  } catch (e) {
    return signal && signal.aborted ? undefined : work();
  }
}
