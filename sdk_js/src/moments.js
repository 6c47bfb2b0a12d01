// What the widget asks before it interrupts: when this page began, when something went wrong, whether the visitor pays.
import { set } from './storage.js';

/** In milliseconds: when this page began (as capturing did), and when something last went wrong before the visitor's eyes. */
export const moments = {};

export const wentWrong = () => (moments.error = Date.now());

/** Notes what a reported event says of that. */
export function heed(event) {
  const told = /(error|fail|denied|declined)|^(Checkout)|^Order C|^Product/i.exec(event);
  if (told && told[1]) wentWrong();
  else if (told) set('checkout', told[2] ? Date.now() : null);
}
