"""What do events tell of products? Who looked at which, put which into the cart, bought which; and their facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from backend.domain.event import Event
from backend.domain.product import LEARNED, Facts, product_id_of
from backend.domain.product_facts import read_facts

Interest: TypeAlias = Literal["viewed", "carted", "bought"]

INTERESTS: Mapping[str, Interest] = {
    "Product Viewed": "viewed",
    "Product Added": "carted",
    "Order Completed": "bought",
}
"""The events that tell of somebody's interest in a product, or that it is satisfied."""

EVENT_OF: Mapping[Interest, str] = {interest: name for name, interest in INTERESTS.items()}

TELLING = frozenset(
    {
        *INTERESTS,
        *("Product Clicked", "Product Removed", "Product Added to Wishlist", "Wishlist Product Added to Cart"),
        *("Product List Viewed", "Product List Filtered", "Cart Viewed"),
    }
)
"""The events that tell facts of products."""

MOST_IN_ONE = 100
"""Products of one event that are looked at."""

_ONLY_TOLD = frozenset(LEARNED)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one event tells of one product."""

    product_id: str
    properties: Mapping[str, Any]
    at: datetime


def described(event: Event) -> Iterator[Sighting]:
    """The products that an event is about, each with the properties that describe it."""
    listed = event.properties.get("products")
    shared = event.properties.get("currency")
    if isinstance(listed, list):
        for each in listed[:MOST_IN_ONE]:
            product_id = product_id_of(each)
            if product_id is not None:
                told = each if shared is None or "currency" in each else {**each, "currency": shared}
                yield Sighting(product_id, told, event.timestamp)
        return
    product_id = product_id_of(event.properties)
    if product_id is not None:
        yield Sighting(product_id, event.properties, event.timestamp)


def concerns(event: Event, product_id: str) -> bool:
    """Whether an event is about this product."""
    return any(each.product_id == product_id for each in described(event))


def facts_of(sighting: Sighting, hosts: frozenset[str]) -> Facts:
    """The facts that can be believed of a sighting, bad ones left out.

    Anybody may report events. So an address must lie on one of the site's own `hosts`, where the site says which those
    are: other visitors are sent there.
    """
    told = {name: sighting.properties[name] for name in LEARNED if sighting.properties.get(name) not in (None, "")}
    facts, _ = read_facts(told)
    found = {name: value for name, value in facts.items() if name in _ONLY_TOLD and value is not None}
    url = found.get("url")
    if url is not None and hosts and not url.startswith("/") and _host(url) not in hosts:
        del found["url"]
    return found


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0].lower()
