"""When does a rule remind somebody that a product runs out? The moments of the replenishment trigger, as dates have."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from backend.domain.calendar import day_of, next_occurrence, zone_of
from backend.domain.cart import item_of
from backend.domain.event import Event
from backend.domain.fact.standards import Standards
from backend.domain.fact.supply import Forecast, Supply, forecast, supplies_of
from backend.domain.habit import Purchases
from backend.domain.profile import Profile
from backend.domain.rule.compiled import Watch
from backend.domain.rule.trigger import ReplenishmentTrigger

DUE = "Replenishment Due"
ORDERED = "Order Completed"
TOLD = ("name", "sku", "price", "category", "brand", "variant", "url", "image_url")
"""What the reminder says of the product, as it was when it was bought."""

KEY = "properties.purchase"
"""What tells one reminder from the next: each purchase of a product runs out once."""


def replenishment_watch(trigger: ReplenishmentTrigger) -> Watch:
    """The moments at which this trigger comes; each after the purchase that runs out."""
    known: tuple[Purchases, tuple[Supply, ...]] = ((), ())
    wanted = frozenset(trigger.products)

    def supplies(purchases: Purchases) -> tuple[Supply, ...]:
        """Asked at every event of a person, and the answer changes with their purchases only."""
        nonlocal known
        before, found = known
        if before is not purchases:
            found = tuple(each for each in supplies_of(purchases) if not wanted or each.product_id in wanted)
            known = (purchases, found)
        return found

    def moments(
        profile: Profile, after: datetime, zone: str, standards: Standards
    ) -> Iterator[tuple[datetime, Forecast]]:
        here = zone_of(profile.device.timezone, zone)
        for supply in supplies(profile.purchases):
            told = forecast(supply, standards.intervals)
            if told is None:
                continue
            day = day_of(told.runs_out_at - trigger.before, here).isoformat()
            moment = next_occurrence(day, 0, trigger.at, False, max(after, supply.bought_at), here)
            if moment is not None:
                yield moment, told

    def following(profile: Profile, after: datetime | None, zone: str, standards: Standards) -> datetime | None:
        since = after or profile.first_seen
        if since is None or not profile.purchases:
            return None
        return min((moment for moment, _ in moments(profile, since, zone, standards)), default=None)

    def told(profile: Profile, at: datetime, zone: str, standards: Standards) -> list[Forecast]:
        earlier = at.min.replace(tzinfo=at.tzinfo)
        return [each for moment, each in moments(profile, earlier, zone, standards) if moment == at]

    return Watch(name=DUE, next=following, told=told)


def due_properties(due: Forecast, ordered: list[Event]) -> Mapping[str, Any]:
    """What the signal tells: the product as the order told of it, how much was bought, and until when it lasts."""
    supply = due.supply
    return {
        **_product(supply.product_id, ordered),
        "product_id": supply.product_id,
        "quantity": supply.quantity,
        "bought_at": _written(supply.bought_at),
        "runs_out_at": _written(due.runs_out_at),
        "by": due.by,
        "purchase": f"{supply.product_id}@{_written(supply.bought_at)}",
    }


def _product(product_id: str, ordered: list[Event]) -> Mapping[str, Any]:
    for event in reversed(ordered):
        listed = event.properties.get("products")
        for entry in listed if isinstance(listed, list) else [event.properties]:
            item = item_of(entry)
            if item is not None and item.product_id == product_id:
                return {name: entry[name] for name in TOLD if name in entry}
    return {}


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
