/** Small values kept in the browser; where it keeps nothing (private mode, full storage), they last for the page. */

const memory = new Map();

/** The value under a key, or null. */
export function load(storage, key) {
  try {
    return JSON.parse(window[storage].getItem(key)) ?? memory.get(key) ?? null;
  } catch {
    return memory.get(key) ?? null;
  }
}

/** Keeps a value under a key; null removes it. */
export function save(storage, key, value) {
  memory.delete(key);
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch {
    if (value !== null) memory.set(key, value);
  }
}
