"""When may a condition change its answer though nothing happens? The moments at which time alone can turn it."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from backend.domain.calendar import day_begins, zone_of
from backend.domain.calendar.zone import first_open, midnight_after, midnight_of
from backend.domain.condition.compile import compile_condition, tellings
from backend.domain.condition.fields import DERIVED, getter
from backend.domain.condition.local import holds_at, local_now
from backend.domain.condition.moment import Moment
from backend.domain.condition.performed import finder
from backend.domain.condition.tree import (
    ONCE,
    All,
    AnyOf,
    Comparison,
    Condition,
    LocalTime,
    Not,
    Performed,
)
from backend.domain.condition.values import read_time
from backend.domain.condition.when import DAY, Relative, Test, date_alone
from backend.domain.event import Event
from backend.domain.fact import FACTS
from backend.domain.profile import NAME_LIMIT
from backend.domain.trait import telling

Turning: TypeAlias = Callable[[Moment], datetime | None]
"""Asked at a moment: the next one at which the answer may differ, if nothing happens until then; None: never."""

TICK = timedelta(microseconds=1)
"""The least time between two moments: what is true after a moment is true from the next one on."""

MOST_STEPS = 16
"""So many moments are tried ahead for one at which the answer does differ."""


def turning_of(condition: Condition) -> Turning | None:
    """The function that tells when time may turn the answer; None for a condition that time alone never turns.

    What it tells may be too early, and is never too late. It may raise HistoryNeeded.
    """
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            return _soonest([turning for part in parts if (turning := turning_of(part)) is not None])
        case Not(part=part):
            return turning_of(part)
        case Comparison():
            return _comparison(condition)
        case LocalTime():
            return _local_time(condition)
        case Performed():
            return _performed(condition)
        case _:
            return None


def next_turn(test: Test | None, turning: Turning, m: Moment, answer: bool) -> datetime | None:
    """The first moment after `m` at which the answer is no longer this one, if nothing happens until then.

    Where many moments come at which it might be and is not, one of those: then it is to be asked again. Without `test`,
    what `turning` tells first is believed.
    """
    at: datetime | None = None
    then = m if m.event is None else _at(m, m.at)
    try:
        for _ in range(MOST_STEPS):
            at = turning(then)
            if at is None or test is None:
                break
            then = _at(m, at)
            if test(then) is not answer:
                break
    except OverflowError:  # the end of the calendar
        return None
    return at


def _at(m: Moment, at: datetime, event: Event | None = None) -> Moment:
    return Moment(
        profile=m.profile,
        at=at,
        event=event,
        entered=m.entered,
        history=m.history,
        somebody=m.somebody,
        zone_name=m.zone_name,
        standards=m.standards,
        memo=None if event is None else {},
    )


def _soonest(turnings: Sequence[Turning]) -> Turning | None:
    if len(turnings) < 2:
        return turnings[0] if turnings else None
    return lambda m: _first(each(m) for each in turnings)


def _first(moments: Iterator[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _after(at: datetime, moments: Iterator[datetime]) -> datetime | None:
    return min((moment for moment in moments if moment > at), default=None)


def _comparison(node: Comparison) -> Turning | None:
    if node.op == "unchanged_for":
        return _unchanged(node.field.parts[1], node.value)
    if node.field.root == "profile" and node.field.parts[0] == DERIVED:
        return _soonest([each for each in (_of_fact(node), _by_span(node)) if each is not None])
    return _by_span(node)


def _of_fact(node: Comparison) -> Turning | None:
    """When a fact that depends on the moment becomes another, as far as the condition asks for it."""
    turns = FACTS[node.field.parts[1]].turns
    if turns is None:
        return None
    numbers = tuple(float(each) for each in _values(node.value) if isinstance(each, int | float))
    return lambda m: _after(m.at, turns(m.profile, m.at, m.standards, m.history, numbers))


def _by_span(node: Comparison) -> Turning | None:
    """When what lies at a moment is as far away as the condition asks."""
    spans = [each.span for each in _values(node.value) if isinstance(each, Relative)]
    if not spans:
        return None
    get, by_day = getter(node.field), node.op in ("eq", "ne")
    only = spans[0] if len(spans) == 1 and node.op in ("before", "after") else None
    later = TICK if node.op == "before" else timedelta(0)

    def turning(m: Moment) -> datetime | None:
        value = get(m)
        if only is not None and value.__class__ is datetime and value.tzinfo is UTC:
            edge = value - only + later  # the very moment at which it turns
            return edge if edge > m.at else None
        return _after(m.at, _edges(m, value, spans, by_day))

    return turning


def _values(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _edges(m: Moment, value: Any, spans: Sequence[timedelta], by_day: bool) -> Iterator[datetime]:
    """The moments that lie so far from this value: a calendar day, or a moment."""
    zone = zone_of(m.profile.device.timezone, m.zone_name)
    day = date_alone(value)
    moment = read_time(value) if day is None else None
    if moment is not None and by_day:
        day = moment.astimezone(zone).date()
    if day is None and moment is None:
        return
    for span in spans:
        if day is not None:
            for each in (day, day + DAY):
                yield _day_comes(each, span, zone)
        elif moment is not None:
            yield moment - span
            yield moment - span + TICK


def _day_comes(day: date, span: timedelta, zone: Any) -> datetime:
    """When `span` from now is this day, by the calendar for whole days, by the clock for all else."""
    return day_begins(day, zone) - span if span % DAY else day_begins(day - span, zone)


def _unchanged(trait: str, span: timedelta) -> Turning:
    def turning(m: Moment) -> datetime | None:
        told_at = m.profile.trait_times.get(trait)
        if trait not in m.profile.traits or told_at is None or told_at + span <= m.at:
            return None
        told = (event.timestamp + span for event in tellings(m.history) if telling(event, trait)[0])
        return _after(m.at, iter([*told, told_at + span]))

    return turning


def _local_time(node: LocalTime) -> Turning:
    holds, ends = holds_at(node), tuple(timedelta(minutes=each) for each in (node.start, node.end))

    def turning(m: Moment) -> datetime | None:
        answer = holds(local_now(m))

        def shut(wall: datetime) -> datetime | None:
            if holds(wall) is not answer:
                return None
            day = midnight_of(wall)
            return min(each for each in (*(day + end for end in ends), midnight_after(wall)) if each > wall)

        return first_open(shut, m.at, zone_of(m.profile.device.timezone, m.zone_name))

    return turning


def _performed(node: Performed) -> Turning | None:
    parts = (_by_window(node), _by_edges(node), _by_where(node))
    turning = _soonest([part for part in parts if part is not None])
    if turning is None:
        return None

    def known(m: Moment) -> datetime | None:
        """Spares the history where the profile shows that there is nothing to wait for."""
        counts = m.profile.counts
        return None if node.event not in counts and len(counts) < NAME_LIMIT else turning(m)

    return known


def _by_window(node: Performed) -> Turning | None:
    """When an event leaves the window, or comes into it."""
    spans = [span for span in (node.within, node.ago) if span]
    if not spans:
        return None
    longest = max(spans)
    once = node.asks_only_count and node.count == ONCE and not node.filtered and not node.ago and node.until is None
    counts = None if node.where is None else compile_condition(node.where)

    def turning(m: Moment) -> datetime | None:
        last = m.profile.last_at.get(node.event)
        if last is not None and last + longest <= m.at:
            return None
        if last is not None and once:
            return last + longest
        events = m.history.of(node.event)
        found: list[datetime] = []
        for span in spans:
            for event in events[bisect_right(events, m.at - span, key=_timestamp) :]:
                if counts is None or counts(_at(m, m.at, event)):
                    found.append(event.timestamp + span)
                    break
        return min(found, default=None)

    return turning


def _by_edges(node: Performed) -> Turning | None:
    """When the first or the last event is so long ago as was asked."""
    asked = [
        (place, edge.value.span)
        for place, edge in ((-1, node.first), (0, node.last))
        if edge is not None and isinstance(edge.value, Relative)
    ]
    if not asked:
        return None
    find = finder(node, compile_condition)

    def turning(m: Moment) -> datetime | None:
        found = find(m, float("inf"))
        edges = [found[place].timestamp - span for place, span in asked] if found else []
        return _after(m.at, (each + tick for each in edges for tick in (timedelta(0), TICK)))

    return turning


def _by_where(node: Performed) -> Turning | None:
    """When time turns what is asked of one of the events."""
    below = None if node.where is None else turning_of(node.where)
    if below is None:
        return None
    turning = below
    return lambda m: _first(turning(_at(m, m.at, event)) for event in m.history.of(node.event))


def _timestamp(event: Event) -> datetime:
    return event.timestamp
