"""When may something be sent? Quiet hours, and send windows as their opposite, by the clock on the visitor's wall.

Hours that pass midnight belong to the weekday on which they begin. They hold whenever the clock shows such a time: an
hour that comes twice is quiet twice, one that is skipped is not waited for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal, TypeAlias

from backend.domain.calendar.zone import LOOK_AHEAD, Shut, first_open, midnight_after, midnight_of

Then: TypeAlias = Literal["next_available", "abort"]

EVERY_DAY = frozenset(range(7))
WHOLE_DAY = 24 * 60
FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Holidays lie between these years, both included."""

_MONDAY = datetime.fromisoformat("2001-01-01")
_DAY = timedelta(days=1)
_FEW = 50
"""So few holidays leave a day open within LOOK_AHEAD whatever they are: every weekday comes 57 times in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendWindow:
    """A time at which something may be sent: `begins` and `ends` in minutes of the day, on `weekdays` (0: Monday)."""

    begins: int = 0
    ends: int = WHOLE_DAY
    weekdays: frozenset[int] = EVERY_DAY

    def holds(self, wall: datetime) -> bool:
        """Whether this wall time lies in the window."""
        return _ends(self.begins, self.ends, self.weekdays, wall) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """A time at which nothing is sent: `begins` and `ends` in minutes of the day, on `weekdays` (0: Monday).

    Holidays are quiet all day: `holidays` once, `yearly` (month, day) in every year. `channels` are those that keep
    quiet (empty: whoever asks decides), `then` is what becomes of a message.
    """

    begins: int = 0
    ends: int = WHOLE_DAY
    weekdays: frozenset[int] = EVERY_DAY
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    channels: frozenset[str] = frozenset()
    then: Then = "next_available"

    def shut(self, wall: datetime) -> datetime | None:
        """Until when it is quiet at this wall time, at most a day on; None where it is not."""
        if (self.holidays or self.yearly) and self.is_holiday(wall):
            return midnight_after(wall)
        minute = _ends(self.begins, self.ends, self.weekdays, wall)
        return None if minute is None else midnight_of(wall) + timedelta(minutes=minute)

    def is_holiday(self, wall: datetime) -> bool:
        """Whether this wall time lies on a holiday."""
        return (wall.month, wall.day) in self.yearly or wall.date() in self.holidays


def quiet_until(quiet: QuietHours, moment: datetime, zone: tzinfo) -> datetime | None:
    """None where something may be sent; else the moment (UTC) from which it may again."""
    return first_open(quiet.shut, moment, zone)


def windows_until(windows: Sequence[SendWindow], moment: datetime, zone: tzinfo) -> datetime | None:
    """None where one of the windows is open; else the moment (UTC) at which the next one opens."""
    return first_open(_both(None, windows), moment, zone)


def open_from(
    quiet: QuietHours | None, windows: Sequence[SendWindow], moment: datetime, zone: tzinfo
) -> datetime | None:
    """None where neither forbids to send (no windows: only the quiet hours do); else from when (UTC) neither does."""
    return first_open(_both(quiet, windows), moment, zone)


def never_open(quiet: QuietHours | None, windows: Sequence[SendWindow] = ()) -> bool:
    """Whether these hours, or these hours and windows together, leave no time within 400 days, whatever the year."""
    shut = _both(replace(quiet, holidays=frozenset(), yearly=frozenset()) if quiet else None, windows)
    weekdays = {day for day in EVERY_DAY if _opens(shut, _MONDAY + day * _DAY)}
    if not weekdays:
        return True
    if quiet is None or len(quiet.holidays) + len(quiet.yearly) <= _FEW:
        return False
    day = _MONDAY.replace(year=FIRST_YEAR)
    closed = 0
    while day.year <= LAST_YEAR and closed < LOOK_AHEAD.days - 14:
        closed = 0 if day.weekday() in weekdays and not quiet.is_holiday(day) else closed + 1
        day += _DAY
    return day.year <= LAST_YEAR


def _ends(begins: int, ends: int, weekdays: frozenset[int], wall: datetime) -> int | None:
    """The minute, counted from this midnight, at which the hours end that hold now; None where none hold."""
    minute, weekday = wall.hour * 60 + wall.minute, wall.weekday()
    if begins < ends:
        return ends if begins <= minute < ends and weekday in weekdays else None
    if minute >= begins and weekday in weekdays:
        return WHOLE_DAY + ends
    return ends if minute < ends and (weekday - 1) % 7 in weekdays else None


def _both(quiet: QuietHours | None, windows: Sequence[SendWindow]) -> Shut:
    def shut(wall: datetime) -> datetime | None:
        held = quiet.shut(wall) if quiet is not None else None
        closed = _closed(windows, wall) if windows else None
        return max(held, closed) if held is not None and closed is not None else held or closed

    return shut


def _closed(windows: Iterable[SendWindow], wall: datetime) -> datetime | None:
    """The wall time at which the next window opens, at most the next midnight; None where one is open."""
    minute, weekday = wall.hour * 60 + wall.minute, wall.weekday()
    following = WHOLE_DAY
    for window in windows:
        if window.holds(wall):
            return None
        if minute < window.begins < following and weekday in window.weekdays:
            following = window.begins
    return midnight_of(wall) + timedelta(minutes=following)


def _opens(shut: Shut, day: datetime) -> bool:
    wall = day
    while wall < day + _DAY:
        end = shut(wall)
        if end is None:
            return True
        wall = end
    return False
