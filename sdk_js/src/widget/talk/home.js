// Home: the conversations so far, and the way to say something.
import { h } from '../dom.js';
import { makeFace } from './face.js';
import { when } from './moments.js';

const SHOWN = 20;

/** `open(id)` goes to a conversation, null: to a new one, or the one that goes on. */
export function makeHome({ words, model, talks, open, promise }) {
  const list = h('ul', { class: 'talks', 'aria-label': words.recent });
  const first = h('button', { class: 'button', type: 'button', click: () => open(null) }, words.write);
  const element = h(
    'div',
    { class: 'home', tabindex: 0, role: 'group', 'aria-label': words.welcome },
    h('div', { class: 'hello' }, h('p', { class: 'title', dir: 'auto' }, words.welcome), h('p', { class: 'muted', dir: 'auto' }, promise || words.greeting)),
    first,
    list,
  );

  function row(each) {
    const part = each.parts[each.parts.length - 1] || {};
    const said = part.deleted ? words.deleted : part.text || (part.content || {}).title || words.file;
    const { unread } = talks.state(each.id) || each;
    const name = each.operator || words.chat;
    return h(
      'li',
      {},
      h(
        'button',
        { class: unread ? 'talk fresh' : 'talk', type: 'button', click: () => open(each.id) },
        makeFace(each.operator, each.photo),
        h(
          'span',
          { class: 'words' },
          h('span', { class: 'line' }, h('span', { class: 'name', dir: 'auto' }, name), h('span', { class: 'muted aside' }, when(each.last_at || part.at))),
          h(
            'span',
            { class: 'line' },
            h('span', { class: 'muted cut', dir: 'auto' }, part.author === 'visitor' ? `${words.you}: ${said}` : said),
            unread ? h('span', { class: 'dot aside' }, h('span', { class: 'unseen' }, words.unread)) : each.state === 'closed' && h('span', { class: 'muted aside' }, words.closed),
          ),
        ),
      ),
    );
  }

  return {
    element,
    first,
    refresh: () => list.replaceChildren(...model.all().slice(0, SHOWN).map(row)),
  };
}
