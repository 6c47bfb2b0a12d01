// Messages between their arrival and their showing; fetches the widget when the first one is there.
import { emit, fail, safe, watchSight } from './emitter.js';
import { get, locked, read, set, write } from './storage.js';
import { track } from './tracker.js';
import { leave } from './transport.js';

const REMEMBERED = 200;
const inbox = new Map();
let tag; // where the widget is: [url, nonce, the page's chimein object]
let loading;
let widget;
let wanted; // open() came before the configuration

const shown = () => read('shown', []);
const remember = (id) => write('shown', [...shown(), id].slice(-REMEMBERED));

/** Says where the widget is; a conversation of an earlier page goes on. */
export function begin(...where) {
  tag = where;
  watchSight(deliver);
  if (wanted) open();
  else if (get('thread')) load(() => {});
}

/** Takes what the stream brings: `message` to be shown once, `revoke` not to be shown any more. */
export function receive(kind, data) {
  const { id } = data;
  if (kind === 'revoke') {
    inbox.delete(id);
    remember(id);
    if (widget) widget.revoke(id);
  } else if (!inbox.has(id) && !shown().includes(id)) {
    inbox.set(id, data);
    emit('message', data);
    deliver();
  }
}

/** Another person: what was meant for the last one goes, in sight or not. */
export function clear() {
  inbox.clear();
  set('thread', null);
  if (widget) widget.reset();
}

/** Opens the chat. */
export function open() {
  wanted = true;
  if (tag) load(() => widget.open());
}

/** Closes what is open. */
export function close() {
  wanted = false;
  if (widget) widget.close();
}

function deliver() {
  // Only a tab that is seen may show.
  if (inbox.size && !document.hidden) load(() => inbox.forEach(widget.add));
}

/** Resolves with 1 in one tab only, and only once ever, for a message; with 0 where it was shown; else undefined. */
const claim = (id, mayShow) =>
  new Promise((resolve) => {
    locked('show', () => {
      const over = shown().includes(id);
      if (!over && !mayShow()) return resolve();
      inbox.delete(id);
      resolve(over ? 0 : 1);
      if (over) return undefined;
      remember(id);
      // Other tabs may be other processes, which see what was stored a little later.
      return new Promise((seen) => setTimeout(seen, 300));
    });
  });

function load(then) {
  loading =
    loading ||
    new Promise((resolve) => {
      const [url, nonce, api] = tag;
      api.widget = (create) => {
        widget = create({ claim, emit, get, leave, nonce, read, safe, set, track, write });
        resolve();
      };
      const script = document.createElement('script');
      script.src = url;
      script.nonce = nonce || '';
      script.onerror = () => {
        loading = null; // the next message tries again
        fail('widget');
      };
      document.head.append(script);
    });
  loading.then(safe(then));
}
