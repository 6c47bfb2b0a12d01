// Builds elements. Whatever comes from a message gets into the page as text, never as markup.

/** An element with attributes (a function is a listener) and children (strings become text; null is left out). */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  Object.keys(attributes || {}).forEach((name) => {
    const value = attributes[name];
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  });
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A small line icon, drawn from path data of our own. */
export function icon(path, size) {
  const space = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(space, 'svg');
  const attributes = { viewBox: '0 0 24 24', width: size, height: size, 'aria-hidden': 'true', focusable: 'false' };
  Object.keys(attributes).forEach((name) => svg.setAttribute(name, attributes[name]));
  const drawn = document.createElementNS(space, 'path');
  drawn.setAttribute('d', path);
  svg.append(drawn);
  return svg;
}

export const CROSS = 'M6 6l12 12M18 6L6 18';
export const BUBBLE = 'M20 11.5a7.5 7.5 0 0 1-7.5 7.5c-1.2 0-2.4-.3-3.4-.8L4 20l1.8-5.1a7.5 7.5 0 1 1 14.2-3.4z';
export const ARROW = 'M12 19V5M6 11l6-6 6 6';

/** The address if a link may lead there (http, https, mailto, tel, or relative), else null. */
export function safeUrl(text, schemes = /^(https?|mailto|tel):$/) {
  try {
    return text && schemes.test(new URL(text, document.baseURI).protocol) ? String(text) : null;
  } catch (e) {
    return null;
  }
}

/** The picture of a message, gone again if it cannot be loaded. */
export function picture(message) {
  const src = safeUrl(message.image, /^https?:$/);
  return src && h('img', { class: 'picture', src, alt: '', error: (event) => event.target.remove() });
}

/** The element that has the focus, also inside shadow roots. */
export function focused() {
  let element = document.activeElement;
  while (element && element.shadowRoot && element.shadowRoot.activeElement) element = element.shadowRoot.activeElement;
  return element;
}

/** Whether the visitor may be typing: a field, an editor, or a frame (a payment form, perhaps) has the focus. */
export function isTyping() {
  const element = focused();
  if (!element) return false;
  if (element.tagName === 'INPUT') return !/^(button|submit|reset|checkbox|radio|image|range|color|file)$/.test(element.type);
  return /^(IFRAME|TEXTAREA|SELECT)$/.test(element.tagName) || element.isContentEditable;
}

/** Gives the focus to `element` without moving the page. */
export const focus = (element) => element && element.isConnected && element.focus({ preventScroll: true });
