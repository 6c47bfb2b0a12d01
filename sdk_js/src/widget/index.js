// The widget: decides when a message may come into sight, shows it, and reports what the visitor does with it.
import { isTyping } from './dom.js';
import { makeChat } from './chat.js';
import { makeRoot } from './host.js';
import { showPopup } from './popup.js';
import { texts } from './texts.js';
import { makeThread } from './thread.js';

const BETWEEN_POPUPS = 3000;

window.chimein.widget((context) => {
  const { claim, emit, leave, nonce, safe, track } = context;
  const pending = new Map();
  const words = texts();
  const root = makeRoot(nonce);
  const thread = makeThread(context);
  const chat = makeChat(root, words, thread, {
    opened: (message) => report('Clicked', message, { target: 'teaser' }),
    clicked: (message, url) => report('Clicked', message, { target: 'button', url }),
    dismissed: (message) => report('Dismissed', message),
    replied(text) {
      answer(thread.last(), text);
      chat.say(thread.items[thread.items.length - 1]);
    },
  });
  let popup; // {id, close}
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

  const mayShow = (message) =>
    message.channel === 'chat' || !(popup || chat.isOpen() || isTyping() || Date.now() < quietUntil);

  function pump() {
    clearTimeout(timer);
    if (document.hidden) return;
    pending.forEach((message, id) => {
      if (message.expires_at && Date.parse(message.expires_at) < Date.now()) pending.delete(id);
    });
    const message = claiming ? null : [...pending.values()].find(mayShow);
    if (!message) return;
    claiming = true;
    // The visitor may begin to type, or go away, while the lock is waited for: so it is asked again under the lock.
    claim(message.id, () => !document.hidden && pending.has(message.id) && mayShow(message)).then((verdict) => {
      claiming = false;
      if (verdict === undefined) return;
      pending.delete(message.id);
      if (verdict) present(message);
      pump();
    });
  }

  const later = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(safe(pump), milliseconds);
  };

  function present(message) {
    if (message.channel === 'chat') {
      thread.add(message);
      if (chat.isOpen()) chat.say(message);
      else chat.tease(message);
    } else {
      popup = {
        id: message.id,
        close: showPopup(root, words, message, {
          clicked: (url) => report('Clicked', message, { target: 'button', url }),
          dismissed: () => report('Dismissed', message),
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
    report('Shown', message);
  }

  document.addEventListener('visibilitychange', safe(pump));
  document.addEventListener('focusout', () => later(600)); // perhaps only on the way to the next field
  window.addEventListener('focus', () => later(300));

  function revoke(id) {
    pending.delete(id);
    thread.remove(id);
    chat.revoke(id);
    if (popup && popup.id === id) popup.close();
  }

  function close() {
    if (popup) popup.close();
    chat.close();
  }

  return {
    /** Takes a message to be shown when the moment allows. */
    add(message) {
      if (pending.has(message.id)) return;
      pending.set(message.id, message);
      // Of several windows in sight, the one that the visitor is in goes first.
      if (document.hasFocus()) pump();
      else later(400);
    },
    revoke,
    open: chat.open,
    close,
    /** Another person from now on. */
    reset() {
      pending.clear();
      thread.clear();
      close();
    },
  };
});
