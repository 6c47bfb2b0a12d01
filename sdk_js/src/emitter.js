// What the page can listen to (`chimein.on`), and a guard so that nothing of ours is ever thrown into the page.
let listeners = [];

/** Calls `listener` with each later `name` event. */
export const on = (name, listener) => {
  listeners.push([name, listener]);
};

/** Ends what `on` began; without a listener, for all of them. */
export const off = (name, listener) => {
  listeners = listeners.filter((known) => known[0] !== name || (listener && known[1] !== listener));
};

/** Tells the page; what a listener throws stays in the console. */
export const emit = (name, detail) =>
  listeners.forEach((known) => {
    try {
      if (known[0] === name) known[1](detail);
    } catch (e) {
      console.error(e);
    }
  });

/** Tells the page's `error` listeners: `code` is one of those in the README. */
export const fail = (code, detail) => emit('error', { code, ...detail });

/** `work`, made harmless: an error inside becomes an `error` event. */
export const safe =
  (work) =>
  (...args) => {
    try {
      return work(...args);
    } catch (e) {
      return fail('internal', { message: `${e}` });
    }
  };

/** Listens on the window or document, before the page does, without ever throwing into it. */
export const listen = (target, type, handler) => target.addEventListener(type, safe(handler), true);

/** Runs `work` whenever the tab comes into sight or goes out of it. */
export const watchSight = (work) => listen(document, 'visibilitychange', work);
