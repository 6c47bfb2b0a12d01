"""When will it run out? How long one piece of a product lasts a person, from the intervals between their purchases.

The estimate is the median of (time to the next purchase / pieces bought), since a median does not mind one holiday or
one gift; purchases within a day are one. It counts only where the person has bought at least three times (two
intervals) and the median absolute deviation of the intervals is at most half of the median (Hampel 1974: median and MAD
are what stays sound while less than half of the values are odd). Where they have fewer, or irregular ones, the site's
own interval for that product is taken, learned from those who are regular (`pipeline/learn_intervals`); where there is
none, nothing is foretold.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

from backend.domain.habit import Purchases

ONE_OCCASION = timedelta(days=1)
"""What is bought again so soon belongs to the same purchase."""

FEWEST_INTERVALS = 2
LATEST_INTERVALS = 8
"""Intervals that the estimate needs, and those that it looks at: habits change."""

FEWEST_PERSONS = 5
"""Persons whose habits make an interval of the site."""

MOST_SPREAD = 0.5
"""The greatest median absolute deviation of a habit, as a share of its median."""

LONGEST = timedelta(days=3 * 365)
"""Whatever lasts longer is not being used up."""

PERSON, SITE = "person", "site"


class Supply(NamedTuple):
    """What a person has of a product: bought last, so many pieces then, in so many purchases.

    `per_piece` is how many seconds one lasts them, None where that cannot be told of them alone; `own` are all of their
    intervals per piece that were looked at.
    """

    product_id: str
    bought_at: datetime
    quantity: int
    purchases: int
    per_piece: float | None = None
    own: tuple[float, ...] = ()


class Forecast(NamedTuple):
    """When a supply is used up, and by whose habit that was reckoned: the person's or the site's."""

    supply: Supply
    per_piece: float
    runs_out_at: datetime
    by: str


def supplies_of(purchases: Purchases) -> tuple[Supply, ...]:
    """What a person has bought of each product that the log remembers, in order of its id."""
    bought: dict[str, list[tuple[datetime, int]]] = {}
    for purchase in purchases:
        for line in purchase.lines:
            bought.setdefault(line.product_id, []).append((purchase.at, line.quantity))
    return tuple(_supply(product_id, bought[product_id]) for product_id in sorted(bought))


def forecast(supply: Supply, intervals: Mapping[str, float]) -> Forecast | None:
    """When it will run out; None where neither the person's purchases nor the site's tell."""
    per_piece, by = supply.per_piece, PERSON
    if per_piece is None:
        per_piece, by = intervals.get(supply.product_id), SITE
    if per_piece is None or per_piece * supply.quantity > LONGEST.total_seconds():
        return None
    return Forecast(supply, per_piece, supply.bought_at + timedelta(seconds=per_piece * supply.quantity), by)


def occasions(moments: Sequence[datetime]) -> list[datetime]:
    """The moments, in order of time, without those that come within a day of one that began before."""
    found: list[datetime] = []
    for moment in moments:
        if not found or moment - found[-1] >= ONE_OCCASION:
            found.append(moment)
    return found


def usual(values: Sequence[float]) -> float | None:
    """The median of intervals that are a habit; None where there are too few of them, or they differ too much."""
    latest = values[-LATEST_INTERVALS:]
    if len(latest) < FEWEST_INTERVALS:
        return None
    middle = median(latest)
    spread = median(abs(each - middle) for each in latest)
    return middle if spread <= MOST_SPREAD * middle else None


def usual_of_many(persons: Sequence[float]) -> float | None:
    """The interval of a site for one product, from one of each person; None where too few, or too different, are known.

    Fewer would say of a known few when they buy.
    """
    if len(persons) < FEWEST_PERSONS:
        return None
    middle = median(persons)
    spread = median(abs(each - middle) for each in persons)
    return middle if spread <= MOST_SPREAD * middle else None


def _supply(product_id: str, bought: Sequence[tuple[datetime, int]]) -> Supply:
    times: list[datetime] = []
    pieces: list[int] = []
    for at, quantity in bought:
        if times and at - times[-1] < ONE_OCCASION:
            pieces[-1] += quantity
        else:
            times.append(at)
            pieces.append(quantity)
    own = tuple(
        (after - before).total_seconds() / max(quantity, 1)
        for before, after, quantity in zip(times, times[1:], pieces, strict=False)
    )
    return Supply(product_id, times[-1], pieces[-1], len(times), usual(own), own[-LATEST_INTERVALS:])
