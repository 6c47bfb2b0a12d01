// Who the visitor of this browser is: a random secret of the page's own, and the user id that the page vouches for.
import { secret } from './random.js';
import { get, read, set, write } from './storage.js';

/** Whether this visitor may be observed: an explicit choice first, then the browser's privacy signals. */
export function allowed() {
  const { analytics } = read('consent', {});
  return analytics === undefined ? !objects() : analytics === true;
}

/** Whether the browser sends a privacy signal that the site honours, or may honour: its policy is not known yet. */
export function objects() {
  const { policy = {} } = read('config', {});
  return (
    (navigator.globalPrivacyControl && policy.honour_gpc !== false) ||
    (navigator.doNotTrack > 0 && policy.honour_dnt !== false)
  );
}

/** `{anonymousId, userId?, userHash?}`; read anew each time, because another tab may have changed it. */
export function current() {
  const known = read('id', {});
  return known.anonymousId ? known : keep({ anonymousId: cookie() || secret() });
}

/** Starts a new, unknown visitor. */
export const renew = () => keep({ anonymousId: secret() });

/** Forgets the visitor altogether. */
export function forget() {
  set('id', null);
  cookie('', 0);
}

/**
 * Notes the page's word that this visitor is `userId`. Another person than before gets a new anonymous id first,
 * so that two people on one device never become one. Returns `[personChanged, anythingChanged]`.
 */
export function become(userId, userHash) {
  const known = current();
  const before = get('id');
  const other = known.userId && known.userId !== userId;
  keep({
    anonymousId: other ? secret() : known.anonymousId,
    userId,
    userHash: userHash || (other ? undefined : known.userHash),
  });
  return [other, get('id') !== before];
}

function keep(known) {
  write('id', known);
  // A backend of the same site reads the same visitor from this cookie.
  cookie(known.anonymousId, 3e7);
  return known;
}

/**
 * The visitor's id as the site's backend knows it, if there is one; with `age` (seconds) it becomes `value`.
 * A sandboxed page has no cookies.
 */
export function cookie(value, age) {
  try {
    if (value === undefined) return /chimein_id=([\w-]{16,64})/.exec(document.cookie)[1];
    document.cookie = `chimein_id=${value};path=/;max-age=${age};SameSite=Lax${location.protocol > 'http:' ? ';Secure' : ''}`;
  } catch (e) {
    // Sandboxed, or there is none.
  }
  return undefined;
}
