// Messages between their arrival and their showing; fetches the widget when the first one is there.
import { emit, fail, safe, watchSight } from './emitter.js';
import { moments } from './moments.js';
import { get, locked, read, set, write } from './storage.js';
import { send } from './tracker.js';
import { leave } from './transport.js';

const REMEMBERED = 200;
const inbox = new Map();
let tag; // [where the server is, its configuration, the script's nonce, the page's chimein object]
let loading;
let widget;
let wanted; // what open() was told, perhaps before the configuration came

const shown = () => read('shown', []);
const remember = (id) => write('shown', [...shown(), id].slice(-REMEMBERED));

/** Says where the widget is; what an earlier page began goes on. */
export function begin(...where) {
  tag = where;
  watchSight(deliver);
  if (wanted || get('thread') || get('teaser') || where[1].chat) load(show);
  if (where[1].signals) script(where[1].signals);
}

/**
 * Takes what the stream brings: `message` to be shown once, `revoke` not to be shown any more; and `conversation`,
 * that there is one, which the widget takes out at once, so that it may come again.
 */
export function receive(kind, data) {
  const { id } = data;
  if (kind === 'revoke') {
    inbox.delete(id);
    remember(id);
    if (widget) widget.revoke(id);
  } else if (!inbox.has(id) && !shown().includes(id)) {
    inbox.set(id, data);
    emit(kind, data);
    deliver();
  }
}

/** Another person: what was meant for the last one goes, in sight or not. */
export function clear() {
  inbox.clear();
  set('thread', null);
  set('teaser', null);
  if (widget) widget.reset();
}

const show = () => wanted && widget.open(wanted);

/** Opens the chat; `{conversation: id}` at what was said there. */
export function open(where = 1) {
  wanted = where;
  if (tag) load(show);
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

function script(path) {
  const element = document.createElement('script');
  element.src = tag[0] + path;
  element.nonce = tag[2];
  document.head.append(element);
  return element;
}

function load(then) {
  loading =
    loading ||
    new Promise((resolve) => {
      const [, config, , api] = tag;
      api.widget = (create) => {
        widget = create({ config, emit, get, inbox, leave, locked, moments, remember, send, set });
        resolve();
      };
      script(config.widget).onerror = () => {
        loading = null; // the next message tries again
        fail('widget');
      };
    });
  loading.then(safe(then));
}
