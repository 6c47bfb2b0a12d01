// The panel: home with what was said before, one conversation at a time, and what belongs to it. Fetched when it is opened.
import { ARROW_BACK, BELL, BELL_OFF } from './icons.js';
import { CROSS, focus, h, icon } from '../dom.js';
import { makeAsk } from './ask.js';
import { makeFace } from './face.js';
import { makeHome } from './home.js';
import { makeModel } from './model.js';
import { makeStyle } from './style.js';
import { makeView } from './view.js';
import { WORDS } from './words.js';
import { repliesIn } from './moments.js';

window.chimein.talk(({ base, words: spoken, context, store, root, thread, talks, shut, on }) => {
  const words = { ...base, ...WORDS, ...spoken };
  const { config } = context;
  makeStyle(root);
  const model = makeModel({ context, store, thread, talks, changed: refresh, done: on.opened });
  let home; // the list, or
  let view; // one conversation

  const back = button('back', ARROW_BACK, words.back, goHome);
  let face = makeFace();
  let faced = ''; // whom it shows
  const title = h('h2', { class: 'title', dir: 'auto' }, words.chat);
  const state = h('span', { class: 'under', dir: 'auto' });
  const bell = button('bell', store.read('muted') ? BELL_OFF : BELL, words.sound, mute);
  bell.hidden = !on.sound;
  bell.setAttribute('aria-pressed', String(!store.read('muted')));
  const body = h('div', { class: 'inside' });
  const element = h(
    'div',
    {
      class: 'panel',
      role: 'dialog',
      'aria-label': words.chat,
      'data-chimein-ignore': '',
      tabindex: -1,
      keydown: (event) => event.key === 'Escape' && shut(),
    },
    h('header', {}, back, face, h('div', { class: 'who' }, title, state), bell, button('shut', CROSS, words.close, shut)),
    body,
  );

  function button(name, path, label, click) {
    return h('button', { class: `icon ${name}`, type: 'button', 'aria-label': label, click }, icon(path, 20));
  }

  function mute() {
    const muted = !store.read('muted');
    store.write('muted', muted || null);
    bell.replaceChildren(icon(muted ? BELL_OFF : BELL, 20));
    bell.setAttribute('aria-pressed', String(!muted));
  }

  const atDesk = () => config.desk || {};

  function head({ operator, photo }, online) {
    title.textContent = operator || words.chat;
    if (faced !== (faced = `${operator} ${photo}`)) {
      const before = face;
      face = makeFace(operator, photo);
      before.replaceWith(face);
    }
    state.textContent = online ? words.online : repliesIn(words, atDesk().replies_in);
    state.classList.toggle('online', !!online);
  }

  function goHome() {
    if (view) view.leave();
    view = null;
    home = makeHome({ words, model, talks, open: (id) => goTo(id, true), promise: repliesIn(words, atDesk().replies_in) });
    back.hidden = true;
    body.replaceChildren(home.element);
    refresh();
    focus(home.first);
  }

  function goTo(id, byVisitor) {
    if (view) view.leave();
    home = null;
    back.hidden = false;
    view = makeView({ id, words, context, store, model, thread, talks, on, ask: makeAsk({ words, store, on, config }) });
    body.replaceChildren(view.element);
    refresh();
    // A finger would call up the keyboard before there was anything to read.
    if (byVisitor) focus(matchMedia('(hover: hover)').matches ? view.field : element);
  }

  function refresh() {
    if (!element.isConnected && !(home || view)) return;
    if (home) home.refresh();
    if (view) view.refresh();
    head(view ? view.found() : {}, atDesk().online);
    on.changed();
  }

  return {
    element,
    /** Comes into sight: at a conversation, or where the visitor is most likely to want to be. */
    show({ conversation, home: list }, byVisitor) {
      model.load(thread.unread() + talks.unread() > 0);
      const waiting = talks.waiting();
      const fresh = thread.items.length > 0 || model.current() !== null;
      if (list) goHome();
      else if (conversation || !view) {
        if (conversation || waiting || fresh || !model.any()) goTo(conversation || waiting || null, byVisitor);
        else goHome();
      } else {
        refresh();
        if (byVisitor) focus(view.field);
      }
    },
    hidden() {
      if (view) view.leave();
      view = home = null;
      body.replaceChildren();
    },
    /** What the server has may have changed. */
    refresh() {
      if (thread.unread()) model.load(true);
      refresh();
    },
    shows: (id) => !!view && view.id() === id,
    hear(told) {
      if (told.gone) model.forget();
      else if (told.talks) model.meet(told.talks);
      else if (told.by) {
        if (view && told.by === 'operator' && view.id() === told.conversation_id) view.typing(told.name || words.us);
        return;
      } else if (told.conversation_id) {
        model.hear(told);
        if (view && told.author === 'operator') view.typing(null);
      }
      refresh();
    },
  };
});
