"""What is a local delay? So many days by the visitor's calendar, to a time of day, on one of some weekdays.

A day here is the same time tomorrow: 23, 24 or 25 hours. Exactly 24 hours are a duration, `24h`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from backend.domain.calendar.quiet import EVERY_DAY
from backend.domain.calendar.zone import instant, wall_of

LONGEST_DAYS = 3660
"""Ten years, as for durations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalDelay:
    """At least `days` calendar days on, at the time `at` (None: the time it is now), on one of `weekdays` (0: Monday).

    With 0 days it may be today, where that time is still to come, and even now.
    """

    days: int = 0
    weekdays: frozenset[int] = EVERY_DAY
    at: time | None = None


def local_until(delay: LocalDelay, moment: datetime, zone: tzinfo) -> datetime:
    """The first moment (UTC) that fits, `moment` itself or later; `weekdays` must not be empty.

    A time that the clock skips becomes the first moment after the gap; of one that comes twice, the first counts.
    """
    now = moment.astimezone(UTC)
    wall = wall_of(now, zone)
    if delay.days == 0 and delay.at is None and wall.weekday() in delay.weekdays:
        return now
    clock = wall.time() if delay.at is None else delay.at
    day = wall.date() + timedelta(days=delay.days)
    while True:
        if day.weekday() in delay.weekdays:
            until = instant(datetime.combine(day, clock), zone)
            # A whole day can be skipped; what comes after it may be a weekday that was not asked for.
            if until >= now and wall_of(until, zone).weekday() in delay.weekdays:
                return until
        day += timedelta(days=1)
