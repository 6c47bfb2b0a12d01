/** The basket: lines of product and quantity under one cart id, kept in this browser until the order. Sums are in cents. */

import { load, save } from "./store.js";
import { track } from "./tell.js";

const KEY = "slow-kettle.cart";
const MOST = 20;

const usable = (line) => typeof line?.product?.product_id === "string" && line.quantity >= 1;

/** The basket as it is now: `{id, lines: [{product, quantity}]}`. */
export function cart() {
  const kept = load("localStorage", KEY);
  const lines = Array.isArray(kept?.lines) ? kept.lines.filter(usable) : [];
  return { id: lines.length ? kept.id : null, lines };
}

/** Puts some of a product into the basket and reports what was really added; answers how many that is. */
export function add(product, quantity) {
  const line = cart().lines.find((other) => other.product.product_id === product.product_id);
  return change(product, (line?.quantity ?? 0) + whole(quantity));
}

/** Makes it this many of a product, none at 0, and reports the difference as added or removed; answers the difference. */
export function change(product, quantity) {
  const { id, lines } = cart();
  const cartId = id ?? newId();
  const line = lines.find((other) => other.product.product_id === product.product_id);
  const before = line?.quantity ?? 0;
  const after = Math.min(MOST, Math.max(0, whole(quantity)));
  const others = lines.map((other) => (other === line ? { product, quantity: after } : other));
  const now = (line ? others : [...others, { product, quantity: after }]).filter(usable);
  save("localStorage", KEY, now.length ? { id: cartId, lines: now } : null);
  const difference = after - before;
  if (difference) {
    track(difference > 0 ? "Product Added" : "Product Removed", {
      ...product,
      quantity: Math.abs(difference),
      cart_id: cartId,
    });
  }
  announce();
  return difference;
}

/** Empties the basket without a word: after an order, or for a new visitor. */
export function clear() {
  save("localStorage", KEY, null);
  announce();
}

/** The lines as events list them. */
export function products({ lines }) {
  return lines.map(({ product, quantity }, index) => ({ ...product, quantity, position: index + 1 }));
}

/** What the lines cost: `{count, subtotal, delivery, total}`, given the terms `{shipping, freeFrom}`. */
export function sums({ lines }, { shipping, freeFrom }) {
  const subtotal = lines.reduce((sum, line) => sum + cents(line.product.price) * line.quantity, 0);
  const delivery = lines.length === 0 || subtotal >= freeFrom ? 0 : shipping;
  return { count: count({ lines }), subtotal, delivery, total: subtotal + delivery };
}

/** How many pieces lie in the basket. */
export function count({ lines }) {
  return lines.reduce((sum, line) => sum + line.quantity, 0);
}

/** An amount in cents, so that sums stay exact. */
export function cents(amount) {
  return Math.round(Number(amount) * 100);
}

/** Cents as the shop writes them: `$48.00`. */
export function money(amount) {
  return `$${(amount / 100).toFixed(2)}`;
}

/** Calls back at once, and whenever the basket changes, in this tab or another. */
export function watch(callback) {
  document.addEventListener("cart", callback);
  window.addEventListener("storage", (event) => event.key === KEY && callback());
  window.addEventListener("pageshow", (event) => event.persisted && callback());
  callback();
}

function announce() {
  document.dispatchEvent(new Event("cart"));
}

function whole(quantity) {
  return Math.trunc(Number(quantity)) || 0;
}

// crypto.randomUUID needs a secure context, and somebody will open the demo by the address of another machine.
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
