// What was said in the chat, kept for the next page once the visitor has taken part in it.
const KEPT = 30;
const OPENED = 50;

/** The conversation in this store. */
export function makeThread({ read, write }) {
  let items = read('thread', []);
  let keeping = items.length > 0;
  let elsewhere = false;
  let unread = [];
  const save = () => keeping && write('thread', items.slice(-KEPT));
  return {
    get items() {
      return items;
    },
    /** Whether the visitor has taken part, so that a way back to it in the next page is due. */
    kept: () => keeping,
    /** Whether there is something to come back to, here or on the server. */
    any: () => keeping || elsewhere,
    /** The server has a conversation of this visitor; `ids` are those of its messages that were never opened. */
    heard(ids) {
      elsewhere = true;
      unread = ids.filter((id) => !read('opened', []).includes(id));
    },
    unread: () => unread.length,
    /** These messages are in sight in the open chat; returns the last of them that was unread. */
    opened(seen) {
      const last = seen.filter(({ id }) => unread.includes(id)).pop();
      const ids = seen.map(({ id }) => id).filter(Boolean);
      unread = unread.filter((id) => !ids.includes(id));
      write('opened', [...new Set([...read('opened', []), ...ids])].slice(-OPENED));
      return last;
    },
    /** The visitor takes part now. */
    keep() {
      keeping = true;
      save();
    },
    add(item) {
      items.push(item);
      save();
    },
    /** Puts what the server knows where it belongs in time, and each reply behind its message; true if any was new. */
    weave(told) {
      let fresh = false;
      const put = (place, item) => {
        items.splice(place, 0, item);
        fresh = true;
      };
      told.forEach(({ reply, ...message }) => {
        let place = items.findIndex((item) => item.id === message.id);
        if (place < 0) {
          place = items.findIndex((item) => item.created_at > message.created_at);
          if (place < 0) place = items.length;
          put(place, reply ? { ...message, answered: true } : message);
        }
        if (!reply) return;
        const replied = [];
        while (items[place + 1] && !items[place + 1].id) replied.push(items[++place]);
        if (!replied.some((item) => item.own && item.body === reply)) put(place + 1, { own: true, body: reply });
      });
      if (fresh) save();
      return fresh;
    },
    remove(id) {
      items = items.filter((item) => item.id !== id);
      save();
    },
    /** The server has these parts: what was said here under their ids is told by it from now on, with its message. */
    settle(known) {
      let over = false; // what follows a message without an id of its own belongs to it
      const left = items.filter((item) => {
        if (item.part) return !known.has(item.part);
        if (item.id) over = known.has(item.id);
        return !over;
      });
      if (left.length === items.length) return;
      items = left;
      save();
    },
    /** An item has changed. */
    save,
    /** The last message of the site, which a reply answers. */
    last: () => items.filter((item) => !item.own).pop(),
    clear() {
      items = [];
      keeping = elsewhere = false;
      unread = [];
      write('thread', null);
      write('opened', null);
    },
  };
}
