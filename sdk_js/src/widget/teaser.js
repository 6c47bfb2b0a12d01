// The small bubble that comes before a window or the chat: it takes no focus, and goes when it is told to.
import { BUBBLE, CROSS, h, icon, picture } from './dom.js';

/** The bubble of `message`; `on` gets `opened()`, `dismissed()` and, where it is offered, `never()`. */
export function makeTeaser(message, words, on) {
  return h(
    'section',
    {
      class: 'teaser',
      'aria-label': message.title || words.chat,
      keydown: (event) => event.key === 'Escape' && on.dismissed(),
    },
    h(
      'button',
      { class: 'open', type: 'button', click: on.opened },
      (message.channel === 'popup' && picture(message)) || h('span', { class: 'face' }, icon(BUBBLE, 20)),
      h(
        'span',
        { class: 'words' },
        message.title && h('span', { class: 'title', dir: 'auto' }, message.title),
        h('span', { class: 'body', dir: 'auto' }, message.body || ''),
      ),
    ),
    on.never && h('button', { class: 'never', type: 'button', click: on.never }, words.never),
    h('button', { class: 'icon', type: 'button', 'aria-label': words.close, click: on.dismissed }, icon(CROSS, 18)),
  );
}
