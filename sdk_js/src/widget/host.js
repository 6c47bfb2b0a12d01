// The widget's place in the page: a shadow root beside the body, which the page's styles and scripts leave alone.
import { h } from './dom.js';
import { STYLE } from './style.js';

/** Makes the root element in which everything is shown; `nonce` serves browsers without constructed style sheets. */
export function makeRoot(nonce) {
  const host = document.createElement('chimein-widget');
  const shadow = host.attachShadow({ mode: 'open' });
  try {
    // Unlike a style element this needs no permission from the page's content security policy.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
  } catch (e) {
    shadow.append(h('style', { nonce }, STYLE));
  }
  const root = h('div', { class: 'root', dir: getComputedStyle(document.body || document.documentElement).direction });
  shadow.append(root);
  // Letters typed here are no shortcuts of the page.
  ['keydown', 'keypress', 'keyup'].forEach((type) => root.addEventListener(type, (event) => event.stopPropagation()));
  document.documentElement.append(host);
  return root;
}
