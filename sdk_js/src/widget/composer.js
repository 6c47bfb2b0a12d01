// The reply box: grows with its text, Enter sends, Shift+Enter begins a line.
import { ARROW, h, icon } from './dom.js';

/** A form whose `send(text)` is called with what the visitor wrote. */
export function makeComposer(words, send) {
  const field = h('textarea', {
    rows: 1,
    maxlength: 4000,
    placeholder: words.placeholder,
    'aria-label': words.placeholder,
    input: fit,
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

  function fit() {
    field.dir = field.value ? 'auto' : ''; // the placeholder follows the page
    field.style.height = 'auto';
    field.style.height = `${Math.min(120, field.scrollHeight)}px`;
    button.setAttribute('aria-disabled', String(!field.value.trim()));
  }

  function submit() {
    const text = field.value.trim();
    if (!text) return;
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
  return { form, field };
}
