// The pop-up: one message in a modal dialog, with its button, a reply box, and a way out that always works.
import { CROSS, focus, focused, h, icon, picture, safeUrl } from './dom.js';
import { makeAnswers } from './answers.js';
import { makeComposer } from './composer.js';

/**
 * Shows `message` in `root`. `on` gets `clicked(url)`, `answered(option)`, `replied(text)`, `dismissed()`, where it is
 * offered `never()`, and in every case at the end `closed()`. Returns a function that closes it without a word (a revoked message).
 */
export function showPopup(root, words, message, on) {
  const before = focused();
  let answered = false;
  const url = safeUrl(message.button && message.button.url);
  const composer = makeComposer(words, (text) => {
    on.replied(text);
    thank(composer.form, words.thanks);
    answered = true;
    focus(cross);
  });
  const reply = h(
    'button',
    {
      class: 'link',
      type: 'button',
      click() {
        reply.replaceWith(composer.form);
        focus(composer.field);
      },
    },
    words.reply,
  );
  const action =
    url &&
    h(
      'a',
      {
        class: 'button',
        href: url,
        click(event) {
          on.clicked(url);
          answered = true;
          if (!event.ctrlKey && !event.metaKey && !event.shiftKey) close();
        },
      },
      message.button.text || url,
    );
  const answers = makeAnswers(message, words, (option) => {
    on.answered(option);
    answered = true;
    thank(answers, words.answered);
    if (never) never.remove();
    focus(reply.isConnected ? reply : cross);
  });
  const never =
    on.never &&
    h(
      'button',
      {
        class: 'never',
        type: 'button',
        click() {
          answered = true;
          on.never();
          close();
        },
      },
      words.never,
    );
  const actions = h('div', { class: 'actions' }, answers, action, reply, never);
  const cross = h('button', { class: 'icon', type: 'button', 'aria-label': words.close, click: dismiss }, icon(CROSS, 20));
  const dialog = h(
    'dialog',
    {
      role: 'dialog',
      'aria-modal': 'true',
      'aria-labelledby': message.title ? 'popup-title' : null,
      'aria-label': message.title ? null : words.chat,
      'aria-describedby': 'popup-body',
      tabindex: -1,
      cancel(event) {
        event.preventDefault();
        dismiss();
      },
      close,
      keydown: trap,
      // A click beside the card: the dialog itself is hit, outside of its own box.
      mousedown(event) {
        const box = dialog.getBoundingClientRect();
        const beside = event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
        if (event.target === dialog && beside) dismiss();
      },
    },
    picture(message),
    h(
      'div',
      { class: 'inner' },
      message.title && h('h2', { class: 'title', id: 'popup-title', dir: 'auto' }, message.title),
      h('p', { class: 'body', id: 'popup-body', dir: 'auto' }, message.body || ''),
      actions,
    ),
    cross,
  );

  // A live region first, then what it says, so that it is read out.
  function thank(element, text) {
    const thanks = h('p', { class: 'thanks', role: 'status' });
    element.replaceWith(thanks);
    setTimeout(() => (thanks.textContent = text), 50);
  }

  function trap(event) {
    if (event.key === 'Escape') {
      event.preventDefault();
      dismiss();
    }
    if (event.key !== 'Tab') return;
    const stops = [...dialog.querySelectorAll('a[href], button, textarea')];
    const at = stops.indexOf(root.getRootNode().activeElement);
    const next = event.shiftKey ? (at <= 0 ? stops.length - 1 : at - 1) : (at + 1) % stops.length;
    event.preventDefault();
    stops[next].focus(); // scrolls to it, where the text is longer than the window
  }

  function dismiss() {
    if (dialog.isConnected && !answered) on.dismissed();
    close();
  }

  function close() {
    if (!dialog.isConnected) return;
    dialog.remove();
    focus(before);
    on.closed();
  }

  root.append(dialog);
  if (dialog.showModal) dialog.showModal();
  else dialog.setAttribute('open', '');
  focus(dialog);
  dialog.scrollTop = 0; // a browser gives the focus to the first button before, and a long text is scrolled to its end
  return close;
}
