// At the end: how was it? One to five, and a remark for whoever has one.
import { focus, h } from '../dom.js';

/** `rated(stars, remark)` once. */
export function makeRating(words, rated) {
  let over = false;
  const remark = h('textarea', { rows: 2, maxlength: 2000, placeholder: words.remark, 'aria-label': words.remark });
  const more = h('div', { class: 'more', hidden: '' }, remark, h('button', { class: 'button', type: 'submit' }, words.send));
  const stars = [1, 2, 3, 4, 5].map((number) =>
    h(
      'label',
      { class: 'star' },
      h('input', { type: 'radio', name: 'rating', value: number, class: 'unseen', 'aria-label': `${number} / 5`, change: choose }),
      h('span', { 'aria-hidden': 'true' }, '★'),
    ),
  );
  const form = h('form', { submit: finish }, h('fieldset', {}, h('legend', {}, words.rate), h('div', { class: 'stars' }, ...stars)), more);
  const element = h('div', { class: 'card rate' }, form);
  let chosen = 0;

  function choose({ target }) {
    chosen = +target.value;
    stars.forEach((star, i) => star.classList.toggle('lit', i < chosen));
    more.hidden = false;
    const log = element.parentNode;
    log.scrollTop = log.scrollHeight;
  }

  function finish(event) {
    event.preventDefault();
    if (!chosen) return;
    over = true;
    rated(chosen, remark.value.trim());
    const thanks = h('p', { class: 'thanks', role: 'status', tabindex: -1 }, words.rated);
    form.replaceWith(thanks);
    focus(thanks);
  }

  return { element, done: () => over };
}
