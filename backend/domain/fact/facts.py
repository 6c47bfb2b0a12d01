"""Which facts follow from what a person did? Each by its name, computed when it is asked for, at a moment.

Days are whole: how often 24 hours have gone by.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from backend.domain.fact.favourite import BRAND, CATEGORY, SHOWN, SPAN, WEIGHTS, changes, favourites
from backend.domain.fact.standards import Standards
from backend.domain.fact.supply import PERSON, SITE, Forecast, forecast, occasions, supplies_of, usual
from backend.domain.history import NO_HISTORY, History
from backend.domain.profile import Profile

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)

Asks: TypeAlias = Mapping[str, timedelta]
"""The events whose history is asked, by name, and how far back."""

Value = Callable[[Profile, datetime, Standards, History], Any]
Turns = Callable[[Profile, datetime, Standards, History, tuple[float, ...]], Iterator[datetime]]

NO_EVENTS: Asks = {}


class Fact(NamedTuple):
    """How a fact is computed, which parts of the profile it is made of, and when time alone turns what is asked of it.

    `turns` gives such moments for the numbers that it is held against; None for a fact that does not depend on the
    moment. `asks`: it is made of events, too, which the profile does not hold; then both may raise HistoryNeeded.
    """

    value: Value
    parts: frozenset[str]
    turns: Turns | None = None
    asks: Asks = NO_EVENTS


def forecasts(profile: Profile, standards: Standards) -> list[Forecast]:
    """When each product that this person buys will run out, where that can be told; the soonest first."""
    told = (forecast(each, standards.intervals) for each in supplies_of(profile.purchases))
    return sorted((each for each in told if each is not None), key=lambda each: (each.runs_out_at, each.supply))


def facts_of(
    profile: Profile,
    at: datetime,
    standards: Standards,
    history: History | None,
    names: Iterable[str] | None = None,
) -> dict[str, Any]:
    """The facts of these `names` (None: all) as the API and templates show them; those that cannot be told are None.

    May raise HistoryNeeded; without a history, what is made of events cannot be told.
    """
    return {name: _shown(name, profile, at, standards, history) for name in (TOLD if names is None else names)}


def _shown(name: str, profile: Profile, at: datetime, standards: Standards, history: History | None) -> Any:
    if name == PRODUCTS:
        return [_told(each) for each in forecasts(profile, standards)]
    fact = FACTS[name]
    if history is None and fact.asks:
        return None
    return fact.value(profile, at, standards, history or NO_HISTORY)


def _told(each: Forecast) -> dict[str, Any]:
    supply = each.supply
    return {
        "product_id": supply.product_id,
        "purchases": supply.purchases,
        "bought_at": supply.bought_at,
        "quantity": supply.quantity,
        "lasts_days": round(each.per_piece * supply.quantity / DAY.total_seconds(), 2),
        "runs_out_at": each.runs_out_at,
        "by": each.by,
    }


def _days(since: datetime | None, at: datetime) -> int | None:
    return None if since is None else max(0, (at - since) // DAY)


def _turning_days(since: datetime | None, numbers: tuple[float, ...]) -> Iterator[datetime]:
    """When the number of whole days since then reaches each of these numbers, and the one after it."""
    for each in numbers if since is not None else ():
        if 0 <= each < 1e6:
            assert since is not None
            yield since + DAY * int(each)
            yield since + DAY * (int(each) + 1)


def _ordered_at(p: Profile) -> datetime | None:
    return p.purchases[-1].at if p.purchases else p.orders.last_at


def _since_order(p: Profile, at: datetime, _s: Standards, _h: History) -> int | None:
    return _days(_ordered_at(p), at)


def _since_visit(p: Profile, at: datetime, _s: Standards, _h: History) -> int | None:
    return _days(p.last_seen, at)


def _score(value: Any, thresholds: tuple[Any, ...]) -> int:
    return 1 + sum(1 for each in thresholds if value >= each)


def _rfm(p: Profile, at: datetime, s: Standards, _h: History) -> dict[str, Any] | None:
    """Recency, frequency and money, each from 1 to 5 (A. M. Hughes, Strategic Database Marketing, 1994).

    By thresholds of the site instead of fifths of all customers, so that nobody's score changes by what others do.
    """
    days = _days(_ordered_at(p), at)
    if days is None:
        return None
    recency = 5 - sum(days > each for each in s.rfm.recency)
    frequency, amount = _score(p.orders.count, s.rfm.frequency), _score(p.orders.revenue, s.rfm.money)
    return {"recency": recency, "frequency": frequency, "money": amount, "score": f"{recency}{frequency}{amount}"}


def _rank(p: Profile, s: Standards) -> int:
    """The number of the level, from 1; 0 for none."""
    orders = p.orders
    for rank in range(len(s.levels), 0, -1):
        level = s.levels[rank - 1]
        if orders.count >= level.orders and orders.revenue >= level.revenue:
            return rank
    return 0


def _loyalty(p: Profile, _at: datetime, s: Standards, _h: History) -> str | None:
    rank = _rank(p, s)
    return s.levels[rank - 1].name if rank else None


def _average_value(p: Profile, _at: datetime, _s: Standards, _h: History) -> float | None:
    return round(float(p.orders.revenue / p.orders.count), 2) if p.orders.count else None


def _average_items(p: Profile, _at: datetime, _s: Standards, _h: History) -> float | None:
    filled = [sum(line.quantity for line in each.lines) for each in p.purchases if each.lines]
    return round(sum(filled) / len(filled), 2) if filled else None


def _orders_habit(p: Profile) -> tuple[float, datetime] | None:
    """The usual time between orders in seconds, and the last of them."""
    return _habit([each.at for each in p.purchases])


def _visits_habit(p: Profile) -> tuple[float, datetime] | None:
    return _habit([start for start, _ in p.session_spans], p.last_seen)


def _habit(moments: list[datetime], last: datetime | None = None) -> tuple[float, datetime] | None:
    times = occasions(moments)
    if len(times) < 3:
        return None
    middle = usual([(b - a).total_seconds() for a, b in pairwise(times)])
    return None if middle is None else (middle, max(moments[-1], last or moments[-1]))


def _habit_days(habit: tuple[float, datetime] | None) -> float | None:
    return None if habit is None else round(habit[0] / DAY.total_seconds(), 2)


def _overdue_since(p: Profile) -> datetime | None:
    """When the usual time is over: since the last order, or where that is no habit, since the last visit."""
    habit = _orders_habit(p) or _visits_habit(p)
    return None if habit is None else habit[1] + timedelta(seconds=habit[0])


def _runs_out_next(p: Profile, at: datetime, s: Standards, _h: History) -> datetime | None:
    return next((each.runs_out_at for each in forecasts(p, s) if each.runs_out_at > at), None)


def _all_recency(p: Profile, _at: datetime, s: Standards, _h: History, _n: tuple[float, ...]) -> Iterator[datetime]:
    return _turning_days(_ordered_at(p), tuple(float(each) for each in s.rfm.recency))


def _all_ends(p: Profile, _at: datetime, s: Standards, _h: History, _n: tuple[float, ...]) -> Iterator[datetime]:
    return iter([each.runs_out_at for each in forecasts(p, s)])


def _runs_out(p: Profile, _at: datetime, s: Standards, _h: History) -> Mapping[str, datetime]:
    return {each.supply.product_id: each.runs_out_at for each in forecasts(p, s)}


def _lasts(p: Profile, _at: datetime, s: Standards, _h: History) -> Mapping[str, float]:
    return {each.supply.product_id: round(each.per_piece / DAY.total_seconds(), 2) for each in forecasts(p, s)}


_ORDERS, _PURCHASES = frozenset({"orders"}), frozenset({"purchases"})
_ORDERED = _ORDERS | _PURCHASES
_VISITS = frozenset({"session_spans", "last_seen"})


def _liked(kind: str, most: int) -> Fact:
    """The favourites of a kind, or the first of them."""

    def value(p: Profile, at: datetime, _s: Standards, h: History) -> Any:
        names = favourites(kind, p, at, h)
        return names if most > 1 else names[0] if names else None

    return Fact(
        value,
        _PURCHASES,
        lambda p, at, _s, h, _n: changes(kind, most, p, at, h),
        dict.fromkeys(WEIGHTS, SPAN),
    )


FACTS: Mapping[str, Fact] = {
    "days_since_order": Fact(_since_order, _ORDERED, lambda p, _a, _s, _h, n: _turning_days(_ordered_at(p), n)),
    "days_since_visit": Fact(
        _since_visit, frozenset({"last_seen"}), lambda p, _a, _s, _h, n: _turning_days(p.last_seen, n)
    ),
    "rfm": Fact(_rfm, _ORDERED, _all_recency),
    "loyalty": Fact(_loyalty, _ORDERS),
    "loyalty_rank": Fact(lambda p, _a, s, _h: _rank(p, s), _ORDERS),
    "favourite_category": _liked(CATEGORY, 1),
    "favourite_brand": _liked(BRAND, 1),
    "categories": _liked(CATEGORY, SHOWN),
    "brands": _liked(BRAND, SHOWN),
    "average_order_value": Fact(_average_value, _ORDERS),
    "average_order_items": Fact(_average_items, _PURCHASES),
    "usual_order_days": Fact(lambda p, _a, _s, _h: _habit_days(_orders_habit(p)), _PURCHASES),
    "usual_visit_days": Fact(lambda p, _a, _s, _h: _habit_days(_visits_habit(p)), _VISITS),
    "churn_days": Fact(
        lambda p, at, _s, _h: _days(_overdue_since(p), at),
        _PURCHASES | _VISITS,
        lambda p, _a, _s, _h, n: _turning_days(_overdue_since(p), n),
    ),
    "runs_out": Fact(_runs_out, _PURCHASES),
    "runs_out_next": Fact(_runs_out_next, _PURCHASES, _all_ends),
    "lasts_days": Fact(_lasts, _PURCHASES),
}
"""What may follow `profile.facts.`."""

BY_PRODUCT = frozenset({"runs_out", "lasts_days"})
"""Facts that are followed by the id of a product, which may contain dots."""

BELOW: Mapping[str, tuple[str, ...]] = {"rfm": ("recency", "frequency", "money", "score")}
"""Facts that have others below them."""

LISTS = frozenset({"categories", "brands"})

PRODUCTS = "products"
TOLD = (*(name for name in FACTS if name not in BY_PRODUCT), PRODUCTS)
"""The facts that the API and templates show."""

__all__ = ["BELOW", "BY_PRODUCT", "FACTS", "LISTS", "PERSON", "SITE", "TOLD", "Asks", "Fact", "facts_of", "forecasts"]
