"""What does the clock on the wall show? Time zones by name, and the way from local time to moments and back.

A wall time is a datetime without zone, as a clock in that place shows it; a moment is in UTC. Clocks are put forward
(a gap: some wall times never come) and back (an overlap: some come twice). No zone ever did so twice within three days.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo, available_timezones

Shut: TypeAlias = Callable[[datetime], datetime | None]
"""Asked at a wall time: until when it is shut without a break (at most a day), or None where it is open."""

LOOK_AHEAD = timedelta(days=400)
"""So far ahead somebody looks for a time that is open."""

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_NO_PLACE = {"localtime", "Factory"}
"""The server's own zone, and that of a machine nobody has set up."""


@cache
def known_zones() -> frozenset[str]:
    """The IANA names of all time zones there are."""
    return frozenset(available_timezones() - _NO_PLACE)


def zone_of(*names: str | None) -> ZoneInfo:
    """The first of these zones that exists, UTC where none does. Takes any text: pages send what they like."""
    for name in names:
        if name.__class__ is str and (zone := _zone(name)) is not None:
            return zone
    return ZoneInfo("UTC")


@lru_cache(maxsize=2_000)
def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name in known_zones() else None


def wall_of(moment: datetime, zone: tzinfo) -> datetime:
    """The wall time in a zone at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def instant(wall: datetime, zone: tzinfo) -> datetime:
    """The moment (UTC) of a wall time: the first where it comes twice; in a gap, the first moment after the gap."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_of(moment, zone) == wall:
        return moment
    return _turn(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), moment, zone)


def midnight_after(wall: datetime) -> datetime:
    """The wall time at which the next day begins."""
    return midnight_of(wall) + _DAY


def midnight_of(wall: datetime) -> datetime:
    """The wall time at which this day began."""
    return wall.replace(hour=0, minute=0, second=0, microsecond=0)


def first_open(shut: Shut, moment: datetime, zone: tzinfo) -> datetime | None:
    """None where it is open; else the first moment (UTC) after this one at which the clock shows a time that is open.

    Where none comes within LOOK_AHEAD, the end of that: a time at which to ask again.
    """
    wall = wall_of(moment, zone)
    end = shut(wall)
    if end is None:
        return None
    at = moment.astimezone(UTC)
    last = at + LOOK_AHEAD
    while end is not None:
        if at >= last:
            return last
        until = at + (end - wall)
        wall = wall_of(until, zone)
        if wall != end:
            # The clock is put forward or back on the way. It has to be asked again there: it may open sooner.
            until = _turn(at, until, zone)
            wall = wall_of(until, zone)
        at, end = until, shut(wall)
    return at


def _turn(start: datetime, end: datetime, zone: tzinfo) -> datetime:
    """The moment after `start` and up to `end` at which the clock is put forward or back; there must be one."""
    base = start.replace(microsecond=0)
    before = base.astimezone(zone).utcoffset()
    low, high = 0, -((base - end) // _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if (base + middle * _SECOND).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return base + high * _SECOND


def written(moment: datetime) -> str:
    """A moment (UTC) as sentences tell it: RFC 3339, to the second."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
