// The widget's own hold on what the core keeps: JSON values, and errors that stay out of the page.

/** `read` and `write` of JSON values over the core's `get` and `set`; null removes. */
export const makeStore = ({ get, set }) => ({
  read(key, fallback) {
    try {
      return JSON.parse(get(key)) || fallback;
    } catch (e) {
      return fallback;
    }
  },
  write: (key, value) => set(key, value === null ? null : JSON.stringify(value)),
});

/** Makes `work` harmless: what it throws becomes an `error` event. */
export const safely =
  (emit) =>
  (work) =>
  (...args) => {
    try {
      return work(...args);
    } catch (e) {
      return emit('error', { code: 'internal', message: `${e}` });
    }
  };
