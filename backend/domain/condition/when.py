"""What is a relative time? `{"ago": "30d"}` and `{"in": "3d"}`: so far from the moment that is asked about."""

import operator as python
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from backend.domain.calendar import zone_of
from backend.domain.condition.moment import Moment
from backend.domain.condition.values import read_time
from backend.domain.duration import format_duration, parse_duration

DAY = timedelta(days=1)
LENGTH_OF_DATE = len("2026-03-01")


@dataclass(frozen=True, slots=True)
class Relative:
    """So far after the moment asked about; before it where `span` is negative."""

    span: timedelta

    def __str__(self) -> str:
        return f"{format_duration(-self.span)} ago" if self.span <= timedelta(0) else f"in {format_duration(self.span)}"


When: TypeAlias = datetime | Relative
Test: TypeAlias = Callable[[Moment], bool]

_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "before": python.lt,
    "lt": python.lt,
    "lte": python.le,
    "after": python.gt,
    "gt": python.gt,
    "gte": python.ge,
    "eq": python.eq,
    "ne": python.ne,
}
RELATIVE_OPERATORS = frozenset({*_HOLDS, "between"})
"""The operators that take a relative time."""


def read_relative(value: Any) -> Relative:
    """Read `{"ago": DURATION}` or `{"in": DURATION}`; a ValueError tells what is wrong with it."""
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"ago", "in"}:
        raise ValueError('A relative time is {"ago": "30d"} or {"in": "3d"}.')
    ((key, written),) = value.items()
    span = parse_duration(written)
    return Relative(-span if key == "ago" else span)


def read_when(value: Any) -> When:
    """Read a moment: RFC 3339 text, a date (its midnight in UTC), or a relative time."""
    if isinstance(value, dict):
        return read_relative(value)
    moment = read_time(value) if isinstance(value, str) else None
    if moment is None:
        raise ValueError('Expected a time such as 2026-03-01T12:00:00Z, a date as 2026-03-01, or {"ago": "30d"}.')
    return moment


def read_day(value: Any) -> Relative:
    """Read a relative time for an operator that compares calendar days: its duration is in days."""
    relative = read_relative(value)
    if relative.span % DAY:
        raise ValueError('eq and ne compare calendar days, so that the duration is in days: {"ago": "3d"}.')
    return relative


def read_whens(value: Any) -> tuple[Any, Any]:
    """Read [earliest, latest], of which at least one is relative; the other may be RFC 3339 text, which stays text."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("between needs a list of two values: [earliest, latest].")
    early, late = (read_relative(each) if isinstance(each, dict) else each for each in value)
    for each in (early, late):
        if not isinstance(each, Relative):
            read_when(each)
    if isinstance(early, Relative) and isinstance(late, Relative) and early.span > late.span:
        raise ValueError("The first value of between is later than the second, so nothing can lie between them.")
    return (early, late)


def is_relative(value: Any) -> bool:
    """Whether the value of a comparison, as it was read, depends on the moment asked about."""
    return isinstance(value, Relative) or (isinstance(value, tuple) and any(isinstance(x, Relative) for x in value))


def moment_of(when: When, at: datetime) -> datetime:
    """The moment that is meant where it is asked about at `at`."""
    return at + when.span if isinstance(when, Relative) else when


def relative_test(get: Callable[[Moment], Any], op: str, value: Any) -> Test:
    """The test of a comparison with a relative time.

    A date alone is compared by the visitor's calendar day, everything else by the moment; eq and ne always by the day.
    """
    if op == "between":
        from_early, to_late = _bound(get, "gte", value[0]), _bound(get, "lte", value[1])
        return lambda m: from_early(m) and to_late(m)
    return _bound(get, op, value)


def _bound(get: Callable[[Moment], Any], op: str, value: Relative | str) -> Test:
    holds, missing = _HOLDS[op], op == "ne"
    by_day = op in ("eq", "ne")
    if isinstance(value, str):
        wanted_day, wanted = date_alone(value), read_time(value)

        def absolute(m: Moment) -> bool:
            x = get(m)
            day = date_alone(x) if wanted_day is not None else None
            if day is not None:
                return holds(day, wanted_day)
            moment = read_time(x)
            return moment is not None and holds(moment, wanted)

        return absolute
    span = value.span

    def relative(m: Moment) -> bool:
        x = get(m)
        if x.__class__ is datetime and x.tzinfo is UTC and not by_day:
            return holds(x, m.at + span)
        day = date_alone(x)
        if day is not None:
            return holds(day, _day(m, span))
        moment = read_time(x)
        if moment is None:
            return missing
        if not by_day:
            return holds(moment, m.at + span)
        try:
            return holds(_local(m, moment).date(), _day(m, span))
        except OverflowError:  # at the ends of the calendar, where a zone has no time for it
            return missing

    return relative


def date_alone(x: Any) -> date | None:
    """The calendar day that text such as `2026-03-01` means; None for everything else."""
    if x.__class__ is not str or len(x) != LENGTH_OF_DATE or read_time(x) is None:
        return None
    return date.fromisoformat(x)


def _day(m: Moment, span: timedelta) -> date:
    """The visitor's calendar day so far from now: by the calendar for whole days, by the clock for all else."""
    return _local(m, m.at + span).date() if span % DAY else _local(m, m.at).date() + span


def _local(m: Moment, moment: datetime) -> datetime:
    return moment.astimezone(zone_of(m.profile.device.timezone, m.zone_name))
