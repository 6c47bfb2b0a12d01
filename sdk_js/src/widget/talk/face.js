// Who answers, as a round picture: their photo, where it can be loaded, else the first letter of their name.
import { BUBBLE, h, icon, safeUrl } from '../dom.js';

/** The element; `photo` is an address, or nothing. Where the page's policy or the network refuses it, the letter shows. */
export function makeFace(name, photo, look = 'face') {
  const src = safeUrl(photo, /^https?:$/);
  const [letter] = (name || '').trim();
  return h(
    'span',
    { class: look, 'aria-hidden': 'true', 'data-letter': letter && letter.toUpperCase() },
    !letter && icon(BUBBLE, 20),
    src && h('img', { src, alt: '', referrerpolicy: 'no-referrer', load: ({ target }) => target.parentNode.classList.add('shown'), error: ({ target }) => target.remove() }),
  );
}
