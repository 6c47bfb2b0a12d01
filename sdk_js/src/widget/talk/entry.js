// One thing said, as an element: whatever it holds gets into the page as text, links lead only where links may lead.
import { makeAnswers } from '../answers.js';
import { h, icon, picture, safeUrl } from '../dom.js';
import { makeFace } from './face.js';
import { FILE } from './icons.js';
import { when } from './moments.js';

const LINK = /(https?:\/\/[^\s<>"']+[^\s<>"'.,:;!?)\]}])/;

/** The element of an entry of the model; `pressed(item, option, answers)` where one of its answers is chosen. */
export function makeEntry(entry, words, { clicked, pressed }) {
  const { item, own, part, files, products } = entry;
  const { button } = item;
  const gone = part && part.deleted;
  const url = !own && safeUrl(button && button.url);
  const answers = !own && makeAnswers(item, words, (option) => pressed(item, option, answers));
  const named = part && (part.author === 'operator' || part.name); // a stranger answered the visitor's mail
  const by = own ? words.you : (named && part.name) || words.us;
  return h(
    'div',
    { class: `said${own ? ' own' : ''}${gone ? ' gone' : ''}`, 'data-id': entry.key },
    named && !gone
      ? h('span', { class: 'name' }, part.author === 'operator' && makeFace(by, part.photo, 'face tiny'), h('span', { dir: 'auto' }, `${by} · ${when(part.at)}`))
      : h('span', { class: 'unseen' }, by),
    !own && picture(item),
    item.title && h('p', { class: 'title', dir: 'auto' }, item.title),
    gone ? h('p', { class: 'body' }, words.deleted) : (item.body || !files) && h('p', { class: 'body', dir: 'auto' }, ...linked(item.body || '', part)),
    ...(products || []).map(offered),
    ...(files || []).map((file) => attached(file)),
    answers,
    url && h('a', { class: 'button', href: url, click: () => clicked(item, url) }, button.text || url),
    part && part.edited && !gone && h('span', { class: 'mark' }, words.edited),
  );
}

// What people write holds addresses: they become links.
const linked = (text, part) =>
  part
    ? text.split(LINK).map((piece, i) => {
        const url = i % 2 ? safeUrl(piece, /^https?:$/) : null;
        return url ? h('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow' }, piece) : piece;
      })
    : [text];

// A product of the shop that an operator put into the reply.
function offered({ name, price, currency, url, image_url: image }) {
  const href = safeUrl(url, /^https?:$/);
  return h(
    href ? 'a' : 'div',
    { class: 'offer', href, target: href && '_blank', rel: href && 'noopener' },
    picture({ image }),
    h('span', null, h('b', { dir: 'auto' }, name), price && h('span', { class: 'size' }, `${price} ${currency || ''}`)),
  );
}

function attached({ name, type, size, url }) {
  const href = safeUrl(url, /^https?:$/);
  const label = h('a', { class: 'file', href, target: '_blank', rel: 'noopener' }, icon(FILE, 18), h('span', { dir: 'auto' }, name), h('span', { class: 'size' }, sizeOf(size)));
  if (!/^image\//.test(type) || !href) return label;
  return h(
    'a',
    { class: 'shot', href, target: '_blank', rel: 'noopener', 'aria-label': name },
    // Where the page's policy or the network refuses it, the name is enough.
    h('img', { class: 'picture', src: href, alt: name, error: ({ target }) => target.parentNode && target.parentNode.replaceWith(label) }),
  );
}

const sizeOf = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
