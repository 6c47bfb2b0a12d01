// The reply box: grows with its text, Enter sends, Shift+Enter begins a line.
import { ARROW, h, icon } from './dom.js';

/**
 * A form whose `send(text)` is called with what the visitor wrote; `more.bare()` says whether it may go without text,
 * `more.typed()` is told of each letter.
 */
export function makeComposer(words, send, more = {}) {
  const field = h('textarea', {
    rows: 1,
    maxlength: 4000,
    placeholder: words.placeholder,
    'aria-label': words.placeholder,
    input() {
      fit();
      if (more.typed) more.typed();
    },
    keydown(event) {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      submit();
    },
  });
  const button = h(
    'button',
    { class: 'send', type: 'submit', 'aria-label': words.send, 'aria-disabled': 'true' },
    icon(ARROW, 18),
  );

  const nothing = () => !field.value.trim() && !(more.bare && more.bare());

  function fit() {
    field.dir = field.value ? 'auto' : ''; // the placeholder follows the page
    field.style.height = 'auto';
    field.style.height = `${Math.min(120, field.scrollHeight)}px`;
    button.setAttribute('aria-disabled', String(nothing()));
  }

  function submit() {
    if (nothing()) return;
    const text = field.value.trim();
    field.value = '';
    fit();
    send(text);
  }

  const form = h(
    'form',
    {
      class: 'composer',
      submit(event) {
        event.preventDefault();
        submit();
      },
    },
    field,
    button,
  );
  return { form, field, fit };
}
