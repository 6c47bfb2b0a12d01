// Turns calls into Segment's messages: who, what, when, and the circumstances of the page.
import { allowed, current } from './identity.js';
import { heed } from './moments.js';
import { secret } from './random.js';
import { read } from './storage.js';
import { enqueue } from './transport.js';

let referrer = document.referrer;
let moment;

/** Within a single-page application the page before is the referrer of the next. */
export function setReferrer(url) {
  referrer = url;
}

/** What is sent next happened at `time` (ms), before this code was there; without an argument: now. */
export function at(time) {
  moment = time;
}

/** What is known of the page now, in Segment's words. */
export const pageNow = () => ({
  path: location.pathname,
  referrer,
  search: location.search,
  title: document.title,
  url: location.href,
});

/**
 * Sends a message of `type` with `fields`, where it is allowed; `options` may carry `timestamp` and `context`. What has a
 * `context` among its fields brings it in the place of ours and goes in any case: an answer about consent.
 */
export function send(type, fields, options) {
  if (!(fields.context || allowed())) return;
  const { context, timestamp } = options || {};
  const { anonymousId, userId } = current();
  heed(fields.event);
  enqueue({
    type,
    messageId: secret(),
    timestamp: new Date(timestamp || moment || Date.now()).toISOString(),
    anonymousId,
    userId,
    context: { ...circumstances(), ...context },
    ...fields,
  });
}

/** Reports that `event` happened. */
export const track = (event, properties, options) =>
  send('track', { event: `${event}`, properties: properties || {} }, options);

function circumstances() {
  const campaign = {};
  new URLSearchParams(location.search).forEach((value, name) => {
    if (/^utm_./.test(name)) campaign[name.slice(4).replace(/^campaign$/, 'name')] = value;
  });
  return {
    page: pageNow(),
    consent: read('consent'),
    campaign: Object.keys(campaign).length ? campaign : undefined,
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    screen: { width: screen.width, height: screen.height },
    userAgent: navigator.userAgent,
    library: { name: 'chimein.js', version: VERSION },
  };
}
