// Reads the e-commerce pushes that a shop makes for Google Analytics 4, and says them in Segment's words.
import { safe } from './emitter.js';
import { read, write } from './storage.js';

// One event per product …
const EACH = {
  view_item: 'Product Viewed',
  add_to_cart: 'Product Added',
  remove_from_cart: 'Product Removed',
  select_item: 'Product Clicked',
  add_to_wishlist: 'Product Added to Wishlist',
};
// … or one with all of them.
const WHOLE = {
  view_item_list: 'Product List Viewed',
  view_cart: 'Cart Viewed',
  begin_checkout: 'Checkout Started',
  add_payment_info: 'Payment Info Entered',
  purchase: 'Order Completed',
  refund: 'Order Refunded',
};

/** Reports each entry of the page's data layer `name` through `report(event, properties)`, the earlier ones too. */
export function followDataLayer(name, report) {
  const layer = (window[name] = window[name] || []);
  const { push } = layer;
  let ecommerce;
  const see = safe((entry) => {
    if (!entry) return;
    // gtag('event', name, parameters) pushes its arguments; a tag manager's entry carries `event` and `ecommerce`.
    if (entry[0] === 'event') return translate(entry[1], entry[2] || {}, report);
    if (entry.ecommerce !== undefined) ecommerce = entry.ecommerce;
    translate(entry.event, { ...entry, ...ecommerce }, report);
  });
  layer.push = function (...entries) {
    const result = push.apply(this, entries);
    entries.forEach(see);
    return result;
  };
  layer.slice().forEach(see);
}

function translate(event, data, report) {
  const products = (Array.isArray(data.items) ? data.items : []).map(product);
  const { currency } = data;
  const value = number(data.value);
  const total = /purchase|refund/.test(event) ? value : undefined;
  const whole = WHOLE[event];
  if (/^(view_)?search/.test(event)) {
    report('Products Searched', { query: data.search_term || '' });
  } else if (EACH[event]) {
    products.forEach((each) =>
      report(EACH[event], { ...each, currency, value: products.length > 1 ? undefined : value }),
    );
  } else if (whole && (event !== 'purchase' || first(data.transaction_id))) {
    report(whole, {
      order_id: data.transaction_id,
      list_id: data.item_list_id,
      category: data.item_list_name,
      affiliation: data.affiliation,
      payment_method: data.payment_type,
      total,
      revenue: total,
      value,
      tax: number(data.tax),
      shipping: number(data.shipping),
      currency,
      coupon: data.coupon,
      products,
    });
  }
}

const product = (item) => ({
  product_id: item.item_id && `${item.item_id}`,
  name: item.item_name,
  brand: item.item_brand,
  category: item.item_category,
  variant: item.item_variant,
  price: number(item.price),
  quantity: number(item.quantity) || 1,
  coupon: item.coupon,
  position: number(item.index),
});

/** Shops often push "11.99", and rules compare numbers; what is no number is left out. */
function number(value) {
  const result = typeof value === 'string' && value.trim() ? +value : value;
  return Number.isFinite(result) ? result : undefined;
}

// A reloaded thank-you page pushes the same purchase again.
function first(transaction) {
  const known = read('orders', []);
  if (transaction) write('orders', [...known, transaction].slice(-50));
  return !known.includes(transaction);
}
