/** The way from basket to order: details, payment, thanks. */

import { cart, clear, products, sums } from "./cart.js";
import { draw, terms, text } from "./lines.js";
import { load, save } from "./store.js";
import { introduce, track } from "./tell.js";

const DETAILS = "slow-kettle.details";
const STARTED = "slow-kettle.started";
const ORDER = "slow-kettle.order";

const dollars = (amount) => amount / 100;

/** Drops what was typed and ordered in this window. */
export function forgetOrder() {
  for (const key of [DETAILS, STARTED, ORDER]) save("sessionStorage", key, null);
}

/** Basket page: shows what is in it, and keeps showing it. */
export function basketPage(watch) {
  watch(() => draw(cart()));
  const basket = cart();
  track("Cart Viewed", { cart_id: basket.id, products: products(basket) });
}

/** First step: the form, filled in as it was left; reports the start of this basket's checkout once. */
export function detailsPage() {
  const basket = cart();
  const cost = draw(basket);
  if (!basket.lines.length) return;
  if (load("sessionStorage", STARTED) !== basket.id) {
    save("sessionStorage", STARTED, basket.id);
    track("Checkout Started", {
      cart_id: basket.id,
      value: dollars(cost.total),
      revenue: dollars(cost.subtotal),
      shipping: dollars(cost.delivery),
      currency: basket.lines[0].product.currency,
      url: location.href,
      products: products(basket),
    });
  }
  const form = document.forms.checkout;
  for (const [name, value] of Object.entries(load("sessionStorage", DETAILS) ?? {})) {
    if (form.elements[name]) form.elements[name].value = value;
  }
  form.addEventListener("submit", () => {
    introduce(form);
    save("sessionStorage", DETAILS, Object.fromEntries(new FormData(form)));
  });
}

/** Second step: makes an order of the basket. The card never leaves the page, not even with the form. */
export function paymentPage() {
  const basket = cart();
  draw(basket);
  const details = load("sessionStorage", DETAILS);
  if (details) {
    const note = document.querySelector("#deliver-to");
    note.textContent = `To ${details.first_name} ${details.last_name}, ${details.address}, ${details.postcode} ${details.city}`;
    note.hidden = false;
  }
  const form = document.forms.payment;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // The basket of this moment, not of the page's opening: another tab may have changed it.
    const ordered = cart();
    if (!ordered.lines.length) return draw(ordered);
    const cost = sums(ordered, terms());
    const properties = {
      order_id: `SK-${Date.now().toString(36).toUpperCase()}`,
      cart_id: ordered.id,
      affiliation: form.dataset.shop,
      subtotal: dollars(cost.subtotal),
      shipping: dollars(cost.delivery),
      total: dollars(cost.total),
      revenue: dollars(cost.subtotal),
      currency: form.dataset.currency,
      products: products(ordered),
    };
    save("sessionStorage", ORDER, { told: false, firstName: details?.first_name ?? "", lines: ordered.lines, properties });
    clear();
    location.assign(form.dataset.next);
  });
}

/** The end: reports the order, once, however often the page is opened. */
export function thanksPage() {
  const order = load("sessionStorage", ORDER);
  draw({ lines: order?.lines ?? [] });
  if (!order) return;
  text("[data-order-id]", order.properties.order_id);
  if (order.firstName) text("[data-first-name]", `, ${order.firstName}`);
  if (order.told) return;
  track("Order Completed", order.properties);
  save("sessionStorage", ORDER, { ...order, told: true });
}
