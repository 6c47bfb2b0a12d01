"""From a condition to a function: closures with paths split and values prepared, nothing looked up when asked."""

import math
import operator as python
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias, assert_never

from backend.domain.condition.fields import getter
from backend.domain.condition.moment import Moment
from backend.domain.condition.operators import OPERATORS
from backend.domain.condition.tree import (
    ONCE,
    All,
    AnyOf,
    Comparison,
    Condition,
    Count,
    InSegment,
    Not,
    Performed,
)
from backend.domain.condition.values import read_time
from backend.domain.event import Event
from backend.domain.profile import NAME_LIMIT

Test: TypeAlias = Callable[[Moment], bool]


def compile_condition(condition: Condition) -> Test:
    """Make a function that tells whether the condition holds at a moment; it may raise HistoryNeeded."""
    match condition:
        case Comparison():
            return _comparison(condition)
        case All(parts=parts):
            return _all([compile_condition(part) for part in parts])
        case AnyOf(parts=parts):
            return _any([compile_condition(part) for part in parts])
        case Not(part=part):
            test = compile_condition(part)
            return lambda m: not test(m)
        case Performed():
            return _performed(condition)
        case InSegment():
            raise NotImplementedError("Segments are not available yet")
        case _:
            assert_never(condition)


def always(_: Moment) -> bool:
    """The condition that nobody wrote down."""
    return True


def _comparison(condition: Comparison) -> Test:
    get, value = getter(condition.field), condition.value
    if condition.op == "eq" and isinstance(value, str) and read_time(value) is None:
        return lambda m: bool(get(m) == value)
    check = OPERATORS[condition.op].make(value)
    return lambda m: check(get(m))


def _all(tests: list[Test]) -> Test:
    match tests:
        case []:
            return always
        case [one]:
            return one
        case [one, two]:
            return lambda m: one(m) and two(m)
        case [one, two, three]:
            return lambda m: one(m) and two(m) and three(m)

    def test(m: Moment) -> bool:
        for each in tests:  # noqa: SIM110 - a generator inside all() costs twice as much
            if not each(m):
                return False
        return True

    return test


def _any(tests: list[Test]) -> Test:
    match tests:
        case [one]:
            return one
        case [one, two]:
            return lambda m: one(m) or two(m)
        case [one, two, three]:
            return lambda m: one(m) or two(m) or three(m)

    def test(m: Moment) -> bool:
        for each in tests:  # noqa: SIM110
            if each(m):
                return True
        return False

    return test


def _performed(node: Performed) -> Test:
    """Count by the profile wherever it knows exactly, and by the history otherwise."""
    name, within = node.event, node.within
    enough = _count_check(node.count)
    none_is_enough = enough(0)
    once = node.count == ONCE
    count = _counter(node)
    if node.where is None and within is None and not node.since_entry:

        def ever(m: Moment) -> bool:
            counts = m.profile.counts
            if name in counts or len(counts) < NAME_LIMIT:
                return enough(counts.get(name, 0))
            return enough(count(m))  # more names than a profile counts

        return ever
    first_change = _first_change(node.count)

    def test(m: Moment) -> bool:
        profile = m.profile
        total = profile.counts.get(name, 0)
        if total < first_change and (total or len(profile.counts) < NAME_LIMIT):
            return none_is_enough  # whatever part of them lies in the window
        last = profile.last_at.get(name)
        if last is not None:
            if within is not None and last <= m.at - within:
                return none_is_enough
            if node.since_entry and (m.entered is None or last < m.entered[0]):
                return none_is_enough
            after_entry = not node.since_entry or (m.entered is not None and last > m.entered[0])
            if once and node.where is None and after_entry and last <= m.at:
                return True
        return enough(count(m))

    return _remembered(test)


def _remembered(test: Test) -> Test:
    """Inside another event's `where` it would be asked for every event counted there, always with the same answer."""

    def ask(m: Moment) -> bool:
        if m.memo is None:
            return test(m)
        known = m.memo.get(id(test))
        if known is None:
            known = m.memo[id(test)] = test(m)
        return known

    return ask


def _counter(node: Performed) -> Callable[[Moment], int]:
    """Count the events of the window `at - within < timestamp <= at`, after the entry where asked, that match."""
    name, within, since_entry, once = node.event, node.within, node.since_entry, node.count == ONCE
    where = None if node.where is None else compile_condition(node.where)

    def count(m: Moment) -> int:
        if since_entry and m.entered is None:
            return 0
        events = m.history.of(name)
        end = bisect_right(events, m.at, key=_timestamp)
        start = bisect_right(events, m.at - within, 0, end, key=_timestamp) if within is not None else 0
        if since_entry and m.entered is not None:
            start = max(start, bisect_right(events, m.entered, 0, end, key=_moment))
        if where is None:
            return max(0, end - start)
        asked = Moment(profile=m.profile, at=m.at, entered=m.entered, history=m.history, memo={})
        found = 0
        for position in range(end - 1, start - 1, -1):
            asked.event = events[position]
            if where(asked):
                found += 1
                if once:
                    break
        return found

    return count


def _timestamp(event: Event) -> datetime:
    return event.timestamp


def _moment(event: Event) -> tuple[datetime, int]:
    return event.moment


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


def _count_check(count: Count) -> Callable[[int], bool]:
    if isinstance(count.value, tuple):
        low, high = count.value
        return lambda n: low <= n <= high
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "eq": python.eq,
        "ne": python.ne,
        "gt": python.gt,
        "gte": python.ge,
        "lt": python.lt,
        "lte": python.le,
    }
    holds, wanted = compare[count.op], count.value
    return lambda n: holds(n, wanted)
