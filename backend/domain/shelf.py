"""What may a template tell of products? Their facts, and what goes together with them, as far as that is at hand."""

from collections.abc import Iterable, Mapping
from typing import Any

from backend.domain.product import AMOUNTS, Facts, is_available

RELATED = ("similar", "bought_together")
TOLD_OF_OTHERS = ("name", "price", "list_price", "currency", "url", "image_url", "category", "brand")


class ProductNeeded(Exception):
    """A template asks for a product that is not at hand."""

    def __init__(self, product_id: str) -> None:
        super().__init__(f"The product {product_id} is needed")
        self.product_id = product_id


class Shelf:
    """The products at hand, as templates see them; asking for another one raises `ProductNeeded`.

    With `complete` there are no others: whoever asks for one learns nothing. `present`: they are as they stand at the
    moment that is asked about, so that they go before what was told when something changed.
    """

    __slots__ = ("_complete", "_told", "present")

    def __init__(self, *, complete: bool = False, present: bool = True) -> None:
        self._complete = complete
        self.present = present
        self._told: dict[str, Mapping[str, Any]] = {}

    def of(self, product_id: str) -> Mapping[str, Any]:
        """What is known of this product."""
        found = self._told.get(product_id)
        if found is None:
            if not self._complete:
                raise ProductNeeded(product_id)
            return {}
        return found

    def put(self, product_id: str, told: Mapping[str, Any]) -> None:
        """Puts a product at hand; nothing for one that nobody knows."""
        self._told[product_id] = told

    def make_room(self, most: int) -> None:
        """Forgets them all where there are so many."""
        if len(self._told) >= most:
            self._told.clear()

    def clear(self) -> None:
        """Forgets them all: what is told next is asked for again."""
        if self._told:
            self._told.clear()


def shown(facts: Facts, similar: Iterable[Facts] = (), bought_together: Iterable[Facts] = ()) -> dict[str, Any]:
    """A product as templates see it. What cannot be bought, or has no name, is not shown beside it."""
    told = _plain(facts)
    for name, others in zip(RELATED, (similar, bought_together), strict=True):
        listed = [
            {key: value for key, value in _plain(each).items() if key == "product_id" or key in TOLD_OF_OTHERS}
            for each in others
            if is_available(each) and each.get("name") is not None
        ]
        if listed:
            told[name] = listed
    return told


def _plain(facts: Facts) -> dict[str, Any]:
    return {
        name: f"{value:.2f}" if name in AMOUNTS else dict(value) if isinstance(value, Mapping) else value
        for name, value in facts.items()
        if value is not None
    }
