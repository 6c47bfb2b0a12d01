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

/** Whether anything of this visitor may be told: what they answered, else what their browser says, as the core sees it. */
export function mayTell(store, { policy = {} }) {
  const { analytics } = store.read('consent', {});
  if (analytics !== undefined) return analytics === true;
  return !(
    (navigator.globalPrivacyControl && policy.honour_gpc !== false) ||
    (navigator.doNotTrack > 0 && policy.honour_dnt !== false)
  );
}
