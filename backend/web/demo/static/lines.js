/** Draws basket lines and their sums into a page; every text goes in as text, never as markup. */

import { cents, change, money, sums } from "./cart.js";

/** The terms of delivery, in cents, as the page states them. */
export function terms() {
  const { shipping, freeFrom } = document.querySelector("[data-totals]").dataset;
  return { shipping: cents(shipping), freeFrom: cents(freeFrom) };
}

/** Shows the lines and sums, or what the page says about an empty basket; answers the sums. */
export function draw(basket) {
  for (const part of document.querySelectorAll("[data-when-filled]")) part.hidden = basket.lines.length === 0;
  for (const part of document.querySelectorAll("[data-when-empty]")) part.hidden = basket.lines.length > 0;
  document.querySelector("[data-lines]").replaceChildren(...basket.lines.map(drawLine));
  const cost = sums(basket, terms());
  text("[data-subtotal]", money(cost.subtotal));
  text("[data-delivery]", cost.delivery ? money(cost.delivery) : "free");
  text("[data-total]", money(cost.total));
  return cost;
}

/** Writes a text into the one element that a selector finds. */
export function text(selector, value, within = document) {
  within.querySelector(selector).textContent = value;
}

function drawLine({ product, quantity }) {
  const item = document.querySelector("#line").content.cloneNode(true);
  for (const link of item.querySelectorAll("[data-link]")) link.href = product.url;
  item.querySelector("[data-image]").src = product.image_url;
  text("[data-name]", product.name, item);
  text("[data-sum]", money(cents(product.price) * quantity), item);
  const input = item.querySelector("[data-quantity]");
  text("[data-each]", input ? `${money(cents(product.price))} each` : `${quantity} × ${money(cents(product.price))}`, item);
  if (input) {
    text("[data-quantity-label]", `Quantity of ${product.name}`, item);
    input.value = quantity;
    input.dataset.id = product.product_id;
    input.addEventListener("change", () => {
      change(product, input.checkValidity() ? input.value : quantity);
      // Drawing anew replaced the field: give the focus back to the one that took its place.
      document.querySelector(`[data-quantity][data-id="${CSS.escape(product.product_id)}"]`)?.focus();
    });
    const remove = item.querySelector("[data-remove]");
    remove.setAttribute("aria-label", `Remove ${product.name}`);
    remove.addEventListener("click", () => {
      change(product, 0);
      text("#changed", `${product.name} is out of the basket.`);
      document.querySelector("#main").focus();
    });
  }
  return item;
}
