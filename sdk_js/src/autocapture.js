// What the page tells without being asked, as far as the site's configuration wants it.
import { followDataLayer } from './datalayer.js';
import { listen, safe } from './emitter.js';
import { reportOf } from './forms.js';
import { moments, wentWrong } from './moments.js';
import { pageNow, send, setReferrer, track } from './tracker.js';

const NUMERIC = /^(price|quantity|value|total)$/;
let capture = {};
let viewed; // the address of the last page view, the page's own call included
let viewedUrl;
let looked; // the address at which we looked around last
let searched; // the last search there, however it was noticed

const address = () => location.pathname + location.search;

/** Begins to capture; called once, with the configuration's `capture`. */
export function start(config) {
  capture = config;
  const soon = () => setTimeout(safe(look), 0); // a router sets the title after it has pushed the address
  ['pushState', 'replaceState'].forEach((method) => {
    const original = history[method];
    history[method] = function (...args) {
      const result = original.apply(this, args);
      soon();
      return result;
    };
  });
  listen(window, 'popstate', soon);
  listen(window, 'pageshow', (event) => event.persisted && again());
  // A picture that cannot be loaded is no error that a visitor minds.
  ['invalid', 'error'].forEach((type) => listen(window, type, ({ target }) => target.src || wentWrong()));
  if (capture.clicks) listen(document, 'click', click);
  if (capture.forms) {
    listen(document, 'change', (event) => {
      const report = reportOf(event.composedPath()[0], capture.forms);
      if (report) track('Form Field Filled', report);
    });
  }
  looked = 0; // a consent may have looked before there was anything to capture
  look();
  if (capture.data_layer) followDataLayer(capture.data_layer, report);
}

/** Segment's `page([category], [name], [properties], [options])`; ours and the page's own call are one per address. */
export function page(...args) {
  const names = args.filter((arg) => typeof arg === 'string').slice(0, 2);
  const [properties, options] = args.filter((arg) => arg && typeof arg === 'object');
  if (viewedUrl && viewedUrl !== location.href) setReferrer(viewedUrl);
  viewed = address();
  viewedUrl = location.href;
  send('page', { name: names.pop(), category: names.pop(), properties: { ...pageNow(), ...properties } }, options);
}

/** Reports the present page as if it were new: after a consent, or when the browser restores it. */
export function again() {
  viewed = looked = searched = undefined;
  look();
}

function look() {
  const now = address();
  if (now === looked) return;
  looked = now;
  moments.page = Date.now();
  if (capture.page_views && now !== viewed) page();
  const given = new URLSearchParams(location.search);
  const queries = (capture.search_params || []).map((param) => (given.get(param) || '').trim());
  report('Products Searched', { query: queries.find(Boolean) });
}

function report(event, properties) {
  if (event === 'Products Searched') {
    // The address and the data layer often tell of the same search.
    const search = `${address()} ${properties.query}`;
    if (search === searched || !properties.query) return;
    searched = search;
  }
  track(event, properties);
}

function click(event) {
  const from = event.composedPath()[0];
  const element = from.closest && from.closest(capture.clicks);
  if (!element || element.closest('[data-chimein-ignore]')) return;
  const properties = {};
  Object.keys(element.dataset).forEach((key) => {
    const name = /^chimein(?!Event$)([A-Z].*)/.exec(key);
    if (!name) return;
    const value = element.dataset[key];
    const snake = name[1].replace(/\B[A-Z]/g, '_$&').toLowerCase();
    properties[snake] = NUMERIC.test(snake) && value.trim() && isFinite(value) ? +value : value;
  });
  track(element.dataset.chimeinEvent || 'Element Clicked', properties);
}
