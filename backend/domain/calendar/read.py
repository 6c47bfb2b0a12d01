"""How are quiet hours, send windows, local delays and zones written? From JSON, each mistake with path and sentence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from difflib import get_close_matches
from typing import Any, TypeAlias

from backend.domain.calendar.delay import LONGEST_DAYS, LocalDelay
from backend.domain.calendar.quiet import (
    EVERY_DAY,
    FIRST_YEAR,
    LAST_YEAR,
    WHOLE_DAY,
    QuietHours,
    SendWindow,
    Then,
    never_open,
)
from backend.domain.calendar.zone import known_zones
from backend.domain.message import CHANNELS
from backend.domain.mistakes import Mistakes, nearest, quoted

Path: TypeAlias = tuple[str | int, ...]
Document: TypeAlias = Mapping[Any, Any]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
THENS: tuple[Then, ...] = ("next_available", "abort")
MOST_WINDOWS = 50
MOST_HOLIDAYS = 400

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DATE = re.compile(r"(?:(\d{4})-)?(\d{2})-(\d{2})", re.ASCII)
_LEAP_YEAR = 2000


@dataclass(slots=True)
class _Holidays:
    once: set[date] = field(default_factory=set)
    yearly: set[tuple[int, int]] = field(default_factory=set)


def read_quiet_hours(value: object, path: Path, mistakes: Mistakes) -> QuietHours | None:
    """Quiet hours as `{"from": "21:00", "to": "09:00", …}`; None where that noted a mistake.

    `from` and `to` may be missing: then the `weekdays` are quiet all day; without these, only the `holidays`.
    """
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"from": "21:00", "to": "09:00"}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("from", "to", "weekdays", "holidays", "channels", "then"), path)
    given = {key: each for key, each in value.items() if each is not None}
    begins, ends = _read_hours(given, path, mistakes)
    weekdays = _read_weekdays(given["weekdays"], (*path, "weekdays"), mistakes) if "weekdays" in given else EVERY_DAY
    holidays = _read_holidays(given.get("holidays", []), (*path, "holidays"), mistakes)
    channels = _read_channels(given["channels"], (*path, "channels"), mistakes) if "channels" in given else frozenset()
    then = given.get("then", "next_available")
    if then not in THENS:
        wrong = f"Expected next_available or abort, not {quoted(then)}.{nearest(then, THENS)}"
        mistakes.add((*path, "then"), wrong)
    if not given.keys() & {"from", "to", "weekdays"}:
        weekdays = frozenset()
        if not given.get("holidays"):
            mistakes.add(path, "Say when it is quiet: from and to, weekdays, or holidays.")
    if mistakes.total != noted:
        return None
    quiet = QuietHours(
        begins=begins,
        ends=ends,
        weekdays=weekdays,
        holidays=frozenset(holidays.once),
        yearly=frozenset(holidays.yearly),
        channels=channels,
        then=then,
    )
    if never_open(quiet):
        mistakes.add(path, "These quiet hours never end: nothing could be sent for more than a year.")
        return None
    return quiet


def read_send_windows(value: object, path: Path, mistakes: Mistakes) -> tuple[SendWindow, ...] | None:
    """Send windows as `[{"from": "09:00", "to": "18:00", "weekdays": ["mon"]}]`; None where that noted a mistake.

    Without `from` and `to` a window is open all day on its `weekdays`.
    """
    if not isinstance(value, list) or not value:
        mistakes.add(path, 'Expected a list such as [{"from": "09:00", "to": "18:00"}]; without any, nothing is sent.')
        return None
    if len(value) > MOST_WINDOWS:
        mistakes.add(path, f"There are at most {MOST_WINDOWS} send windows.")
        return None
    noted = mistakes.total
    windows = tuple(_read_window(each, (*path, position), mistakes) for position, each in enumerate(value))
    return windows if mistakes.total == noted else None


def read_local_delay(value: object, path: Path, mistakes: Mistakes) -> LocalDelay | None:
    """A delay by the calendar as `{"days": 1, "at": "10:00", "weekdays": ["mon"]}`; None where that noted a mistake."""
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"days": 1, "at": "10:00"}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("days", "at", "weekdays"), path)
    days, at, told = (value.get(name) for name in ("days", "at", "weekdays"))
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or not 0 <= days <= LONGEST_DAYS):
        mistakes.add((*path, "days"), f"Expected whole days from 0 to {LONGEST_DAYS}.")
    clock = None if at is None else read_clock(at, (*path, "at"), mistakes)
    weekdays = EVERY_DAY if told is None else _read_weekdays(told, (*path, "weekdays"), mistakes)
    if not days and at is None and told is None and mistakes.total == noted:
        mistakes.add(path, "This does not wait. Give days (1 or more), at, or weekdays.")
    return LocalDelay(days=days or 0, at=clock, weekdays=weekdays) if mistakes.total == noted else None


def read_zone_name(value: object, path: Path, mistakes: Mistakes) -> str | None:
    """The IANA name of a time zone that exists; None where that noted a mistake."""
    if isinstance(value, str) and value in known_zones():
        return value
    if not isinstance(value, str):
        mistakes.add(path, "Expected the IANA name of a time zone, such as Europe/Vienna.")
    else:
        mistakes.add(path, f"There is no time zone {quoted(value)}.{_nearest_zone(value)}")
    return None


def read_clock(value: object, path: Path, mistakes: Mistakes) -> time | None:
    """A time of day as `09:30`; None where that noted a mistake."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        mistakes.add(path, "Expected a time of day, such as 09:30.")
        return None
    return time(int(found[1]), int(found[2]))


def read_holidays(value: object, path: Path, mistakes: Mistakes) -> tuple[frozenset[date], frozenset[tuple[int, int]]]:
    """Dates as `["2026-04-06", "12-25"]`: those of one year, and (month, day) of those of every year."""
    found = _read_holidays(value, path, mistakes)
    return frozenset(found.once), frozenset(found.yearly)


def read_day(value: object, path: Path, mistakes: Mistakes) -> date | None:
    """One date with its year, as `2026-04-06`; None where that noted a mistake."""
    found, noted = _Holidays(), mistakes.total
    _read_holiday(value, found, path, mistakes)
    if not found.once and mistakes.total == noted:
        mistakes.add(path, "Expected a date with its year, such as 2026-04-06.")
    return next(iter(found.once), None)


def _nearest_zone(name: str) -> str:
    """` Did you mean "Europe/Berlin"?`, also for its last part alone, in whatever case; nothing where none is near."""
    zones = sorted(known_zones())
    known = {zone.rpartition("/")[2].lower(): zone for zone in zones} | {zone.lower(): zone for zone in zones}
    written = name[:100].strip().lower().replace(" ", "_")
    # Who writes UTC+3 means no zone of a like name: Etc/GMT+3 is three hours behind, not ahead.
    close = [] if any(map(str.isdigit, written)) else get_close_matches(written, known, n=1, cutoff=0.7)
    return f' Did you mean "{known[close[0]]}"?' if close else " Write its IANA name, such as Europe/Vienna."


def _read_window(value: object, path: Path, mistakes: Mistakes) -> SendWindow:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"from": "09:00", "to": "18:00", "weekdays": ["mon"]}.')
        return SendWindow()
    mistakes.known_keys(value, ("from", "to", "weekdays"), path)
    given = {key: each for key, each in value.items() if each is not None}
    if not given.keys() & {"from", "to", "weekdays"}:
        mistakes.add(path, "Say when it is open: from and to, or weekdays.")
    begins, ends = _read_hours(given, path, mistakes)
    weekdays = _read_weekdays(given["weekdays"], (*path, "weekdays"), mistakes) if "weekdays" in given else EVERY_DAY
    return SendWindow(begins=begins, ends=ends, weekdays=weekdays)


def _read_hours(given: Document, path: Path, mistakes: Mistakes) -> tuple[int, int]:
    """Minutes after midnight of `from` and `to`; the whole day where neither is given."""
    if "from" not in given and "to" not in given:
        return 0, WHOLE_DAY
    for name, other in (("from", "to"), ("to", "from")):
        if name not in given:
            mistakes.add((*path, name), f"{other} needs {name} beside it, such as 09:00.")
            return 0, WHOLE_DAY
    noted = mistakes.total
    begins = _minutes(given["from"], (*path, "from"), mistakes)
    ends = WHOLE_DAY if given["to"] == "24:00" else _minutes(given["to"], (*path, "to"), mistakes)
    if begins == ends and mistakes.total == noted:
        mistakes.add((*path, "to"), "from and to are the same time. For the whole day, write 00:00 and 24:00.")
    return begins, ends


def _minutes(value: object, path: Path, mistakes: Mistakes) -> int:
    clock = read_clock(value, path, mistakes)
    return 0 if clock is None else clock.hour * 60 + clock.minute


def _read_weekdays(value: object, path: Path, mistakes: Mistakes) -> frozenset[int]:
    if not isinstance(value, list) or not 0 < len(value) <= len(WEEKDAYS):
        mistakes.add(path, f'Expected a list of weekdays, such as ["mon", "tue"]: {" ".join(WEEKDAYS)}.')
        return EVERY_DAY
    for position, each in enumerate(value):
        if each not in WEEKDAYS:
            wrong = f"Unknown weekday {quoted(each)}: {' '.join(WEEKDAYS)}.{nearest(each, WEEKDAYS)}"
            mistakes.add((*path, position), wrong)
    return frozenset(WEEKDAYS.index(each) for each in value if each in WEEKDAYS)


def _read_channels(value: object, path: Path, mistakes: Mistakes) -> frozenset[str]:
    if not isinstance(value, list) or not 0 < len(value) <= len(CHANNELS):
        mistakes.add(path, 'Expected a list of channels, such as ["email"].')
        return frozenset()
    for position, each in enumerate(value):
        if each not in CHANNELS:
            mistakes.add((*path, position), f"Unknown channel {quoted(each)}.{nearest(each, CHANNELS)}")
    return frozenset(each for each in value if isinstance(each, str))


def _read_holidays(value: object, path: Path, mistakes: Mistakes) -> _Holidays:
    found = _Holidays()
    if not isinstance(value, list):
        mistakes.add(path, 'Expected a list of dates, such as ["2026-04-06", "12-25"].')
    elif len(value) > MOST_HOLIDAYS:
        mistakes.add(path, f"There are at most {MOST_HOLIDAYS} holidays.")
    else:
        for position, each in enumerate(value):
            _read_holiday(each, found, (*path, position), mistakes)
    return found


def _read_holiday(value: object, found: _Holidays, path: Path, mistakes: Mistakes) -> None:
    written = _DATE.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        mistakes.add(path, "Expected a date, such as 2026-04-06, or 12-25 for every year.")
        return
    year, month, day = written.groups()
    if year is not None and not FIRST_YEAR <= int(year) <= LAST_YEAR:
        mistakes.add(path, f"A holiday lies between {FIRST_YEAR} and {LAST_YEAR}.")
        return
    try:
        told = date(_LEAP_YEAR if year is None else int(year), int(month), int(day))
    except ValueError:
        mistakes.add(path, f"There is no such day: {value}.")
        return
    if year is None:
        found.yearly.add((told.month, told.day))
    else:
        found.once.add(told)
