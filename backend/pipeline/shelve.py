"""The step `shelve`: products that templates ask for are fetched out of the catalogue, as they stand now."""

from collections.abc import Callable, Collection
from typing import TypeVar

from backend.domain.product import is_available
from backend.domain.shelf import ProductNeeded, Shelf, shown
from backend.runtime import Runtime
from backend.storage import products
from backend.storage.database import Connection

T = TypeVar("T")

MOST_SHELVED = 10_000
"""Products that are at hand at a time, where many are asked for one after the other."""


def asking_products(connection: Connection, site_id: str, shelf: Shelf, do: Callable[[], T]) -> T:
    """What `do` gives, which may ask the shelf for products: it is called again until all are at hand."""
    while True:
        try:
            return do()
        except ProductNeeded as needed:
            shelve(connection, site_id, shelf, [needed.product_id])


def fetching_products(rt: Runtime, site_id: str, shelf: Shelf, do: Callable[[], T]) -> T:
    """As `asking_products`, where no connection is open."""
    while True:
        try:
            return do()
        except ProductNeeded as needed:
            shelf.make_room(MOST_SHELVED)
            with rt.db.read() as connection:
                shelve(connection, site_id, shelf, [needed.product_id])


def shelve(connection: Connection, site_id: str, shelf: Shelf, ids: Collection[str]) -> None:
    """Puts these products at hand, each with what goes together with it; those that nobody knows as nothing."""
    found, related = products.load(connection, site_id, ids), products.related(connection, site_id, ids)
    beside = {
        other for each in related.values() for listed in (each.similar, each.bought_together) for other, _ in listed
    }
    others = found | products.load(connection, site_id, beside - found.keys())
    facts = {product_id: {"product_id": product_id, **each.facts} for product_id, each in others.items()}
    for product_id in ids:
        links = related.get(product_id, products.Related())
        # Beside what the API or a feed told of stands only what they told of, too: anybody may report events.
        outright = product_id in others and bool(others[product_id].told)
        similar, together = (
            [facts[other] for other, _ in listed if other in facts and (others[other].told or not outright)]
            for listed in (links.similar, links.bought_together)
        )
        told = shown(facts.get(product_id, {}), similar, together)
        if product_id in facts:
            told["available"] = is_available(facts[product_id])
        shelf.put(product_id, told)
