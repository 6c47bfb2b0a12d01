// The conversations as the server tells of them, and what was said here and has not come back from it yet.
import { call } from '../server.js';

/** `changed()` is called after every change, `done()` when what was said before is here. */
export function makeModel({ context, thread, talks, changed, done }) {
  const { get } = context;
  let conversations = []; // the latest first
  let asked; // for whom they were asked for
  let missed; // what the stream told while they were asked for

  const find = (id) => conversations.find((each) => each.id === id);
  const last = ({ parts }) => (parts.length ? parts[parts.length - 1].number : 0);

  async function load(again) {
    const id = get('id');
    if (missed || (asked === id && !again)) return done();
    asked = id;
    const heard = (missed = []);
    try {
      const response = await call(get, 'conversation');
      const { items, conversations: told } = await response.json();
      // Another person may have come meanwhile: then it is none of theirs.
      if (!response.ok || get('id') !== id) return undefined;
      thread.weave(items || []);
      conversations = told || [];
      talks.meet(conversations.map((each) => ({ ...each, last: last(each) })));
      heard.forEach(hear);
      settle();
      changed();
      return done();
    } catch (e) {
      asked = null; // the next time
      return undefined;
    } finally {
      missed = null;
    }
  }

  // What has come back is the server's from now on.
  function settle() {
    const known = new Set();
    conversations.forEach(({ parts }) => parts.forEach(({ id }) => known.add(id)));
    thread.settle(known);
  }

  function hear(told) {
    if (missed && !missed.includes(told)) missed.push(told);
    let found = find(told.conversation_id);
    if (!told.author) {
      if (found) ['read', 'seen', 'state'].forEach((name) => told[name] !== undefined && (found[name] = told[name]));
      return;
    }
    if (!found) {
      found = { id: told.conversation_id, parts: [], read: 0, seen: 0, rating: null };
      if (told.number > 1) load(true); // it began before we listened
    }
    const before = last(found);
    found.parts = [...found.parts.filter((each) => each.id !== told.id), told].sort((a, b) => a.number - b.number);
    if (last(found) > before) {
      found.state = 'open';
      conversations = [found, ...conversations.filter((each) => each !== found)];
    }
    if (told.author === 'operator') {
      if (told.name) Object.assign(found, { operator: told.name, photo: told.photo });
      found.read = Math.max(found.read, told.number);
    }
    settle();
  }

  return {
    load,
    hear,
    find,
    all: () => conversations,
    any: () => conversations.length > 0,
    /** The one that goes on with what the visitor says next; null where a new one begins. */
    current: () => (conversations.find((each) => each.state !== 'closed') || { id: null }).id,
    /** Where all stand, as the stream begins or a poll says. */
    meet(told) {
      const missed = told.some((each) => {
        const found = find(each.id);
        if (found) Object.assign(found, { read: each.read, seen: Math.max(found.seen, each.seen), state: each.state });
        return !found || last(found) < each.last;
      });
      if (missed) load(true);
    },
    forget() {
      conversations = [];
      asked = null;
    },
    /** What stands in a conversation (null: one that is to begin), in order: parts, and what is of this page alone. */
    entries(id) {
      const found = id && find(id);
      const list = (found ? found.parts : []).map(entryOf);
      let place = 0;
      thread.items.forEach((item) => {
        if (item.own && item.to ? item.to !== id : id !== null && id !== this.current()) return;
        if (item.part) place = list.length;
        else if (item.created_at) {
          const later = list.findIndex((each) => each.at > item.created_at);
          place = Math.max(place, later < 0 ? list.length : later); // what came in here stays in its order
        } else place = Math.min(place, list.length);
        list.splice(place, 0, { key: item.part || item.id || `${place} ${item.body}`, item, own: item.own, at: item.at || item.created_at, pending: !!item.part, files: item.files });
        place += 1;
      });
      return list;
    },
  };
}

const entryOf = (part) => ({
  key: part.id,
  part,
  own: part.author === 'visitor',
  at: part.at,
  files: part.content.attachments,
  products: part.content.products,
  item: part.author === 'rule' ? { ...part.content, id: part.id, answered: true } : { body: part.text },
});
