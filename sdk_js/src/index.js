// The core: finds its own tag, takes the stub's place, and puts the parts together.
import * as autocapture from './autocapture.js';
import { emit, listen, off, on, safe, watchSight } from './emitter.js';
import * as identity from './identity.js';
import * as live from './live.js';
import * as messages from './messages.js';
import { bind, get, read, scoped, write } from './storage.js';
import { at, send, track } from './tracker.js';
import * as transport from './transport.js';

const METHODS = {
  track,
  page: autocapture.page,
  identify(userId, traits, options) {
    if (!identity.allowed()) return;
    if (userId && typeof userId === 'object') [userId, traits, options] = [null, userId, traits];
    options = options || {};
    const userHash = options.userHash || options.userToken;
    if (userId || userId === 0) {
      const [otherPerson, changed] = identity.become(`${userId}`, userHash);
      if (otherPerson) messages.clear();
      if (changed) live.restart();
    }
    send('identify', { traits: traits || {} }, { ...options, context: { userHash, ...options.context } });
  },
  group: (groupId, traits, options) => send('group', { groupId: `${groupId}`, traits: traits || {} }, options),
  alias(userId, previousId, options) {
    const known = identity.current();
    previousId = `${previousId || known.userId || known.anonymousId}`;
    send('alias', { userId: `${userId}`, previousId }, options);
  },
  reset() {
    identity.renew();
    messages.clear();
    live.restart();
  },
  consent(choice) {
    const before = get('consent');
    const allowed = identity.allowed();
    // What is not answered anew stands; the text that was shown belongs to its own answers.
    const consent = { ...read('consent'), text: undefined, ...(choice || { analytics: false }) };
    write('consent', consent);
    const now = identity.allowed();
    if (!now) transport.clear();
    // What somebody who is known answers must be remembered, and only that; of anybody else nothing is kept at all.
    if (get('consent') !== before && (now || get('id') || identity.cookie()))
      send('track', { event: 'Consent Updated', context: { consent } });
    if (!now) {
      messages.clear();
      identity.forget();
    } else if (!allowed) autocapture.again();
    live.restart();
  },
  on,
  off,
  open: messages.open,
  close: messages.close,
};

const script = document.currentScript || document.querySelector('script[data-key]');
const api = (window.chimein = window.chimein || []);
if (script && script.dataset.key && !api.version) {
  const start = safe(() => begin(script.dataset.key));
  // A page that the browser prepares in advance has no visitor yet.
  if (document.prerendering) listen(document, 'prerenderingchange', start);
  else start();
}

function begin(key) {
  const host = script.dataset.host || new URL(script.src).origin;
  const waiting = api.length ? api.splice(0) : [];
  let open;
  let capturing;
  // Who kept a method of the stub still gets through: what it pushes is called.
  api.push = (...calls) =>
    calls.forEach((call) => {
      if (!open) return waiting.push(call);
      at(call[2]);
      safe(METHODS[call[0]])(...call[1]);
      return at();
    });
  Object.keys(METHODS).forEach((method) => {
    api[method] = (...args) => api.push([method, args]);
  });
  api.version = VERSION;
  const release = () => {
    open = true;
    api.push(...waiting.splice(0));
  };
  const capture = safe((config) => {
    release();
    if (!capturing) autocapture.start(config.capture);
    capturing = true;
  });
  const configure = async (delay) => {
    let status;
    try {
      const response = await fetch(`${host}/v1/config?writeKey=${key}`, { credentials: 'omit' });
      status = response.status;
      if (response.ok) write('config', await response.json());
    } catch (e) {
      // Away, or cut: what an earlier page was told holds.
    }
    const config = read('config');
    if (status === 401) console.warn('chimein: unknown write key', key);
    else if (!config) setTimeout(configure, delay * (0.5 + Math.random()), Math.min(60000, delay * 2));
    else {
      capture(config);
      messages.begin(host, config, script.nonce, api);
      live.listenTo(host, config.live, key, safe(messages.receive));
      emit('ready');
    }
  };

  bind(key);
  transport.connect(host, key);
  // The configuration of an earlier page saves a round trip; without any, the page's own calls need not wait,
  // except under the browser's privacy signal: then nothing is noted before the site's policy is known.
  if (read('config')) capture(read('config'));
  else if (!identity.objects()) release();
  configure(2000);

  watchSight(() => document.hidden && transport.leave());
  listen(window, 'pagehide', transport.leave);
  listen(window, 'storage', ({ key: changed, oldValue }) => {
    // Another tab has learnt who the visitor is, or that it is someone else.
    const who = changed === scoped('id');
    if (who && !`${oldValue}`.includes(read('id', {}).anonymousId)) messages.clear();
    if (who || changed === scoped('consent')) live.restart();
  });
}
