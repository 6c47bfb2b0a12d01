// What the widget itself asks of the server: by the address and key of the page's own tag, as whoever the visitor is now.
const tag = () => document.querySelector('script[data-key]') || { dataset: {} };

/** Where the server is. */
export const host = () => tag().dataset.host || new URL(tag().src).origin;

/** `{writeKey, anonymousId, userId?, userHash?}`. */
export const who = (get) => ({ writeKey: tag().dataset.key, ...JSON.parse(get('id')) });

/** POSTs to `/v1/PATH`; resolves with the answer. A proof that is refused is left out: what is this browser's own may still come. */
export async function call(get, path, more) {
  const send = (body) =>
    fetch(`${host()}/v1/${path}`, { method: 'POST', credentials: 'omit', body: JSON.stringify({ ...body, ...more }) });
  const known = who(get);
  const response = await send(known);
  return response.status === 403 && known.userHash ? send({ ...known, userId: undefined, userHash: undefined }) : response;
}
