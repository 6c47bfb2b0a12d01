"""What does a template see? The visitor's traits by name, and profile, cart, event, product and site: plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from backend.domain.event import NOTHING, SIGNAL, Event
from backend.domain.fact import BY_PRODUCT, FACTS
from backend.domain.mistakes import nearest, quoted
from backend.domain.product import product_id_of
from backend.domain.profile import Cart, Profile
from backend.domain.shelf import Shelf

RESERVED = frozenset({"profile", "cart", "event", "product", "site"})
"""Names that a trait cannot take."""

SHOWN = (
    "id",
    "user_id",
    "traits",
    "identifiers",
    "stage",
    "device",
    "first_seen",
    "last_seen",
    "sessions",
    "counts",
    "cart",
    "orders",
    "searches",
    "forms",
    "source",
    "groups",
    "page",
)
"""What a message may tell of a visitor. Not the anonymous ids: they are secrets; nor what only folding needs."""

KNOWN: Mapping[str, frozenset[str]] = {
    "profile": frozenset({*SHOWN, "facts"}),
    "site": frozenset({"name", "currency"}),
    "cart": frozenset({*(each.name for each in fields(Cart)), "count", "currency"}),
    "event": frozenset({"event", "name", "type", "message_id", "timestamp", "properties", "traits", "context"}),
}
"""What lies below the names that every template is given."""

KNOWN_FACTS = frozenset({*FACTS, "products"} - BY_PRODUCT)

PRODUCT_EVENTS = frozenset(
    {
        "Product Viewed",
        "Product Clicked",
        "Product Added",
        "Product Removed",
        "Product Added to Wishlist",
        "Product Removed from Wishlist",
        "Wishlist Product Added to Cart",
        "Product Shared",
        "Product Reviewed",
    }
)
PRODUCT_NAMES = {"product_id": ("product_id", "id", "sku"), "image_url": ("image_url", "image"), "url": ("url", "link")}
PRODUCT_AMOUNTS = ("price", "price_before", "list_price")
DEEPEST = 12


def template_context(
    profile: Profile,
    event: Event | None,
    site_name: str,
    currency: str,
    facts: Mapping[str, Any] = NOTHING,
    *,
    shelf: Shelf | None = None,
    asked: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Gather what a template sees: dicts, lists, text, numbers, booleans; money as text with two places; no nulls.

    `facts` are those that follow from the profile at the moment of rendering. What is `asked` of the product and not
    told by the event is looked up on the `shelf`, which may raise `ProductNeeded`.
    """
    visitor = {name: shown for name in SHOWN if (shown := plain(getattr(profile, name))) is not None}
    cart = visitor["cart"] | {"count": sum(item.quantity for item in profile.cart.items), "currency": currency}
    context: dict[str, Any] = {name: value for name, value in visitor["traits"].items() if name not in RESERVED}
    context |= {
        "profile": visitor | {"cart": cart, "facts": plain(facts)},
        "cart": cart,
        "site": {"name": site_name, "currency": currency},
    }
    if event is not None:
        context["event"] = {
            "event": event.name,
            "name": event.name,
            "type": event.type,
            "message_id": event.message_id,
            "timestamp": plain(event.timestamp),
            "properties": plain(event.properties),
            "traits": plain(event.traits),
            "context": plain(event.context),
        }
        if event.name in PRODUCT_EVENTS or "product_id" in event.properties:
            context["product"] = _product(context["event"]["properties"])
            if shelf is not None and asked:
                context["product"] = _looked_up(context["product"], event, shelf, asked)
    return context


def unknown_name(paths: Iterable[Sequence[str]]) -> str | None:
    """A sentence about the first path that no visitor will ever have a value at; None where all may have one."""
    for path in paths:
        known = KNOWN.get(path[0]) if len(path) > 1 else None
        asked = 1
        if tuple(path[:2]) == ("profile", "facts") and len(path) > 2:
            known, asked = KNOWN_FACTS, 2
        if known is not None and path[asked] not in known:
            name = ".".join(path[: asked + 1])
            return f"{quoted(name)} is nothing that a message can tell.{nearest(path[asked], known)}"
    return None


def plain(value: Any, depth: int = 0) -> Any:
    """Turn a value of the domain into one of JSON, without nulls and no deeper than an event may be."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if depth > DEEPEST:
        return None
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, Mapping):
        pairs = ((str(name), below) for name, below in value.items())
    elif isinstance(value, list | tuple):
        return [shown for each in value if (shown := plain(each, depth + 1)) is not None]
    else:
        return None
    return {name: shown for name, below in pairs if (shown := plain(below, depth + 1)) is not None}


def money(amount: Decimal) -> str:
    """Write an amount with two places."""
    return f"{amount:.2f}"


def _looked_up(told: dict[str, Any], event: Event, shelf: Shelf, asked: frozenset[str]) -> dict[str, Any]:
    """The trigger's product with what the catalogue adds to it; what we told of it ourselves may have changed since."""
    product_id = product_id_of(event.properties)
    if product_id is None or (event.type != SIGNAL and asked <= told.keys()):
        return told
    known = shelf.of(product_id)
    return {**told, **known} if event.type == SIGNAL and shelf.present else {**known, **told}


def _product(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The trigger's product: its properties, under the names of Segment's spec; its price as money."""
    product = dict(properties)
    for name, others in PRODUCT_NAMES.items():
        found = next((properties[other] for other in others if other in properties), None)
        if found is not None:
            product[name] = found
    for name in PRODUCT_AMOUNTS:
        price = product.get(name)
        if isinstance(price, int | float | str) and not isinstance(price, bool):
            try:
                amount = Decimal(str(price))
            except InvalidOperation:
                continue
            if amount.is_finite() and abs(amount) < 10**15:
                product[name] = money(amount)
    return product
