// Where the visitor's conversations stand: enough to tell that something is unread before any of it is fetched.
const TALKING = 30 * 60000; // so long after a word a hidden tab goes on listening

/** The conversations by id: `{last, unread, read, seen, state}`. */
export function makeTalks({ get, set }) {
  let known = new Map();
  const of = (id) => known.get(id) || known.set(id, { id, last: 0, unread: 0, read: 0, seen: 0, state: 'open' }).get(id);
  let timer;
  const over = () => set('live', null);
  function talking() {
    set('live', Date.now() + TALKING);
    clearTimeout(timer);
    timer = setTimeout(over, TALKING);
  }

  if (get('live') > Date.now()) timer = setTimeout(over, get('live') - Date.now());
  else over();

  return {
    any: () => known.size > 0,
    unread: () => [...known.values()].reduce((sum, each) => sum + each.unread, 0),
    /** The latest that has something unread. */
    waiting: () => ([...known.values()].find((each) => each.unread) || {}).id,
    state: (id) => known.get(id),
    /** The visitor has said something, or is about to. */
    talking,
    /** Takes what the server says of all of them. */
    meet(talks) {
      known = new Map(talks.map((each) => [each.id, each]));
    },
    /** Takes a part or a mark; true where it is a new part of the other side. */
    hear(told) {
      const talk = of(told.conversation_id);
      if (!told.author) {
        ['read', 'seen', 'state'].forEach((name) => {
          if (told[name] !== undefined) talk[name] = told[name];
        });
        if (talk.seen >= talk.last) talk.unread = 0;
        return false;
      }
      if (told.number <= talk.last) return false; // a changed one, or one that was told before
      talk.last = told.number;
      talk.state = 'open';
      talking();
      if (told.author === 'visitor') {
        talk.seen = told.number;
        talk.unread = 0;
        return false;
      }
      talk.unread += 1;
      return told.author !== 'rule';
    },
    /** The visitor has seen all of it. */
    seen(id) {
      const talk = of(id);
      talk.seen = talk.last;
      talk.unread = 0;
    },
    clear() {
      known.clear();
      over();
    },
  };
}
