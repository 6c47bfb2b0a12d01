"""What time is it where the visitor is? Local days, quiet hours, delays and dates, exact where clocks change."""

from backend.domain.calendar.dates import day_begins, day_of, next_day, next_occurrence
from backend.domain.calendar.delay import LocalDelay, local_until
from backend.domain.calendar.quiet import QuietHours, SendWindow, never_open, open_from, quiet_until, windows_until
from backend.domain.calendar.read import (
    read_clock,
    read_day,
    read_holidays,
    read_local_delay,
    read_quiet_hours,
    read_send_windows,
    read_zone_name,
)
from backend.domain.calendar.zone import instant, known_zones, wall_of, written, zone_of

__all__ = [
    "LocalDelay",
    "QuietHours",
    "SendWindow",
    "day_begins",
    "day_of",
    "instant",
    "known_zones",
    "local_until",
    "never_open",
    "next_day",
    "next_occurrence",
    "open_from",
    "quiet_until",
    "read_clock",
    "read_day",
    "read_holidays",
    "read_local_delay",
    "read_quiet_hours",
    "read_send_windows",
    "read_zone_name",
    "wall_of",
    "windows_until",
    "written",
    "zone_of",
]
