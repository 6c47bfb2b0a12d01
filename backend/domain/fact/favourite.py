"""What does a person like best? Categories and brands by what they viewed, carted and bought, old interest fading.

A view counts 1, the cart 3, a purchase 6, each half as much with every 30 days of age. This is forward decay with an
exponential (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay", ICDE 2009): the shares of two names do not change as
time passes, so the ranking depends on what was done and not on when it is asked, and sums may be made in any order.
Views and carts are looked up in the history when they are asked for, and count for 90 days.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from heapq import merge
from itertools import islice
from math import fsum, ldexp
from typing import Any, TypeAlias

from backend.domain.event import Event
from backend.domain.habit import NAME_LENGTH
from backend.domain.history import History, HistoryNeeded, Key
from backend.domain.profile import NAME_LIMIT, Profile

CATEGORY, BRAND = "category", "brand"
HALF_LIFE_DAYS = 30
SHOWN = 5
SPAN = timedelta(days=90)
"""So long a view, or a product put into the cart, tells of somebody's interest."""

VIEWED, CARTED, BOUGHT = 1, 3, 6
"""What a product viewed, put into the cart, or bought says of its category and brand: more effort, more interest."""

WEIGHTS: Mapping[str, int] = {"Product Viewed": VIEWED, "Product Added": CARTED}
"""The events whose history is asked, and what each counts."""

MOST_LEAVING = 500
"""So many events are followed out of the span for one that changes the order."""

Weights: TypeAlias = dict[str, dict[int, int]]
"""By name, and in it by day (its ordinal, in UTC)."""

_POWERS = tuple(2.0 ** (day / HALF_LIFE_DAYS) for day in range(HALF_LIFE_DAYS))
_LINE_PLACE = {CATEGORY: 2, BRAND: 3}


def favourites(kind: str, profile: Profile, at: datetime, history: History) -> tuple[str, ...]:
    """The names of this kind (category or brand) in order, the best liked first; at most five.

    May raise HistoryNeeded.
    """
    weights = _weights(kind, profile, at, history)
    return _ranked(_sums(weights), SHOWN) if weights else ()


def changes(kind: str, most: int, profile: Profile, at: datetime, history: History) -> Iterator[datetime]:
    """When the first `most` names may become others, because what was done is no longer within the span."""
    weights = _weights(kind, profile, at, history)
    if not weights:
        return
    newest, since = _newest(weights), at - SPAN
    sums = _sums(weights)
    top, last = _ranked(sums, most), None
    asked = (
        islice(
            ((event.moment, weight, event) for event in history.of(name, since) if since < event.timestamp <= at),
            MOST_LEAVING,
        )
        for name, weight in WEIGHTS.items()
        if _did(profile, name, since)
    )
    for _, weight, event in islice(merge(*asked, key=_first), MOST_LEAVING):
        last = event.timestamp + SPAN
        told = KEYS[kind](event)
        if told is None:
            continue
        name, day = told
        weights[name][day] -= weight
        sums[name] = _sum(weights[name], newest)
        if name in top:
            left = {each: value for each, value in sums.items() if value > 0}
            if _ranked(left, most) != top:
                break
    if last is not None:
        yield last


class Counted:
    """The views and carts of somebody, counted while they are read: a history that is asked for favourites only."""

    def __init__(self, events: Iterable[Event], at: datetime) -> None:
        self._counts: dict[tuple[str, Key], Counter[Any]] = {}
        for event in events:
            if at - SPAN < event.timestamp <= at:
                for key in KEYS.values():
                    told = key(event)
                    if told is not None:
                        self._counts.setdefault((event.name, key), Counter())[told] += 1

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        """Raise HistoryNeeded: single events were not kept."""
        raise HistoryNeeded(name, since)

    def tally(self, name: str, _since: datetime, _until: datetime, key: Key, /) -> Mapping[Any, int]:
        """As it was counted."""
        return self._counts.get((name, key), {})


def _weights(kind: str, profile: Profile, at: datetime, history: History) -> Weights:
    found: Weights = {}
    since, place = at - SPAN, _LINE_PLACE[kind]
    for event, weight in WEIGHTS.items():
        if _did(profile, event, since):
            for (name, day), count in history.tally(event, since, at, KEYS[kind]).items():
                days = found.setdefault(name, {})
                days[day] = days.get(day, 0) + weight * count
    for purchase in profile.purchases:
        for line in purchase.lines:
            bought = line[place]
            if isinstance(bought, str) and bought:
                days, day = found.setdefault(bought, {}), purchase.at.toordinal()
                days[day] = days.get(day, 0) + BOUGHT
    return found


def _did(profile: Profile, name: str, since: datetime) -> bool:
    """Whether there can be such events after `since`, as far as the profile tells: it spares the history."""
    counts, last = profile.counts, profile.last_at.get(name)
    if last is None:
        return name in counts or len(counts) >= NAME_LIMIT
    return last > since


def _sums(weights: Weights) -> dict[str, float]:
    newest = _newest(weights)
    return {name: _sum(days, newest) for name, days in weights.items()}


def _newest(weights: Weights) -> int:
    return max(day for days in weights.values() for day in days) // HALF_LIFE_DAYS


def _sum(days: Mapping[int, int], newest: int) -> float:
    """What all days make together, half as much with every 30 of age, counted from the half-life `newest`.

    It is exact but for one rounding, and halving is exact: so it is the same in whatever order, and however long ago.
    """
    return fsum(
        ldexp(weight * _POWERS[day % HALF_LIFE_DAYS], day // HALF_LIFE_DAYS - newest) for day, weight in days.items()
    )


def _ranked(sums: Mapping[str, float], most: int) -> tuple[str, ...]:
    return tuple(sorted(sums, key=lambda name: (-sums[name], name))[:most])


def _told(kind: str, event: Event) -> tuple[str, int] | None:
    """The name of this kind that an event tells, and its day."""
    name = event.properties.get(kind)
    return (name[:NAME_LENGTH], event.timestamp.toordinal()) if isinstance(name, str) and name else None


def _first(told: tuple[Any, int, Event]) -> Any:
    return told[0]


KEYS: Mapping[str, Key] = {kind: partial(_told, kind) for kind in (CATEGORY, BRAND)}
"""What views and carts are counted under, by kind."""
