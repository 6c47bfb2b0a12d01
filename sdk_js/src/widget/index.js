// The widget: decides when a message may come into sight, shows it, and reports what the visitor does with it.
import { makeAttention } from './attention.js';
import { makeChat } from './chat.js';
import { makeClaim } from './claim.js';
import { makeHistory } from './history.js';
import { makeRoot } from './host.js';
import { makeStore, safely } from './store.js';
import { showPopup } from './popup.js';
import { texts } from './texts.js';
import { makeThread } from './thread.js';

const BETWEEN_POPUPS = 3000;
const TEASER_STANDS = 30000; // so long before the next message may take its place
const AGAIN = 1000; // how often to look whether the moment has come
const DECIDED = 5000; // what the server decided on before it can have heard of "not again"

const { nonce } = document.currentScript || {};

window.chimein.widget((context) => {
  const { emit, inbox, leave, remember, track } = context;
  const safe = safely(emit);
  const store = makeStore(context);
  const claim = makeClaim(context);
  const attention = makeAttention(context);
  const pending = new Map();
  const words = texts();
  const root = makeRoot(nonce);
  const thread = makeThread(store);
  const history = makeHistory(context, thread, (changed) => {
    if (changed) chat.refresh();
    const last = thread.opened(thread.items);
    if (last) report('Clicked', last, { target: 'chat' });
  });
  const chat = makeChat(root, words, thread, {
    clicked: (message, url) => report('Clicked', message, { target: 'button', url }),
    answered: pressed,
    opened: () => history(thread.unread()),
    replied(text) {
      answer(thread.last(), text);
      chat.say(thread.items[thread.items.length - 1]);
    },
  });
  let popup; // {id, close}
  let teased; // the pop-up whose bubble stands
  let quietUntil = 0;
  let timer;
  let claiming = false;

  function report(what, message, extra) {
    const { id, channel, rule_id: rule, variant } = message;
    track(`Message ${what}`, { message_id: id, channel, rule_id: rule, variant, ...extra });
    emit(what.toLowerCase(), message);
    if (what === 'Clicked') leave(); // the page may be gone the next moment
  }

  function answer(message, text) {
    thread.keep();
    thread.add({ own: true, body: text });
    if (message) report('Replied', message, { text });
    else track('Live Chat Message Sent', { text });
  }

  function pressed(message, { text, value }) {
    report('Answered', message, { answer: text, value, trait: message.answers.trait });
  }

  // The visitor wants no more of this: nothing that waits comes into sight, nor what was decided before the server knew.
  function never(message) {
    report('Dismissed', message, { never: true });
    const decided = Date.parse(message.created_at);
    store.write('never', (decided ? decided + Date.now() - (message.arrived || 0) : Date.now()) + DECIDED);
    [...pending.values()].forEach(drop);
    settle();
    chat.hideTeaser();
  }

  // The stream says that something was said to this user, perhaps on another device.
  function meet({ id, user_id: user, unread }) {
    inbox.delete(id);
    if (store.read('id', {}).userId !== user) return; // it is somebody else's by now
    thread.heard(unread);
    chat.showLauncher();
    if (chat.isOpen()) history(thread.unread());
  }

  function drop({ id }) {
    unkeep(id);
    pending.delete(id);
    inbox.delete(id);
    remember(id);
  }

  const unwanted = (message) => message.rule_id && Date.parse(message.created_at) < store.read('never', 0);

  const mayShow = (message) =>
    message.channel === 'chat' ||
    !(
      popup ||
      chat.isOpen() ||
      Date.now() < quietUntil ||
      ((teased || attention.asTeaser(message)) && Date.now() - chat.teasedAt() < TEASER_STANDS) ||
      !attention.allows(message)
    );

  function pump() {
    clearTimeout(timer);
    if (document.hidden) return;
    pending.forEach((message, id) => {
      if (message.expires_at && Date.parse(message.expires_at) < Date.now()) {
        unkeep(id);
        pending.delete(id);
      } else if (unwanted(message)) drop(message);
    });
    if (teased && attention.inCheckout()) chat.hideTeaser(); // a single-page application has gone there
    const message = claiming ? null : [...pending.values()].find(mayShow);
    if (!message) {
      if (pending.size || teased) later(AGAIN);
      return;
    }
    if (message.again) {
      pending.delete(message.id);
      present(message);
      pump();
      return;
    }
    claiming = true;
    // The visitor may begin to type, or go away, while the lock is waited for: so it is asked again under the lock.
    claim(message.id, () => !document.hidden && pending.has(message.id) && mayShow(message)).then((verdict) => {
      claiming = false;
      if (verdict === undefined) return later(AGAIN);
      pending.delete(message.id);
      if (verdict) {
        present(message);
        report('Shown', message);
      }
      return pump();
    });
  }

  function later(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(safe(pump), milliseconds);
  }

  function present(message) {
    if (message.channel === 'chat') {
      thread.add(message);
      if (chat.isOpen()) {
        chat.say(message);
        thread.opened([message]);
      } else {
        chat.tease(message, {
          opened() {
            report('Clicked', message, { target: 'teaser' });
            chat.open();
          },
          dismissed: () => report('Dismissed', message),
          never: message.rule_id && (() => never(message)),
        });
      }
    } else if (attention.asTeaser(message)) tease(message);
    else open(message);
  }

  // The bubble stays with the visitor from page to page, until they open it or wave it away.
  function tease(message) {
    store.write('teaser', message);
    const done = (work) => () => {
      settle();
      work();
    };
    chat.tease(message, {
      opened: done(() => {
        report('Clicked', message, { target: 'teaser' });
        open(message);
      }),
      dismissed: done(() => report('Dismissed', message)),
      never: message.rule_id && done(() => never(message)),
      // Something else took its place in the corner: it comes again when there is room.
      hidden() {
        if (teased !== message) return;
        teased = null;
        pending.set(message.id, { ...message, again: true });
        later(AGAIN);
      },
    });
    teased = message;
    later(AGAIN);
  }

  function unkeep(id) {
    if ((store.read('teaser') || {}).id === id) store.write('teaser', null);
  }

  function settle() {
    teased = null;
    store.write('teaser', null);
  }

  function open(message) {
    popup = {
      id: message.id,
      close: showPopup(root, words, message, {
        clicked: (url) => report('Clicked', message, { target: 'button', url }),
        dismissed: () => report('Dismissed', message),
        never: message.rule_id && (() => never(message)),
        answered: (option) => pressed(message, option),
        replied(text) {
          thread.add(message);
          answer(message, text);
        },
        closed() {
          popup = null;
          quietUntil = Date.now() + BETWEEN_POPUPS;
          chat.showLauncher();
          later(BETWEEN_POPUPS);
        },
      }),
    };
  }

  function forget(id) {
    if (teased && teased.id === id) teased = null;
    unkeep(id);
    pending.delete(id);
    chat.revoke(id);
  }

  document.addEventListener('visibilitychange', safe(pump));
  document.addEventListener('focusout', () => later(600)); // perhaps only on the way to the next field
  window.addEventListener('focus', () => later(300));
  window.addEventListener(
    'storage',
    safe(({ key, newValue }) => {
      // Another tab has opened it, or waved it away.
      if (teased && `${key}`.endsWith(':teaser') && !/^{/.test(newValue)) forget(teased.id);
    }),
  );

  const kept = store.read('teaser');
  if (kept) pending.set(kept.id, { ...kept, again: true });
  later(0);

  return {
    /** Takes a message to be shown when the moment allows, or the word that there is a conversation. */
    add(message) {
      if (message.unread) return meet(message);
      if (pending.has(message.id)) return;
      message.arrived = Date.now();
      pending.set(message.id, message);
      // Of several windows in sight, the one that the visitor is in goes first.
      if (document.hasFocus()) pump();
      else later(400);
    },
    revoke(id) {
      forget(id);
      thread.remove(id);
      if (popup && popup.id === id) popup.close();
    },
    open: chat.open,
    close() {
      settle();
      if (popup) popup.close();
      chat.close();
    },
    /** Another person from now on. */
    reset() {
      pending.clear();
      thread.clear();
      this.close();
    },
  };
});
