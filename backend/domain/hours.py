"""When is somebody there to answer? Working hours of a site or a department, by the clock of one place.

Hours that pass midnight belong to the day on which they begin, also where that or the next day is a holiday. They hold
whenever the clock shows such a time: an hour that comes twice is worked twice, one that is skipped is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

from backend.domain.calendar import (
    SendWindow,
    read_day,
    read_holidays,
    read_send_windows,
    read_zone_name,
    wall_of,
    zone_of,
)
from backend.domain.calendar.zone import Shut, first_open, midnight_after, midnight_of
from backend.domain.mistakes import Mistakes

Path: TypeAlias = tuple[str | int, ...]
Span: TypeAlias = tuple[int, int]
"""From and to in minutes of a day; to is 24:00 (1440) at most, and where it is before from, of the next day."""

MOST_EXCEPTIONS = 400
KEYS = ("zone", "windows", "holidays", "exceptions")

_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """The working hours of one place; without `windows` and `exceptions` it is never open, see `ALWAYS`.

    `holidays` are closed once, `yearly` (month, day) in every year; `exceptions` are days with hours of their own,
    none for closed, and stand above both.
    """

    zone: str = "UTC"
    windows: tuple[SendWindow, ...] = ()
    holidays: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    exceptions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def is_open(self, at: datetime) -> bool:
        """Whether this moment lies in the hours."""
        return self._open_until(wall_of(at, zone_of(self.zone))) is not None

    def opens_next(self, at: datetime) -> datetime | None:
        """The first moment (UTC) at or after this one that lies in the hours; None where none does within 400 days."""
        opening = first_open(self._shut_until, at, zone_of(self.zone))
        if opening is None:
            return at.astimezone(UTC)
        return opening if self.is_open(opening) else None

    def closes_next(self, at: datetime) -> datetime | None:
        """The first moment (UTC) at or after this one that lies outside; None where none does within 400 days."""
        closing = first_open(self._open_until, at, zone_of(self.zone))
        if closing is None:
            return at.astimezone(UTC)
        return None if self.is_open(closing) else closing

    def working_time_between(self, begin: datetime, end: datetime) -> timedelta:
        """How much of this time lies in the hours; nothing where it ends before it begins."""
        zone, total, at = zone_of(self.zone), timedelta(0), begin.astimezone(UTC)
        last = end.astimezone(UTC)
        stop = wall_of(last, zone) + 2 * _DAY  # the clock, put back, may show it once more; not by so much
        while at < last:
            opening = first_open(_not_after(stop, self._shut_until), at, zone) or at
            if opening >= last:
                break
            closing = min(first_open(_not_after(stop, self._open_until), opening, zone) or opening, last)
            total, at = total + (closing - opening), closing
        return total

    def _spans(self, day: date) -> tuple[Span, ...]:
        """The hours that begin on a day."""
        if (told := self.exceptions.get(day)) is not None:
            return told
        if day in self.holidays or (day.month, day.day) in self.yearly:
            return ()
        weekday = day.weekday()
        return tuple((each.begins, each.ends) for each in self.windows if weekday in each.weekdays)

    def _open_until(self, wall: datetime) -> datetime | None:
        """Until which wall time it is open at this one, at most a day on; None where it is not."""
        midnight = midnight_of(wall)
        since = wall - midnight
        found: timedelta | None = None
        for day, shift in ((midnight - _DAY, -_DAY), (midnight, timedelta(0))):
            for begins, ends in self._spans(day.date()):
                begin = shift + timedelta(minutes=begins)
                end = shift + timedelta(minutes=ends) + (_DAY if ends <= begins else timedelta(0))
                if begin <= since < end and (found is None or end > found):
                    found = end
        return None if found is None else midnight + found

    def _shut_until(self, wall: datetime) -> datetime | None:
        """The wall time at which it opens next, at most the next midnight; None where it is open."""
        if self._open_until(wall) is not None:
            return None
        midnight = midnight_of(wall)
        openings = (midnight + timedelta(minutes=begins) for begins, _ in self._spans(wall.date()))
        return min((each for each in openings if each > wall), default=midnight_after(wall))


ALWAYS = Hours(windows=(SendWindow(),))
"""For who has told no hours."""


def _not_after(stop: datetime, shut: Shut) -> Shut:
    """The same question, whose answer from this wall time on nobody needs to know."""
    return lambda wall: None if wall >= stop else shut(wall)


def read_hours(value: object, path: Path, mistakes: Mistakes) -> Hours | None:
    """Hours as `{"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "18:00", "weekdays": ["mon"]}], …}`.

    Beside them `holidays` (`"2026-04-06"`, `"12-25"`) and `exceptions` (`{"date": "2026-12-24", "windows": [{"from":
    "09:00", "to": "12:00"}]}`, `[]`: closed). None where that noted a mistake.
    """
    if not isinstance(value, Mapping):
        wanted = '{"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "18:00", "weekdays": ["mon"]}]}'
        mistakes.add(path, f"Expected an object such as {wanted}.")
        return None
    noted = mistakes.total
    mistakes.known_keys(value, KEYS, path)
    given = {key: each for key, each in value.items() if each is not None}
    zone = read_zone_name(given["zone"], (*path, "zone"), mistakes) if "zone" in given else "UTC"
    if "zone" not in given:
        mistakes.add((*path, "zone"), "By which clock? Write an IANA name, such as Europe/Vienna.")
    windows: tuple[SendWindow, ...] | None = ()
    if "windows" in given and given["windows"] != []:
        windows = read_send_windows(given["windows"], (*path, "windows"), mistakes)
    once, yearly = read_holidays(given.get("holidays", []), (*path, "holidays"), mistakes)
    exceptions = _read_exceptions(given.get("exceptions", []), (*path, "exceptions"), mistakes)
    if not given.get("windows") and not any(exceptions.values()) and mistakes.total == noted:
        mistakes.add((*path, "windows"), "Say when somebody is there; without any hours, nobody ever is.")
    if mistakes.total != noted or zone is None or windows is None:
        return None
    return Hours(zone=zone, windows=windows, holidays=once, yearly=yearly, exceptions=exceptions)


def _read_exceptions(value: object, path: Path, mistakes: Mistakes) -> dict[date, tuple[Span, ...]]:
    if not isinstance(value, list):
        mistakes.add(path, 'Expected a list such as [{"date": "2026-12-24", "windows": []}].')
        return {}
    if len(value) > MOST_EXCEPTIONS:
        mistakes.add(path, f"There are at most {MOST_EXCEPTIONS} exceptions.")
        return {}
    found: dict[date, tuple[Span, ...]] = {}
    for position, each in enumerate(value):
        here = (*path, position)
        if not isinstance(each, Mapping):
            mistakes.add(here, 'Expected an object such as {"date": "2026-12-24", "windows": []}.')
            continue
        mistakes.known_keys(each, ("date", "windows"), here)
        day = read_day(each.get("date"), (*here, "date"), mistakes)
        spans = _read_spans(each.get("windows"), (*here, "windows"), mistakes)
        if day is not None and day in found:
            mistakes.add((*here, "date"), f"{day} is told twice.")
        elif day is not None:
            found[day] = spans
    return found


def _read_spans(value: object, path: Path, mistakes: Mistakes) -> tuple[Span, ...]:
    if value == []:
        return ()
    windows = read_send_windows(value, path, mistakes)
    if isinstance(value, list):
        for position, each in enumerate(value):
            if isinstance(each, Mapping) and each.get("weekdays") is not None:
                mistakes.add((*path, position, "weekdays"), "It holds on its date alone.")
    return tuple((each.begins, each.ends) for each in windows or ())
