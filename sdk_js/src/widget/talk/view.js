// One conversation: what was said, how far it came, the box to answer in, and what is asked at its end.
import { makeComposer } from '../composer.js';
import { focus, h } from '../dom.js';
import { call } from '../server.js';
import { makeEntry } from './entry.js';
import { when } from './moments.js';
import { makeRating } from './rating.js';
import { makeUploads } from './uploads.js';

const TYPED = 3000; // how often the other side is told
const TYPES = 6000; // so long a word of theirs holds

export function makeView({ id, words, context, store, model, thread, talks, on, ask }) {
  const { get } = context;
  let conversation = id || model.current();
  const elements = new Map(); // by key: [signature, element]
  const state = h('div', { class: 'state', role: 'status' });
  const hint = h('div', { class: 'hint', dir: 'auto' }, words.greeting);
  const types = h('div', { class: 'types', role: 'status', hidden: '' });
  const log = h('div', { class: 'log', role: 'log', 'aria-live': 'polite', 'aria-label': words.chat, tabindex: 0 });
  const notice = h('div', { class: 'notice', role: 'alert', hidden: '' });
  const uploads = makeUploads({ words, get, changed: () => composer.fit(), failed: warn });
  const composer = makeComposer(words, send, { bare: uploads.any, typed });
  composer.form.prepend(uploads.button);
  composer.field.addEventListener('paste', ({ clipboardData }) => uploads.add(clipboardData && clipboardData.files));
  const foot = h('div', { class: 'foot' }, notice, uploads.element, composer.form);
  const element = h('div', { class: 'view' }, log, foot);
  let rating; // {id, element}
  let told = 0; // when the other side was last told of typing
  let timer;
  let reading;
  // A picture that comes late pushes nothing out of sight: who was at the end stays there.
  let atEnd = true;
  log.addEventListener('scroll', () => (atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60));
  log.addEventListener('load', () => atEnd && (log.scrollTop = log.scrollHeight), true);

  function warn(text, more) {
    notice.replaceChildren(text, ...(more ? [more] : []));
    notice.hidden = !text;
  }

  function send(text) {
    const files = uploads.ready();
    if (!files) return put(text, words.uploading);
    const unanswered = model.entries(conversation).filter(({ own, part, item }) => !own && !part && item.id).pop();
    const message = unanswered ? unanswered.item : null;
    if (!on.say(text, { to: message ? undefined : conversation || undefined, files }, message)) {
      put(text, words.consent);
      const agree = h('button', { class: 'link', type: 'button', click: () => allow(text) }, words.allow);
      return warn(words.consent, agree);
    }
    uploads.clear();
    warn('');
    ask.said();
    return refresh();
  }

  // What could not go stays in the box.
  function put(text, why) {
    composer.field.value = text;
    composer.fit();
    warn(why);
  }

  function allow(text) {
    window.chimein.consent({ analytics: true });
    warn('');
    composer.field.value = '';
    composer.fit();
    send(text);
    focus(composer.field);
  }

  function typed() {
    if (!conversation || Date.now() - told < TYPED) return;
    told = Date.now();
    call(get, 'typing', { conversationId: conversation }).catch(() => {});
  }

  function pressed(item, option, answers) {
    item.answered = true;
    answers.remove();
    on.answered(item, option);
    thread.keep();
    [{ own: true, body: option.text }, { body: words.answered }].forEach(thread.add);
    refresh();
    focus(composer.field);
  }

  function refresh() {
    conversation = conversation || model.current();
    const entries = model.entries(conversation);
    const found = conversation && model.find(conversation);
    const bottom = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    const before = elements.size;
    draw(entries);
    const last = entries[entries.length - 1];
    state.textContent = last && last.own && (last.pending || last.part) ? stateOf(last, found) : '';
    rate(found);
    log.append(state, types, ask.element);
    if (entries.length) hint.remove();
    else log.prepend(hint);
    if (rating) log.append(rating.element);
    if (bottom || elements.size > before) log.scrollTop = log.scrollHeight;
    see(found);
  }

  function draw(entries) {
    const keys = new Set(entries.map(({ key }) => key));
    elements.forEach(([, each], key) => {
      if (keys.has(key)) return;
      each.remove();
      elements.delete(key);
    });
    let next = log.firstChild;
    entries.forEach((entry) => {
      const { part, item } = entry;
      const signature = JSON.stringify([item.body, item.answered, part && [part.edited, part.deleted, part.name, part.photo]]);
      const known = elements.get(entry.key);
      if (!known || known[0] !== signature) {
        const made = makeEntry(entry, words, { clicked: on.clicked, pressed });
        if (known) {
          if (known[1] === next) next = made;
          known[1].replaceWith(made);
        }
        elements.set(entry.key, [signature, made]);
      }
      const [, shown] = elements.get(entry.key);
      if (shown === next) next = next.nextSibling;
      else log.insertBefore(shown, next);
    });
  }

  function stateOf({ pending, part }, found) {
    if (pending) return words.sending;
    return found && found.read >= part.number ? words.seen : `${words.sent} · ${when(part.at)}`;
  }

  function rate(found) {
    if (!found || found.state !== 'closed' || (found.rating && !rating)) {
      if (rating && !rating.done()) rating = void rating.element.remove();
      return;
    }
    rating =
      rating ||
      makeRating(words, (stars, remark) => {
        found.rating = stars;
        on.track('Live Chat Conversation Rated', { conversation_id: found.id, rating: stars, text: remark || undefined });
      });
  }

  // What stands before the visitor's eyes has been read.
  function see(found) {
    if (!found || document.hidden || !element.isConnected) return;
    const last = found.parts.filter(({ author }) => author !== 'visitor').pop();
    if (!last || last.number <= Math.max(found.seen, reading || 0)) return;
    reading = last.number;
    call(get, 'read', { conversationId: found.id, number: last.number })
      .then(({ ok }) => {
        if (!ok) return;
        found.seen = Math.max(found.seen, last.number);
      })
      .catch(() => (reading = 0));
    found.unread = 0;
    talks.seen(found.id);
    on.changed();
  }

  return {
    element,
    field: composer.field,
    refresh,
    id: () => conversation,
    found: () => (conversation && model.find(conversation)) || {},
    /** An operator is typing, or (null) has said it. */
    typing(name) {
      clearTimeout(timer);
      types.hidden = !name;
      types.textContent = name ? words.typing.replace('{name}', name) : '';
      if (name) timer = setTimeout(() => (types.hidden = true), TYPES);
      log.scrollTop = log.scrollHeight;
    },
    leave() {
      clearTimeout(timer);
    },
  };
}
