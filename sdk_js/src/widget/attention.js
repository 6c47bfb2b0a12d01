// The moment for a pop-up: never while the visitor types or pays, has only just come, or has just met an error.
import { isTyping } from './dom.js';

const GIVEN_UP = 30 * 60000; // a checkout that nothing was heard of for so long
const ERRORS = 30000; // a page that does nothing but fail is waited for so long and no longer

/** What the configuration's `attention` asks for; without it (another server) a pop-up waits for typing only. */
export function makeAttention({ config, get, moments }) {
  const { settle, after_error: afterError, checkout, teaser_first: teaserFirst } = config.attention || {};
  let heldSince = 0;

  function justFailed(now) {
    if (!(now - moments.error < afterError * 1000)) heldSince = 0;
    else if (!heldSince) heldSince = now;
    return heldSince && now - heldSince < ERRORS;
  }

  const inCheckout = () =>
    Math.abs(Date.now() - get('checkout')) < GIVEN_UP || (checkout || []).some((pattern) => fits(location.pathname, pattern));

  return {
    inCheckout: () => !!config.attention && inCheckout(),
    /** Whether a pop-up may come into sight now, as far as the page itself is concerned. */
    allows({ display }) {
      if (isTyping()) return false;
      if (display === 'at_once' || !config.attention) return true;
      const now = Date.now();
      return !(now - moments.page < settle * 1000 || justFailed(now) || inCheckout());
    },
    /** Whether a bubble comes before the window. */
    asTeaser: ({ display }) => (display ? display === 'teaser' : teaserFirst),
  };
}

/** Whether a path is like a pattern in which `*` stands for any characters. */
function fits(path, pattern) {
  const [first, ...parts] = pattern.split('*');
  if (!parts.length) return path === pattern;
  const last = parts.pop();
  let at = first.length;
  const inOrder = parts.every((part) => {
    const found = path.indexOf(part, at);
    at = found + part.length;
    return found >= 0;
  });
  return path.startsWith(first) && inOrder && path.length - last.length >= at && path.endsWith(last);
}
