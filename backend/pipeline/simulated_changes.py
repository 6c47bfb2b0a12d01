"""What changed of products, as signals within a simulated life: a signal for each change that a rule waits for.

Of each product the latest states of price and stock are remembered, so that far it is known when what changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from backend.domain.event import SIGNAL, Event
from backend.domain.identity import derive
from backend.domain.past import LAST_OF_MOMENT
from backend.domain.product import Product, drop_between
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import OF_PRODUCTS
from backend.domain.rule.trigger import ProductTrigger
from backend.domain.shopping import INTERESTS, described
from backend.schemas.documents import ProfileHead
from backend.storage import products
from backend.storage.database import Connection

MOST_PRODUCTS = 100_000
"""Products that have changed, of which a simulation knows."""

AT_ONCE = 1_000

_SIGNALS = frozenset(OF_PRODUCTS.values())


@dataclass(frozen=True, slots=True)
class Change:
    """A signal of one rule to come, but for whom it is told."""

    at: datetime
    name: str
    rule_id: str
    properties: Mapping[str, Any]


@dataclass(slots=True)
class Changes:
    """The changes that these rules wait for, by product."""

    by_product: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    waited_for: bool = False

    @classmethod
    def read(cls, connection: Connection, site_id: str, rules: Iterable[CompiledRule]) -> "Changes":
        """The changes of a site's products; none where no rule waits for any."""
        waiting = [rule for rule in rules if isinstance(rule.rule.spec.trigger, ProductTrigger)]
        found: dict[str, list[Change]] = {}
        after: str | None = None
        while waiting and len(found) < MOST_PRODUCTS:
            some = products.find(connection, site_id, limit=AT_ONCE, after=after)
            for product in some:
                changes = [change for rule in waiting for change in _of_rule(product, rule)]
                if changes:
                    found[product.id] = sorted(changes, key=lambda each: each.at)
            if len(some) < AT_ONCE:
                break
            after = some[-1].id
        return cls(found, bool(waiting))


class Told:
    """What one visitor hears of the changes, as their life goes on."""

    def __init__(self, changes: Changes, head: ProfileHead) -> None:
        self._changes = changes
        self._head = head
        self._shown: dict[str, datetime] = {}
        self._until: datetime | None = None

    def within(self, events: Sequence[Event], until: datetime) -> Sequence[Event]:
        """These events, the next ones, and the signals up to `until`; those that were really sent are left out."""
        if not self._changes.waited_for:
            return events
        lived = [event for event in events if event.type != SIGNAL or event.name not in _SIGNALS]
        for event in lived:
            if event.name in INTERESTS:
                for each in described(event):
                    if each.product_id in self._changes.by_product:
                        self._shown.setdefault(each.product_id, event.timestamp)
        signals = [
            self._signal(product_id, change)
            for product_id, since in self._shown.items()
            for change in self._changes.by_product[product_id]
            if since <= change.at <= until and (self._until is None or change.at > self._until)
        ]
        self._until = until
        return sorted((*lived, *signals), key=lambda event: event.moment) if signals else lived

    def _signal(self, product_id: str, change: Change) -> Event:
        head = self._head
        return Event(
            message_id=derive("simulated", change.rule_id, product_id, change.at.isoformat(), head.id),
            name=change.name,
            type=SIGNAL,
            timestamp=change.at,
            received_at=change.at,
            order=LAST_OF_MOMENT - 1,
            anonymous_id=None if head.user_id is not None or not head.anonymous_ids else head.anonymous_ids[-1],
            user_id=head.user_id,
            properties=change.properties,
        )


def _of_rule(product: Product, rule: CompiledRule) -> Iterable[Change]:
    trigger = rule.rule.spec.trigger
    assert isinstance(trigger, ProductTrigger)
    for before, after in pairwise(product.states):
        if trigger.asks_for(before, after):
            told: dict[str, Any] = {"product_id": product.id, "rule_id": rule.id}
            for name in ("name", "url", "image_url", "category", "brand"):
                if name in product.facts:
                    told[name] = product.facts[name]
            drop = drop_between(before, after)
            if after.price is not None:
                told["price"] = float(after.price)
            if after.currency is not None:
                told["currency"] = after.currency
            if drop is not None and before.price is not None:
                told |= {"price_before": float(before.price), "percent": float(round(drop, 1))}
            if after.stock is not None:
                told["stock"] = after.stock
            yield Change(after.at, OF_PRODUCTS[trigger.change], rule.id, told)
