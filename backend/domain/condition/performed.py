"""Did they do it? `performed` as a function: answered by the profile wherever it knows exactly, else by the history."""

import math
import operator as python
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, TypeAlias

from backend.domain.cart import money
from backend.domain.condition.fields import dig_event
from backend.domain.condition.moment import Moment
from backend.domain.condition.tree import ONCE, Amount, Condition, Count, Edge, Performed
from backend.domain.condition.when import Test, moment_of
from backend.domain.event import Event
from backend.domain.profile import NAME_LIMIT

EXACT = Context(prec=60)
"""Room for every digit of a sum of amounts, however many events there are."""

Find: TypeAlias = Callable[[Moment, float], list[Event]]
"""The events that are asked about, the latest first; so many are enough, there may be more."""

Bounds: TypeAlias = tuple[Sequence[Event], int, int]
"""Events in order of time, and which of them lie in a window: from the one place up to the other."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": python.eq,
    "ne": python.ne,
    "gt": python.gt,
    "gte": python.ge,
    "lt": python.lt,
    "lte": python.le,
}


def performed_test(node: Performed, compile_where: Callable[[Condition], Test], *, remembered: bool = False) -> Test:
    """The test of what a visitor did; it may raise HistoryNeeded.

    `remembered`: it stands in another's `where`, so that it is asked of one event after another.
    """
    if node.asks_only_count and not node.filtered and not node.windowed:
        return _ever(node)
    find = finder(node, compile_where)
    test = _by_profile_first(node, _question(node, find), answer_of(node, [], None))
    return _remembered(test, node.same) if remembered else test


def finder(node: Performed, compile_where: Callable[[Condition], Test]) -> Find:
    """The function that finds the events that are asked about."""
    candidates, where = _candidates(node), None if node.where is None else compile_where(node.where)

    def find(m: Moment, most: float) -> list[Event]:
        events = candidates(m)
        if where is None:
            return [*reversed(events)]
        asked = Moment(
            profile=m.profile,
            at=m.at,
            entered=m.entered,
            history=m.history,
            somebody=m.somebody,
            zone_name=m.zone_name,
            standards=m.standards,
            memo={} if m.memo is None else m.memo,
        )
        found: list[Event] = []
        for event in reversed(events):
            asked.event = event
            if where(asked):
                found.append(event)
                if len(found) >= most:
                    break
        return found

    return find


def answer_of(node: Performed, events: Sequence[Event], at: datetime | None) -> bool:
    """Whether these events, the latest first, answer every question; `at` is the moment asked about."""
    if node.count is not None and not count_check(node.count)(len(events)):
        return False
    for edge, position in ((node.first, -1), (node.last, 0)):
        if edge is not None and not (events and at is not None and _edge_holds(edge, events[position].timestamp, at)):
            return False
    return all(_amount_holds(amount, events) for amount in node.amounts)


def count_check(count: Count) -> Callable[[int], bool]:
    """The check of a number of events."""
    if isinstance(count.value, tuple):
        low, high = count.value
        return lambda n: low <= n <= high
    holds, wanted = _COMPARE[count.op], count.value
    return lambda n: holds(n, wanted)


def _ever(node: Performed) -> Test:
    """How often at all: the profile counts, unless it has met more names than it counts."""
    assert node.count is not None
    name, enough, find = node.event, count_check(node.count), finder(node, _no_where)

    def ever(m: Moment) -> bool:
        counts = m.profile.counts
        if name in counts or len(counts) < NAME_LIMIT:
            return enough(counts.get(name, 0))
        return enough(len(find(m, math.inf)))

    return ever


def _no_where(_: Condition) -> Test:
    raise AssertionError("There is no where")


def _by_profile_first(node: Performed, question: Test, of_nothing: bool) -> Test:
    """Spare the history where the profile shows that nothing is in the window, or that the last one is."""
    name, within, since, until, ago = node.event, node.within, node.since, node.until, node.ago
    since_entry, last_edge = node.since_entry, node.last
    least = _first_change(node.count) if node.count is not None and node.asks_only_count else 1
    once = node.asks_only_count and node.count == ONCE and not node.filtered
    only_last = (
        last_edge is not None
        and node.count is None
        and node.first is None
        and not (node.amounts or node.filtered or node.windowed)
    )

    def test(m: Moment) -> bool:
        profile, at = m.profile, m.at
        total = profile.counts.get(name, 0)
        if total < least and (total or len(profile.counts) < NAME_LIMIT):
            return of_nothing  # whatever part of them lies in the window
        last = profile.last_at.get(name)
        if last is not None:
            if within is not None and last <= at - within:
                return of_nothing
            if since is not None and last < since:
                return of_nothing
            if since_entry and (m.entered is None or last < m.entered[0]):
                return of_nothing
            if last <= at:
                if only_last and last_edge is not None:
                    return _edge_holds(last_edge, last, at)
                after_entry = not since_entry or (m.entered is not None and last > m.entered[0])
                if once and after_entry and (until is None or last < until) and (not ago or last <= at - ago):
                    return True
        return question(m)

    return test


def _question(node: Performed, find: Find) -> Test:
    """What is asked of the history."""
    if node.count is not None and node.asks_only_count:
        enough, most = count_check(node.count), _decided(node.count)
        if not node.filtered:
            return _number_in(_window(node), enough)
        return lambda m: enough(len(find(m, most)))
    if node.last is not None and node.count is None and node.first is None and not node.amounts:
        return lambda m: answer_of(node, find(m, 1), m.at)
    return lambda m: answer_of(node, find(m, math.inf), m.at)


def _number_in(window: Callable[[Moment], Bounds], enough: Callable[[int], bool]) -> Test:
    def test(m: Moment) -> bool:
        _, start, end = window(m)
        return enough(end - start)

    return test


def _remembered(test: Test, same: tuple[str, ...] | None) -> Test:
    """Inside another event's `where` it would be asked for every event counted there, with one answer for each key."""

    def ask(m: Moment) -> bool:
        if m.memo is None:
            return test(m)
        key = id(test) if same is None else (id(test), _key(m.event, same))
        known = m.memo.get(key)
        if known is None:
            known = m.memo[key] = test(m)
        return bool(known)

    return ask


def _candidates(node: Performed) -> Callable[[Moment], Sequence[Event]]:
    """The events of the window, with the same value where asked, in order of time."""
    window, same = _window(node), node.same

    def inside(m: Moment) -> Sequence[Event]:
        events, start, end = window(m)
        return events if start == 0 and end == len(events) else events[start:end]

    if same is None:
        return inside

    def candidates(m: Moment) -> Sequence[Event]:
        wanted = _key(m.event, same)
        if wanted is None:
            return ()
        if m.memo is None:
            return [event for event in inside(m) if _key(event, same) == wanted]
        groups = m.memo.get(id(inside))
        if groups is None:
            groups = m.memo[id(inside)] = {}
            for event in inside(m):
                groups.setdefault(_key(event, same), []).append(event)
        found: Sequence[Event] = groups.get(wanted, ())
        return found

    return candidates


def _window(node: Performed) -> Callable[[Moment], Bounds]:
    name, within, ago, since, until = node.event, node.within, node.ago, node.since, node.until
    since_entry = node.since_entry

    def window(m: Moment) -> Bounds:
        earliest = since
        if since_entry:
            if m.entered is None:
                return (), 0, 0
            earliest = m.entered[0] if earliest is None else max(earliest, m.entered[0])
        if within is not None:
            earliest = m.at - within if earliest is None else max(earliest, m.at - within)
        events = m.history.of(name, earliest)
        end = bisect_right(events, m.at - ago, key=_timestamp)
        start = bisect_right(events, m.at - within, 0, end, key=_timestamp) if within is not None else 0
        if until is not None:
            end = bisect_left(events, until, 0, end, key=_timestamp)
        if since is not None:
            start = max(start, bisect_left(events, since, 0, end, key=_timestamp))
        if since_entry and m.entered is not None:
            start = max(start, bisect_right(events, m.entered, 0, end, key=_moment))
        return events, min(start, end), end

    return window


def _timestamp(event: Event) -> datetime:
    return event.timestamp


def _moment(event: Event) -> tuple[datetime, int]:
    return event.moment


def _key(event: Event | None, path: tuple[str, ...]) -> tuple[bool, Any] | None:
    """The single value that an event carries, so that true is no 1; None where it carries none."""
    value = None if event is None else dig_event(event, path)
    return (value.__class__ is bool, value) if isinstance(value, str | int | float) else None


def _edge_holds(edge: Edge, timestamp: datetime, at: datetime) -> bool:
    limit = moment_of(edge.value, at)
    return timestamp < limit if edge.op == "before" else timestamp > limit


def _numbers(amount: Amount, events: Sequence[Event]) -> list[Decimal]:
    found = (money(dig_event(event, amount.of)) for event in events)
    return [number for number in found if number is not None]


def _sum(numbers: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number)
    return total


def _amount_holds(amount: Amount, events: Sequence[Event]) -> bool:
    numbers = _numbers(amount, events)
    factor = Decimal(1)
    if amount.kind in ("sum", "avg"):
        found = _sum(numbers)
        factor = Decimal(len(numbers)) if amount.kind == "avg" else factor  # a division would round
    elif numbers:
        found = min(numbers) if amount.kind == "min" else max(numbers)
    if amount.kind != "sum" and not numbers:
        return False
    if isinstance(amount.value, tuple):
        low, high = amount.value
        return EXACT.multiply(low, factor) <= found <= EXACT.multiply(high, factor)
    return _COMPARE[amount.op](found, EXACT.multiply(amount.value, factor))


def _first_change(count: Count) -> float:
    """The smallest number above 0 for which the answer differs from that for 0."""
    low, high = count.value if isinstance(count.value, tuple) else (count.value, count.value)
    match count.op:
        case "gte":
            return low or math.inf
        case "lt":
            return low or math.inf
        case "gt" | "lte":
            return low + 1
        case "eq" | "ne":
            return low or 1
        case _:
            return low or high + 1


def _decided(count: Count) -> int:
    """So many events, and more change nothing."""
    high = count.value[1] if isinstance(count.value, tuple) else count.value
    return max(high if count.op in ("gte", "lt") else high + 1, 1)
