// Nobody is there: where may the answer go? What is typed is a candidate, never proof of who they are.
import { h } from '../dom.js';

/** `said()`: the visitor has written something; then it is asked, once, where nobody is there and nothing is known of them. */
export function makeAsk({ words, store, on, config }) {
  const element = h('div', { class: 'asked', hidden: '' });
  const away = () => config.desk && config.desk.online === false;

  function finish(answer) {
    store.write('asked', true);
    element.replaceChildren(answer ? h('p', { class: 'thanks', role: 'status' }, words.email_thanks) : '');
    element.hidden = !answer;
  }

  function show() {
    const field = h('input', { type: 'email', required: '', maxlength: 254, autocomplete: 'email', placeholder: words.email, 'aria-label': words.email });
    const form = h(
      'form',
      {
        class: 'card ask',
        submit(event) {
          event.preventDefault();
          const value = field.value.trim();
          if (!value) return;
          on.track('Form Field Filled', { form: 'chimein-chat', field: 'email', value, page: location.pathname });
          finish(true);
        },
      },
      h('p', { class: 'body' }, words.email_ask),
      h('div', { class: 'row' }, field, h('button', { class: 'button', type: 'submit' }, words.email_send)),
      h('button', { class: 'link', type: 'button', click: () => finish(false) }, words.email_no),
    );
    element.replaceChildren(form);
    element.hidden = false;
  }

  return {
    element,
    said() {
      if (away() && !store.read('asked') && !store.read('id', {}).userId) show();
    },
  };
}
