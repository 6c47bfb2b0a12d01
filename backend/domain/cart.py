"""What lies in the cart? Computed from its remembered changes, so that late and repeated reports do no harm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain.amount import money as money
from backend.domain.event import Event
from backend.domain.profile import Cart, CartChange, CartItem

LOG_LIMIT = 200
"""Changes remembered one by one; older ones are folded into a single `set`."""

ITEM_LIMIT = 100
QUANTITY_LIMIT = 1_000_000

UNNAMED = ""
"""The product that an event puts into the cart without saying which: the cart is not empty then."""

KINDS = {"Product Added": "add", "Product Removed": "remove", "Cart Viewed": "set"}


def change_of(event: Event) -> CartChange | None:
    """What this event does to the cart; None where it tells of none."""
    kind = KINDS[event.name]
    properties = event.properties
    listed = properties.get("products")
    if isinstance(listed, list):
        items = tuple(item for entry in listed[:ITEM_LIMIT] if (item := item_of(entry)) is not None)
        if not items and kind != "set":
            return None
    elif kind == "set":
        return None
    else:
        items = (item_of(properties) or _item(UNNAMED, properties),)
    cart_id = properties.get("cart_id")
    return CartChange(
        at=event.timestamp,
        order=event.order,
        kind=kind,
        items=items,
        cart_id=str(cart_id) if isinstance(cart_id, str | int) else None,
    )


def item_of(properties: Any) -> CartItem | None:
    """The product described by Segment's properties; None without `product_id`, `sku` or `name`."""
    if not isinstance(properties, Mapping):
        return None
    product_id = product_id_of(properties)
    return None if product_id is None else _item(product_id, properties)


def product_id_of(properties: Mapping[str, Any]) -> str | None:
    """By what a product is known: its `product_id`, else its `sku`, else its name."""
    return _text(properties.get("product_id")) or _text(properties.get("sku")) or _text(properties.get("name"))


def _item(product_id: str, properties: Mapping[str, Any]) -> CartItem:
    return CartItem(
        product_id=product_id,
        quantity=quantity_of(properties.get("quantity")),
        price=money(properties.get("price")),
        name=_text(properties.get("name")),
        category=_text(properties.get("category")),
        brand=_text(properties.get("brand")),
        variant=_text(properties.get("variant")),
        url=_text(properties.get("url")),
        image_url=_text(properties.get("image_url")),
    )


def cart_of(changes: Sequence[CartChange]) -> Cart:
    """The cart after these changes, which stand in order of time."""
    items: dict[str, CartItem] = {}
    cart_id: str | None = None
    emptied_at: datetime | None = None
    for change in changes:
        filled = bool(items)
        items = _changed(items, change)
        if filled and not items:
            emptied_at = change.at
        cart_id = change.cart_id or cart_id
    return _cart(items, cart_id, changes[-1].at if changes else None, emptied_at)


def cart_after(cart: Cart, change: CartChange) -> Cart:
    """The cart after one more change, behind all those that made it what it is."""
    items = _changed({item.product_id: item for item in cart.items}, change)
    emptied_at = change.at if cart.items and not items else cart.emptied_at
    return _cart(items, change.cart_id or cart.cart_id, change.at, emptied_at)


def _changed(items: dict[str, CartItem], change: CartChange) -> dict[str, CartItem]:
    if change.kind == "set":
        return {item.product_id: item for item in change.items if item.quantity > 0}
    for item in change.items:
        _apply(items, change.kind, item)
    return items


def _cart(items: Mapping[str, CartItem], cart_id: str | None, at: datetime | None, emptied_at: datetime | None) -> Cart:
    total = sum((item.price * item.quantity for item in items.values() if item.price is not None), Decimal(0))
    return Cart(items=tuple(items.values()), total=total, cart_id=cart_id, updated_at=at, emptied_at=emptied_at)


def with_change(log: tuple[CartChange, ...], change: CartChange) -> tuple[CartChange, ...]:
    """The log with this change at its place in time; the oldest ones are summed up when it grows too long."""
    if not log or (log[-1].at, log[-1].order) <= (change.at, change.order):
        longer = (*log, change)
    else:
        longer = tuple(sorted((*log, change), key=lambda each: (each.at, each.order)))
    if len(longer) <= LOG_LIMIT:
        return longer
    cut = LOG_LIMIT // 2
    before, last = longer[:-cut], longer[-cut - 1]
    cart = cart_of(before)
    summed = CartChange(at=last.at, order=last.order, kind="set", items=cart.items, cart_id=cart.cart_id)
    return (summed, *longer[-cut:])


def _apply(items: dict[str, CartItem], kind: str, item: CartItem) -> None:
    known = items.get(item.product_id)
    if kind == "add":
        if known is None:
            if len(items) < ITEM_LIMIT and item.quantity > 0:
                items[item.product_id] = item
            return
        items[item.product_id] = replace(
            item,
            quantity=min(known.quantity + item.quantity, QUANTITY_LIMIT),
            price=item.price if item.price is not None else known.price,
            name=item.name or known.name,
            category=item.category or known.category,
            brand=item.brand or known.brand,
            variant=item.variant or known.variant,
            url=item.url or known.url,
            image_url=item.image_url or known.image_url,
        )
    elif known is not None:
        left = known.quantity - item.quantity
        if left > 0:
            items[item.product_id] = replace(known, quantity=left)
        else:
            del items[item.product_id]


def _text(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return value[:2048]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def quantity_of(value: Any) -> int:
    """How many pieces a told quantity means: one where it says nothing, none where it is not above zero."""
    amount = money(value)
    if amount is None:
        return 1
    # Half a kilo is something in the cart, too.
    return min(max(int(amount), 1), QUANTITY_LIMIT) if amount > 0 else 0
