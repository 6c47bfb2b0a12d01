/** What the shop tells chimein: the calls that a customer would write into their own shop's code. */

/** Reports something that happened; does nothing where the snippet is missing or blocked. */
export function track(event, properties) {
  window.chimein?.track(event, properties);
}

/**
 * Says who this is, as far as a form tells.
 *
 * Traits only, no user id: this shop has no accounts. An e-mail address would make a poor id, since anybody can type
 * anybody's. With accounts, it would be `chimein.identify(userId, traits, { userHash })` after the sign-in, with the hash
 * computed on the server.
 */
export function introduce(form) {
  const traits = {};
  for (const name of ["email", "first_name", "last_name"]) {
    const value = form.elements[name]?.value.trim();
    if (value) traits[name] = value;
  }
  window.chimein?.identify(traits);
  return traits;
}

/** Forgets this visitor: the next event is a new one's first. */
export function forget() {
  window.chimein?.reset();
}
