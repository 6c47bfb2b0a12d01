// Files that go along with what is said: each is sent at once, and said with the next message.
import { CROSS, h, icon } from '../dom.js';
import { host, who } from '../server.js';
import { CLIP } from './icons.js';

const LARGEST = 10 * 2 ** 20;
const MOST = 10;
const KINDS = 'image/png,image/jpeg,image/gif,image/webp,application/pdf,text/plain,.txt,.csv,.docx,.xlsx,.pptx,.odt,.ods,.odp';

/** `changed()` whenever something is added, done or gone; `failed(text)` where a file is not taken. */
export function makeUploads({ words, get, changed, failed }) {
  let files = []; // {name, told: what the server says of it, row}
  const element = h('div', { class: 'uploads', hidden: '' });
  const input = h('input', {
    type: 'file',
    accept: KINDS,
    multiple: '',
    hidden: '',
    'aria-label': words.attach,
    change() {
      add(input.files);
      input.value = '';
    },
  });
  const button = h('button', { class: 'icon clip', type: 'button', 'aria-label': words.attach, click: () => input.click() }, icon(CLIP, 20), input);

  function add(chosen) {
    [...(chosen || [])].forEach((file) => {
      failed('');
      if (file.size > LARGEST || !file.size) return failed(words.too_large.replace('{name}', file.name));
      if (files.length < MOST) start(file);
      return undefined;
    });
  }

  async function start(file) {
    const each = { name: file.name };
    each.row = h(
      'span',
      { class: 'upload busy' },
      h('span', { class: 'cut', dir: 'auto' }, file.name),
      h('button', { class: 'icon', type: 'button', 'aria-label': `${words.remove}: ${file.name}`, click: () => drop(each) }, icon(CROSS, 14)),
    );
    files.push(each);
    element.append(each.row);
    show();
    const form = new FormData();
    Object.entries(who(get)).forEach(([name, value]) => value && form.append(name, value));
    form.append('file', file);
    try {
      const response = await fetch(`${host()}/v1/attachments`, { method: 'POST', body: form, credentials: 'omit' });
      if (!response.ok) throw new Error(response.status);
      each.told = await response.json();
      each.row.classList.remove('busy');
    } catch (e) {
      if (files.includes(each)) failed(words.refused.replace('{name}', file.name));
      drop(each);
    }
    show();
  }

  function drop(each) {
    files = files.filter((other) => other !== each);
    each.row.remove();
    show();
  }

  function show() {
    element.hidden = !files.length;
    changed();
  }

  return {
    element,
    button,
    add,
    any: () => files.length > 0,
    /** What the server says of them; nothing while one is still on its way. */
    ready: () => (files.every(({ told }) => told) ? files.map(({ told }) => told) : null),
    clear() {
      files = [];
      element.replaceChildren();
      show();
    },
  };
}
