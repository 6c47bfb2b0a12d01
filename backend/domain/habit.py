"""What does a person buy? The latest purchases, from which facts about them are derived.

They are a log of bounded length that keeps the newest by time, not by arrival: whatever comes late, twice, or by a
merge of two profiles, the same events leave the same log.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

PURCHASES_KEPT = 50
LINES_KEPT = 250
"""Purchases, and products in them, that one person's log holds."""

NAME_LENGTH = 100


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


Purchases = tuple[Purchase, ...]


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
