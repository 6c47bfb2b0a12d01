// The corner: a bubble that never takes the focus, a small panel with what was said, and a button to come back.
import { BUBBLE, CROSS, focus, h, icon, picture, safeUrl } from './dom.js';
import { makeAnswers } from './answers.js';
import { makeComposer } from './composer.js';
import { makeTeaser } from './teaser.js';

const OPEN = 'chimein:open'; // in the session storage: this tab's panel stays open from page to page

/**
 * Makes the corner in `root`. `thread` holds what was said; `on` gets `clicked(message, url)`, `answered(message, option)`,
 * `replied(text)`, `opened()`.
 */
export function makeChat(root, words, thread, on) {
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
  let panel; // {element, log, field}

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

  function open(byVisitor) {
    hideTeaser();
    if (!panel) build();
    thread.keep();
    remember('1');
    launcher.hidden = true;
    on.opened();
    // A finger would call up the keyboard before there was anything to read.
    if (byVisitor) focus(matchMedia('(hover: hover)').matches ? panel.field : panel.element);
  }

  function build() {
    const log = h('div', { class: 'log', role: 'log', 'aria-live': 'polite', 'aria-label': words.chat, tabindex: 0 });
    const composer = makeComposer(words, on.replied);
    const close = h('button', { class: 'icon', type: 'button', 'aria-label': words.close, click: shut }, icon(CROSS, 20));
    const element = h(
      'div',
      {
        class: 'panel',
        role: 'dialog',
        'aria-label': words.chat,
        tabindex: -1,
        keydown: (event) => event.key === 'Escape' && shut(),
      },
      h('header', {}, h('span', { class: 'face' }, icon(BUBBLE, 20)), h('h2', { class: 'title' }, words.chat), close),
      log,
      h('div', { class: 'foot' }, composer.form),
    );
    panel = { element, log, field: composer.field };
    corner.insertBefore(element, launcher);
    refresh();
  }

  function refresh() {
    if (!panel) return;
    panel.log.replaceChildren();
    thread.items.forEach(say);
  }

  function say(item) {
    if (!panel) return;
    const { button } = item;
    const url = !item.own && safeUrl(button && button.url);
    const answers =
      !item.own &&
      makeAnswers(item, words, (option) => {
        item.answered = true;
        answers.remove();
        on.answered(item, option);
        thread.keep();
        [{ own: true, body: option.text }, { body: words.answered }].forEach((each) => {
          thread.add(each);
          say(each);
        });
        focus(panel.field);
      });
    panel.log.append(
      h(
        'div',
        { class: item.own ? 'said own' : 'said', 'data-id': item.id },
        h('span', { class: 'unseen' }, item.own ? words.you : words.us),
        !item.own && picture(item),
        item.title && h('p', { class: 'title', dir: 'auto' }, item.title),
        h('p', { class: 'body', dir: 'auto' }, item.body || ''),
        answers,
        url && h('a', { class: 'button', href: url, click: () => on.clicked(item, url) }, button.text || url),
      ),
    );
    panel.log.scrollTop = panel.log.scrollHeight;
  }

  function shut() {
    if (!panel) return;
    panel.element.remove();
    panel = null;
    remember('');
    showLauncher();
    focus(launcher);
  }

  function showLauncher() {
    const unread = thread.unread();
    launcher.hidden = !thread.any() || !!panel || !!teaser;
    launcher.setAttribute('aria-label', unread ? `${words.chat} (${unread})` : words.chat);
    badge.hidden = !unread;
    badge.textContent = unread > 9 ? '9+' : unread;
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
    open: () => open(true),
    close() {
      hideTeaser();
      shut();
      showLauncher();
    },
    say,
    refresh,
    tease,
    hideTeaser,
    /** When the bubble that stands came, in milliseconds; 0 where none does. */
    teasedAt: () => (teaser ? teaser.since : 0),
    showLauncher,
    isOpen: () => !!panel,
    revoke(id) {
      if (teaser && teaser.message.id === id) takeTeaser();
      const said = panel && [...panel.log.children].find((element) => element.dataset.id === id);
      if (said) said.remove();
    },
  };
}
