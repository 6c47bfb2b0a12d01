"""When does a date come, and a day begin? Calendar days of the visitor, and the moments of dates in their traits."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from backend.domain.calendar.zone import first_open, instant, midnight_after

_WRITTEN = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d{1,9})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?)?",
    re.ASCII,
)
_MIDNIGHT = time(0)


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The calendar day in a zone at a moment."""
    return moment.astimezone(zone).date()


def day_begins(day: date, zone: tzinfo) -> datetime:
    """The first moment (UTC) of a day; where the zone skipped that day, of the next one."""
    return instant(datetime.combine(day, _MIDNIGHT), zone)


def next_day(moment: datetime, zone: tzinfo) -> datetime:
    """The first moment (UTC) after this one at which a later calendar day is."""
    today = day_of(moment, zone)
    found = first_open(lambda wall: None if wall.date() > today else midnight_after(wall), moment, zone)
    assert found is not None
    return found


def next_occurrence(
    told: object, offset_days: int, at: time, yearly: bool, after: datetime, zone: tzinfo
) -> datetime | None:
    """The first moment (UTC) after `after` that is `at` on the day that `told` tells of, `offset_days` later.

    With `yearly` on every anniversary too; 29 February comes on the 28th in common years. None where `told` is no date
    (`2026-03-01`, or RFC 3339), or where no such moment is to come.
    """
    try:
        day = _day_told(told, zone)
        if day is None:
            return None
        since = after.astimezone(UTC)
        for each in _days(day, timedelta(days=offset_days), yearly, day_of(since, zone)):
            moment = instant(datetime.combine(each, at), zone)
            if moment > since:
                return moment
    except (OverflowError, ValueError):  # a day that is in no calendar, or before or after all time
        return None
    return None


def _day_told(told: object, zone: tzinfo) -> date | None:
    """The day that a text means in a zone.

    A time of day with an offset is a moment, and its day the one that the visitor had then. But at midnight, or without
    an offset, it is a day as programs write it: nobody's birthday moves because he lives west of where it was stored.
    """
    found = _WRITTEN.fullmatch(told) if isinstance(told, str) and len(told) <= 40 else None
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    written = date.fromisoformat(day)
    if clock is None or offset is None or (clock == "00:00:00" and not (fraction or "").strip(".0")):
        return written
    return day_of(datetime.fromisoformat(f"{day}T{clock}{offset.upper()}"), zone)


def _days(day: date, offset: timedelta, yearly: bool, today: date) -> Iterator[date]:
    """The days to look at, in order: at least the first two that are today or later."""
    if not yearly:
        yield day + offset
        return
    first = max(day.year, (today - offset).year - 1)
    for year in range(first, first + 4):
        leap = day.month == 2 and day.day == 29 and not _is_leap(year)
        yield (day.replace(year=year, day=28) if leap else day.replace(year=year)) + offset


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
