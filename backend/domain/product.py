"""What is a product? Facts under an id: told by the API or a feed, or learned from events, and what changed of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias

Source: TypeAlias = Literal["api", "feed", "event"]
Facts: TypeAlias = Mapping[str, Any]
"""Values by name, one of `FACTS`; amounts are Decimals, `attributes` a flat object, and None is a fact taken back."""

FACTS = (
    *("name", "price", "list_price", "currency", "stock", "available"),
    *("url", "image_url", "category", "brand", "attributes"),
)
LEARNED = ("name", "price", "currency", "url", "image_url", "category", "brand")
"""What events tell of a product. Never what is in stock: a page sees what it is shown."""

AMOUNTS = ("price", "list_price")
LONGEST_ID = 255
MOST_STATES = 20
"""So many states of price and stock are remembered of a product, for simulations."""

AHEAD = timedelta(minutes=5)
"""So far ahead of now a learned fact may be dated: else nobody could ever correct it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Price and stock from a moment on; `learned`: an event said so."""

    at: datetime
    price: Decimal | None = None
    currency: str | None = None
    stock: int | None = None
    available: bool | None = None
    learned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """A fact that an event told, and when that event happened."""

    value: Any
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One product of a site: what was told outright, by whom last, and what was learned, which counts where nobody
    told. `states` are the latest states of price and stock, the newest last.
    """

    id: str
    told: Facts = field(default_factory=dict)
    told_by: Mapping[str, Source] = field(default_factory=dict)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    states: tuple[State, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def facts(self) -> dict[str, Any]:
        """What holds: what was told, and beside it what was learned."""
        found = {name: each.value for name, each in self.learned.items()}
        found.update(self.told)
        if "price" in self.told and "currency" not in self.told:
            found.pop("currency", None)  # an amount that was told is not in a currency that somebody else named
        return {name: found[name] for name in FACTS if found.get(name) is not None}

    @property
    def sources(self) -> dict[str, Source]:
        """By whom each fact that holds was told."""
        return {name: self.told_by.get(name, "event") for name in self.facts}

    def told_anew(self, facts: Facts, source: Source, now: datetime, *, whole: bool) -> "Product":
        """The product after it was told these facts; `whole`: nothing else of what was told before holds any more."""
        kept = {} if whole else dict(self.told)
        by = {} if whole else dict(self.told_by)
        for name, value in facts.items():
            if value is None:
                kept.pop(name, None)
                by.pop(name, None)
            elif kept.get(name) != value or name not in by:
                kept[name], by[name] = value, source
        if kept == self.told and by.keys() == self.told_by.keys():
            return self
        return self._noted(replace(self, told=kept, told_by=by, updated_at=now), now, learned=False)

    def taught(self, facts: Facts, at: datetime, now: datetime) -> "Product":
        """The product after an event of the moment `at` told these facts: of each the newest counts."""
        at = min(at, now + AHEAD)
        fresh = {
            name: Learned(value=value, at=at)
            for name, value in facts.items()
            if name in LEARNED and (name not in self.learned or self.learned[name].at <= at)
        }
        if all(name in self.learned and self.learned[name].value == each.value for name, each in fresh.items()):
            return self
        return self._noted(replace(self, learned={**self.learned, **fresh}, updated_at=now), now, learned=True)

    def _noted(self, after: "Product", now: datetime, *, learned: bool) -> "Product":
        state = state_of(after.facts, now, learned=learned)
        last = self.states[-1] if self.states else None
        if last is not None and replace(last, at=now, learned=learned) == state:
            return after
        return replace(after, states=(*self.states, state)[-MOST_STATES:])


def new_product(product_id: str, now: datetime) -> Product:
    """A product of which nothing is known yet."""
    return Product(id=product_id, created_at=now, updated_at=now)


def state_of(facts: Facts, at: datetime, *, learned: bool) -> State:
    """Price and stock as these facts have them; what is in stock is available unless it is said otherwise."""
    stock, available = facts.get("stock"), facts.get("available")
    if available is None and stock is not None:
        available = stock > 0
    if stock == 0:
        available = False
    return State(
        at=at,
        price=facts.get("price"),
        currency=facts.get("currency"),
        stock=stock,
        available=available,
        learned=learned,
    )


def is_available(facts: Facts) -> bool:
    """Whether it can be bought, as far as anybody said; what nobody said anything about can."""
    return facts.get("stock") != 0 and facts.get("available") is not False


def drop_between(before: State, after: State) -> Decimal | None:
    """By how many percent the price fell; None where it did not, or where nobody can tell."""
    if before.price is None or after.price is None or after.price >= before.price or before.price <= 0:
        return None
    if before.currency is not None and after.currency is not None and before.currency != after.currency:
        return None
    return (before.price - after.price) * 100 / before.price


def came_back(before: State, after: State) -> bool:
    """Whether it was sold out and can be bought again."""
    return before.available is False and after.available is True


def ran_low(before: State, after: State, most: int) -> bool:
    """Whether the stock fell to `most` pieces or fewer, and some are left."""
    if before.stock is None or after.stock is None:
        return False
    return before.stock > most >= after.stock > 0 and after.available is not False


def product_id_of(properties: Any) -> str | None:
    """The id of the product that an event's properties describe: `product_id`, else `sku`; numbers as text."""
    if not isinstance(properties, Mapping):
        return None
    for name in ("product_id", "sku"):
        value = properties.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and (value := value.strip()):
            return value if len(value) <= LONGEST_ID and not _unfit(value) else None
    return None


def _unfit(text: str) -> bool:
    """Whether it holds what no database keeps."""
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)
