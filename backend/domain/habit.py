"""What does a person buy and look at? The latest purchases and interests, from which facts about them are derived.

Both are logs of bounded length that keep the newest by time, not by arrival: whatever comes late, twice, or by a merge
of two profiles, the same events leave the same log.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

PURCHASES_KEPT = 50
LINES_KEPT = 250
"""Purchases, and products in them, that one person's log holds."""

INTERESTS_KEPT = 60
NAME_LENGTH = 100

VIEWED, CARTED, BOUGHT = 1, 3, 6
"""What a product viewed, put into the cart, or bought says of its category and brand: more effort, more interest."""


class Line(NamedTuple):
    """One product of a purchase."""

    product_id: str
    quantity: int = 1
    category: str | None = None
    brand: str | None = None


class Purchase(NamedTuple):
    """One order, as its latest report tells of it; `order_id` is "" where it had none."""

    at: datetime
    order_id: str
    value: Decimal
    lines: tuple[Line, ...] = ()


class Interest(NamedTuple):
    """What was viewed and carted of one category and brand ("" where not told) on one day (its ordinal, in UTC)."""

    day: int
    category: str
    brand: str
    weight: int


_new = tuple.__new__
"""Makes a named tuple in half the time: each event of a shop has an interest."""

Purchases = tuple[Purchase, ...]
Interests = tuple[Interest, ...]


def find(purchases: Purchases, order_id: str) -> Purchase | None:
    """The purchase of this order, where it is remembered."""
    if order_id:
        for each in purchases:
            if each.order_id == order_id:
                return each
    return None


def with_purchase(
    purchases: Purchases, since: datetime | None, purchase: Purchase
) -> tuple[Purchases, datetime | None]:
    """The log with one more purchase, and the moment up to which it has forgotten.

    Of several reports of one order the latest counts. What is not newer than `since` had been forgotten already.
    """
    if since is not None and purchase.at <= since:
        return purchases, since
    known = find(purchases, purchase.order_id)
    if known is not None:
        if _place(purchase) <= _place(known):
            return purchases, since
        purchases = tuple(each for each in purchases if each is not known)
    if not purchases or purchases[-1].at < purchase.at:
        longer = (*purchases, purchase)
    else:
        longer = tuple(sorted((*purchases, purchase), key=_place))
    return _cut(longer, since)


def merged_purchases(
    a: Purchases, a_since: datetime | None, b: Purchases, b_since: datetime | None
) -> tuple[Purchases, datetime | None]:
    """The logs of two profiles that turn out to be one person."""
    if not b and b_since is None:
        return a, a_since
    since = max((each for each in (a_since, b_since) if each is not None), default=None)
    named: dict[str, Purchase] = {}
    nameless: list[Purchase] = []
    for each in (*a, *b):
        if not each.order_id:
            nameless.append(each)
        elif each.order_id not in named or _place(each) > _place(named[each.order_id]):
            named[each.order_id] = each
    return _cut(tuple(sorted((*named.values(), *nameless), key=_place)), since)


def with_interest(interests: Interests, day: int, category: str, brand: str, weight: int) -> Interests:
    """The log with so much more interest on that day; days too old to be kept change nothing."""
    if not interests:
        return (_new(Interest, (day, category, brand, weight)),)
    place = len(interests)
    while place:
        known_day, known_category, known_brand, before = interests[place - 1]
        if known_day < day:
            break
        if known_day == day:
            if known_category == category and known_brand == brand:
                more = _new(Interest, (day, category, brand, before + weight))
                return (*interests[: place - 1], more, *interests[place:])
            if (known_category, known_brand) < (category, brand):
                break
        place -= 1
    interest = _new(Interest, (day, category, brand, weight))
    if place == len(interests) < INTERESTS_KEPT:
        return (*interests, interest)
    return (*interests[:place], interest, *interests[place:])[-INTERESTS_KEPT:]


def merged_interests(a: Interests, b: Interests) -> Interests:
    """The interests of two profiles that turn out to be one person."""
    if not a or not b:
        return a or b
    weights: dict[tuple[int, str, str], int] = {}
    for day, category, brand, weight in (*a, *b):
        weights[day, category, brand] = weights.get((day, category, brand), 0) + weight
    return tuple(Interest(*key, weights[key]) for key in sorted(weights))[-INTERESTS_KEPT:]


def _place(purchase: Purchase) -> tuple[datetime, str, Decimal, Iterable[tuple[str, int, str, str]]]:
    """Orders purchases, whatever they hold; equal ones are the same."""
    lines = [(each.product_id, each.quantity, each.category or "", each.brand or "") for each in purchase.lines]
    return purchase.at, purchase.order_id, purchase.value, lines


def _cut(purchases: Purchases, since: datetime | None) -> tuple[Purchases, datetime | None]:
    """The newest of these that the log may hold, in order of time.

    What lies at or before the newest that had to go goes too, and stays away: else it would depend on the order of
    arrival what fills the room that is left.
    """
    if len(purchases) <= PURCHASES_KEPT and sum([len(each.lines) or 1 for each in purchases]) <= LINES_KEPT:
        if since is None or not purchases or purchases[0].at > since:
            return purchases, since
        return tuple(each for each in purchases if each.at > since), since
    room, first = LINES_KEPT, len(purchases)
    while first and len(purchases) - first < PURCHASES_KEPT:
        room -= len(purchases[first - 1].lines) or 1
        if room < 0:
            break
        first -= 1
    if first:
        forgotten = purchases[first - 1].at
        since = forgotten if since is None else max(since, forgotten)
    return tuple(each for each in purchases[first:] if since is None or each.at > since), since
