// The answers under a message, as buttons: one press tells the site, and takes them away.
import { h } from './dom.js';

/** A group of buttons named by the element `labelledBy`, or nothing; `press(option)` gets `{text, value}`. */
export function makeAnswers(message, words, press) {
  const { answers } = message;
  if (!answers || message.answered) return null;
  return h(
    'div',
    { class: 'answers', role: 'group', 'aria-label': message.title || words.reply },
    ...answers.options.map((option) =>
      h('button', { class: 'answer', type: 'button', dir: 'auto', click: () => press(option) }, option.text),
    ),
  );
}
