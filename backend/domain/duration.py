"""What is a duration? A span of time as people write it in rules: `30s`, `15m`, `2h`, `7d`."""

import re
from datetime import timedelta

LONGEST = timedelta(days=3660)
"""Ten years; anything longer is a slip of the finger, and would leave the calendar when subtracted from a date."""

_WRITTEN = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> timedelta:
    """Read `30s 15m 2h 7d` as a timedelta; anything else is a ValueError whose text is a sentence."""
    found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("Not a duration. Write it like 30s, 15m, 2h or 7d.")
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"Too long: a duration is at most {format_duration(LONGEST)}.")
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """Write a timedelta of whole seconds in the largest unit that divides it: `90m`, `1h`, `0s`."""
    seconds = int(span.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"
