// What was said in the chat, kept for the next page once the visitor has taken part in it.
const KEPT = 30;

/** The conversation in this store. */
export function makeThread({ read, write }) {
  let items = read('thread', []);
  let keeping = items.length > 0;
  const save = () => keeping && write('thread', items.slice(-KEPT));
  return {
    get items() {
      return items;
    },
    /** Whether the visitor has taken part, so that a way back is due. */
    kept: () => keeping,
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
    /** An item has changed. */
    save,
    /** The last message of the site, which a reply answers. */
    last: () => items.filter((item) => !item.own).pop(),
    clear() {
      items = [];
      keeping = false;
      write('thread', null);
    },
  };
}
