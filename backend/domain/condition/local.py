"""What time is it where the visitor is? The window of a day in which `local_time` holds."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from backend.domain.calendar import zone_of
from backend.domain.condition.moment import Moment
from backend.domain.condition.tree import LocalTime
from backend.domain.condition.when import Test
from backend.domain.mistakes import Mistakes, nearest, quoted

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHOLE_DAY = 24 * 60
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)


def local_now(m: Moment) -> datetime:
    """The moment on the visitor's clock: by their device's time zone, else by the site's."""
    return m.at.astimezone(zone_of(m.profile.device.timezone, m.zone_name))


def local_time_test(node: LocalTime) -> Test:
    """The test of the visitor's time of day."""
    holds = holds_at(node)
    return lambda m: holds(local_now(m))


def holds_at(node: LocalTime) -> Callable[[datetime], bool]:
    """The test of a time on somebody's clock; a window that passes midnight belongs to the day on which it began."""
    start, end, weekdays = node.start, node.end, node.weekdays or tuple(range(7))

    def test(now: datetime) -> bool:
        minute, weekday = now.hour * 60 + now.minute, now.weekday()
        if start < end:
            return start <= minute < end and weekday in weekdays
        if minute >= start:
            return weekday in weekdays
        return minute < end and (weekday - 1) % 7 in weekdays

    return test


def read_local_time(doc: object, path: Sequence[str | int], mistakes: Mistakes) -> LocalTime | None:
    """Read `{"from", "to", "weekdays"}`, noting each mistake; None where there was one."""
    if not isinstance(doc, dict):
        mistakes.add(path, 'Expected an object such as {"from": "09:00", "to": "18:00", "weekdays": ["mon", "fri"]}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(doc, ("from", "to", "weekdays"), path)
    if all(doc.get(key) is None for key in ("from", "to", "weekdays")):
        mistakes.add(path, "Say from when, up to when (to), or on which weekdays.")
    start = mistakes.attempt(_read_clock, doc.get("from") or "00:00", (*path, "from"))
    end = mistakes.attempt(_read_clock, doc.get("to") or "24:00", (*path, "to"))
    if start == WHOLE_DAY:
        mistakes.add((*path, "from"), "A day begins at 00:00; only to can be 24:00.")
    elif start is not None and start == end:
        mistakes.add((*path, "to"), "from and to are the same time: for the whole day, leave out both.")
    weekdays = _read_weekdays(doc.get("weekdays"), (*path, "weekdays"), mistakes)
    if mistakes.total > noted or start is None or end is None:
        return None
    return LocalTime(start=start, end=end, weekdays=weekdays)


def clock(minute: int) -> str:
    """A minute of the day as it is written: 540 is `09:00`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _read_clock(value: object) -> int:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError("Expected a time of day such as 09:00 or 17:30.")
    hours, minutes = value.split(":")
    return int(hours) * 60 + int(minutes)


def _read_weekdays(value: object, path: Sequence[str | int], mistakes: Mistakes) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        mistakes.add(path, 'Expected a list of weekdays such as ["mon", "tue"]; leave it out for all of them.')
        return ()
    if len(value) > len(WEEKDAYS):
        mistakes.add(path, "There are seven weekdays.")
        return ()
    for position, day in enumerate(value):
        if not isinstance(day, str) or day not in WEEKDAYS:
            named = f" {quoted(day)}" if isinstance(day, str) else ""
            hint = nearest(day[:3], WEEKDAYS) if isinstance(day, str) else ""
            mistakes.add((*path, position), f"Unknown weekday{named}: expected {', '.join(WEEKDAYS)}.{hint}")
    return tuple(sorted({WEEKDAYS.index(day) for day in value if isinstance(day, str) and day in WEEKDAYS}))
