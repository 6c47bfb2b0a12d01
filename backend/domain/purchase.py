"""What does an order tell? Its worth, and its products."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from backend.domain import cart as carts
from backend.domain.event import Event
from backend.domain.habit import NAME_LENGTH, Line, Purchase

LONGEST_ID = 255


def purchase_of(event: Event) -> Purchase:
    """The purchase that this order is; its id is "" where it has none."""
    order_id = event.properties.get("order_id")
    named = str(order_id) if isinstance(order_id, str | int) and not isinstance(order_id, bool) else ""
    return Purchase(event.timestamp, named, order_value(event.properties), _lines(event.properties))


def _lines(properties: Mapping[str, Any]) -> tuple[Line, ...]:
    """The products of an order; the same one listed twice is one."""
    listed = properties.get("products")
    found: dict[str, Line] = {}
    for entry in listed[: carts.ITEM_LIMIT] if isinstance(listed, list) else [properties]:
        product_id = carts.product_id_of(entry) if isinstance(entry, Mapping) else None
        quantity = carts.quantity_of(entry.get("quantity")) if product_id is not None else 0
        if product_id is None or quantity < 1:
            continue
        product_id = product_id[:LONGEST_ID]
        known = found.get(product_id)
        if known is not None:
            found[product_id] = known._replace(quantity=known.quantity + quantity)
        else:
            found[product_id] = Line(product_id, quantity, _name(entry.get("category")), _name(entry.get("brand")))
    return tuple(found.values())


def _name(value: Any) -> str | None:
    return value[:NAME_LENGTH] if value.__class__ is str and value else None


def order_value(properties: Mapping[str, Any]) -> Decimal:
    """What an order was worth: `revenue`, else `total`, else `value`, else its products, else its one price."""
    for key in ("revenue", "total", "value"):
        amount = carts.money(properties.get(key))
        if amount is not None:
            return amount
    listed = properties.get("products")
    entries = listed if isinstance(listed, list) else [properties]
    items = [item for entry in entries if (item := carts.item_of(entry)) is not None]
    return sum((item.price * item.quantity for item in items if item.price is not None), Decimal(0))
