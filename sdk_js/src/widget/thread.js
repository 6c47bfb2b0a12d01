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
    /** What was said earlier, elsewhere. */
    before(earlier) {
      items.unshift(...earlier);
      save();
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
