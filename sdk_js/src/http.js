// The one way to call the server: no preflight, no cookies, nothing secret in the address.

/** POSTs text; rejects where the network fails or `signal` aborts. */
export const post = (url, body, signal, keepalive) =>
  fetch(url, { method: 'POST', body, signal, keepalive, credentials: 'omit' });

/** The milliseconds that a `Retry-After` header (seconds or a date) asks to wait, else 0. */
export function retryAfter(response) {
  const asked = response.headers.get('Retry-After');
  return Math.max(0, asked * 1000 || Date.parse(asked) - Date.now() || 0);
}
