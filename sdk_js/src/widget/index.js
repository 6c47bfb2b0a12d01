// The widget: decides when a message may come into sight, shows it, and reports what the visitor does with it.
import { makeAttention } from './attention.js';
import { makeChat } from './chat.js';
import { makeClaim } from './claim.js';
import { makeRoot } from './host.js';
import { chime } from './notice.js';
import { host } from './server.js';
import { makeStore, mayTell, safely } from './store.js';
import { showPopup } from './popup.js';
import { makeTalks } from './talks.js';
import { language, said, texts } from './texts.js';
import { makeThread } from './thread.js';

const BETWEEN_POPUPS = 3000;
const TEASER_STANDS = 30000; // so long before the next message may take its place
const AGAIN = 1000; // how often to look whether the moment has come
const SPOKEN = /^(bg|ru|uk|ja|de|fr|es|it|pl|pt|he|ar)$/; // languages in which the chat's words lie on the server
const DECIDED = 5000; // what the server decided on before it can have heard of "not again"

const { nonce } = document.currentScript || {};

window.chimein.widget((context) => {
  const { config, emit, inbox, leave, remember, send } = context;
  const { chat: always, sound } = config;
  const track = (event, properties, messageId) => {
    send('track', { event, properties, ...(messageId && { messageId }) });
    return mayTell(store, config);
  };
  const safe = safely(emit);
  const store = makeStore(context);
  const claim = makeClaim(context, store);
  const attention = makeAttention(context);
  const pending = new Map();
  const words = texts(config.texts);
  const root = makeRoot(nonce);
  const thread = makeThread(store);
  const talks = makeTalks(context);
  let loading;
  const chat = makeChat(root, words, {
    thread,
    talks,
    always,
    loadPanel,
    on: {
      clicked: (message, url) => report('Clicked', message, { target: 'button', url }),
      answered: pressed,
      say,
      track,
      sound,
      changed: () => chat.showLauncher(),
      opened() {
        const last = thread.opened(thread.items);
        if (last) report('Clicked', last, { target: 'chat' });
        chat.showLauncher();
      },
    },
  });
  let popup; // {id, close}
  let teased; // the pop-up whose bubble stands
  let quietUntil = 0;
  let timer;
  let claiming = false;

  function report(what, message, extra, messageId) {
    const { id, channel, rule_id: rule, variant } = message;
    const sent = track(`Message ${what}`, { message_id: id, channel, rule_id: rule, variant, ...extra }, messageId);
    emit(what.toLowerCase(), message);
    if (what === 'Clicked') leave(); // the page may be gone the next moment
    return sent;
  }

  // What the visitor says goes the way of every event, so it outlives the page; the event's id is the part's id, by
  // which it is known when it comes back. False where they may not be observed.
  function say(text, { to, files = [] } = {}, message = thread.last()) {
    const attached = files.length ? { attachments: files.map(({ id }) => id) } : {};
    const part = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join('');
    const answers = message && message.id && !to;
    const sent = answers
      ? report('Replied', message, { text, ...attached }, part)
      : track('Live Chat Message Sent', { message_body: text, conversation_id: to, ...attached }, part);
    if (!sent) return false;
    thread.keep();
    thread.add({ own: true, body: text, part, to, at: new Date().toISOString(), files });
    talks.talking();
    return true;
  }

  // The panel is a script of its own, and its words a file: both are fetched when it is opened.
  function loadPanel(take) {
    const fetchWords = async () => {
      if (!SPOKEN.test(language())) return {};
      const response = await fetch(`${host()}/chimein-words-${language()}.json`, { credentials: 'omit' });
      return response.json();
    };
    loading =
      loading ||
      Promise.all([
        new Promise((resolve, reject) => {
          window.chimein.talk = resolve;
          const element = document.createElement('script');
          element.src = host() + config.widget.replace('widget', 'talk');
          element.nonce = nonce;
          element.onerror = reject;
          document.head.append(element);
        }),
        fetchWords().catch(() => ({})),
      ]);
    return loading.then(
      ([make, spoken]) => take((parts) => make({ ...parts, context, store, base: words, words: Object.assign(spoken, ...said(config.texts)) })),
      (error) => {
        loading = null; // the next time
        emit('error', { code: 'widget' });
        throw error;
      },
    );
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

  // The stream says that something was said to this user, perhaps on another device, or in this browser before.
  function meet(told) {
    inbox.delete(told.id);
    const { userId, anonymousId } = store.read('id', {});
    if (told.user_id ? userId !== told.user_id : anonymousId !== told.anonymous_id) return; // somebody else's by now
    if (told.user_id) thread.heard(told.unread);
    talks.meet(told.talks || []);
    chat.showLauncher();
    chat.hear(told);
    if (chat.isOpen()) chat.refresh();
  }

  // A part of a conversation, how far it was read, or that somebody is typing.
  function hear(told) {
    inbox.delete(told.id);
    const fresh = !told.by && talks.hear(told);
    chat.hear(told);
    if (fresh && !chat.shows(told.conversation_id)) {
      if (sound && !store.read('muted')) chime();
      if (!chat.isOpen()) invite(told);
    }
    chat.showLauncher();
  }

  // What an operator says while the panel is closed stands in a bubble.
  function invite({ id, name, text, conversation_id: conversation }) {
    const open = () => chat.open({ conversation });
    chat.tease({ id, channel: 'chat', title: name || words.us, body: text }, { opened: open, dismissed() {} });
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
        chat.refresh();
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
          say(text, {}, message);
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

  document.addEventListener(
    'visibilitychange',
    safe(() => {
      pump();
      chat.showLauncher();
      chat.hear({});
    }),
  );
  document.addEventListener('focusout', () => later(600)); // perhaps only on the way to the next field
  window.addEventListener('focus', () => later(300));
  window.addEventListener(
    'storage',
    safe(({ key, newValue }) => {
      // Another tab has opened it, or waved it away.
      if (teased && `${key}`.endsWith(':teaser') && !/^{/.test(newValue)) forget(teased.id);
    }),
  );

  // Also a tab out of sight is told at once of what concerns a conversation.
  ['part', 'marks', 'typing'].forEach((kind) => window.chimein.on(kind, hear));
  const kept = store.read('teaser');
  if (kept) pending.set(kept.id, { ...kept, again: true });
  later(0);

  return {
    /** Takes a message to be shown when the moment allows, or the word that there is a conversation. */
    add(message) {
      if (message.conversation_id) return hear(message);
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
      chat.refresh();
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
      talks.clear();
      this.close();
      chat.hear({ gone: true });
    },
  };
});
