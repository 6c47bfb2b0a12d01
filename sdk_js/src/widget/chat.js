// The corner: a bubble that never takes the focus, the panel (fetched when it is opened), and a button to come back.
import { BUBBLE, focus, h, icon } from './dom.js';
import { count } from './notice.js';
import { makeTeaser } from './teaser.js';

const OPEN = 'chimein:open'; // in the session storage: this tab's panel stays open from page to page

/**
 * Makes the corner in `root`. `thread` holds the messages of rules and the answers to them, `talks` where conversations
 * stand; `always`: the button is there without any. `loadPanel(take)` fetches the panel and hands its maker to `take`;
 * `on` is passed on to it.
 */
export function makeChat(root, words, { thread, talks, always, loadPanel, on }) {
  const status = h('div', { class: 'unseen', role: 'status' });
  const badge = h('span', { class: 'badge', 'aria-hidden': 'true', hidden: '' });
  const launcher = h(
    'button',
    { class: 'launcher', type: 'button', 'aria-label': words.chat, hidden: '', click: () => open(true) },
    icon(BUBBLE, 26),
    badge,
  );
  const corner = h('aside', { class: 'corner', 'aria-label': words.chat }, status, launcher);
  root.append(corner);
  let teaser; // {message, element, told, since}
  let panel; // once it was opened
  let shown; // whether it is in sight
  let opening; // whether it is, or will be as soon as it is here

  /** Shows the bubble of a message; `told` as in `makeTeaser`, and `hidden()` where something else takes its place. */
  function tease(message, told) {
    hideTeaser();
    const after = (work) =>
      work &&
      (() => {
        takeTeaser();
        work();
      });
    const element = makeTeaser(message, words, {
      opened: after(told.opened),
      dismissed: after(told.dismissed),
      never: after(told.never),
    });
    teaser = { message, element, told, since: Date.now() };
    corner.insertBefore(element, launcher);
    launcher.hidden = true;
    setTimeout(() => (status.textContent = [message.title, message.body].filter(Boolean).join('. ')), 100);
  }

  function takeTeaser() {
    teaser.element.remove();
    teaser = null;
    status.textContent = '';
    showLauncher();
  }

  function hideTeaser() {
    if (!teaser) return;
    const { hidden } = teaser.told;
    takeTeaser();
    if (hidden) hidden();
  }

  function open(byVisitor, where) {
    hideTeaser();
    thread.keep();
    remember('1');
    launcher.hidden = true;
    const mine = (opening = {});
    loadPanel(makeParts).then(
      () => {
        if (opening !== mine) return; // it was closed meanwhile
        if (!shown) corner.insertBefore(panel.element, launcher);
        shown = true;
        panel.show(where || {}, byVisitor);
      },
      () => {
        if (opening === mine) shut();
      },
    );
  }

  function makeParts(make) {
    panel = panel || make({ root, thread, talks, shut, on });
  }

  function shut() {
    if (!opening) return;
    opening = null;
    if (shown) {
      panel.element.remove();
      panel.hidden();
    }
    shown = false;
    remember('');
    showLauncher();
    focus(launcher);
  }

  function showLauncher() {
    const unread = thread.unread() + talks.unread();
    launcher.hidden = !(always || thread.any() || talks.any()) || !!opening || !!teaser;
    launcher.setAttribute('aria-label', unread ? `${words.chat} (${unread})` : words.chat);
    badge.hidden = !unread;
    badge.textContent = unread > 9 ? '9+' : unread;
    count(unread);
  }

  function remember(state) {
    try {
      sessionStorage.setItem(OPEN, state);
    } catch (e) {
      // Then the panel closes with its page.
    }
  }

  function wasOpen() {
    try {
      return sessionStorage.getItem(OPEN);
    } catch (e) {
      return null;
    }
  }

  showLauncher();
  if (thread.kept() && wasOpen()) open(false);

  return {
    open: (where) => open(true, where),
    close() {
      hideTeaser();
      shut();
      showLauncher();
    },
    refresh: () => shown && panel.refresh(),
    tease,
    hideTeaser,
    /** When the bubble that stands came, in milliseconds; 0 where none does. */
    teasedAt: () => (teaser ? teaser.since : 0),
    showLauncher,
    isOpen: () => !!opening,
    /** Whether this conversation is before the visitor's eyes. */
    shows: (id) => shown && !document.hidden && panel.shows(id),
    /** The stream told of a part, of marks, of typing, or where all conversations stand. */
    hear: (told) => panel && panel.hear(told),
    revoke(id) {
      if (teaser && teaser.message.id === id) takeTeaser();
    },
  };
}
