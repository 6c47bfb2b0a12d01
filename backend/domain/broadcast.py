"""When does a broadcast go out? In rounds, those of whole days by the calendar: a Monday at nine stays one."""

from datetime import datetime, timedelta, tzinfo

from backend.domain.calendar import instant, wall_of
from backend.domain.rule.trigger import BroadcastTrigger

LATE = timedelta(days=1)
"""A round that should have begun longer ago is left out: a newsletter of last month is none."""

_DAY = timedelta(days=1)


def round_of(trigger: BroadcastTrigger, now: datetime, zone: tzinfo) -> datetime | None:
    """The moment of the round that has begun last; `now` for one that is to go out at once, None before the first.

    `zone` is the site's: by its clock the rounds of whole days are at the same time.
    """
    if trigger.at is None:
        return now
    if trigger.at > now:
        return None
    if trigger.every is None:
        return trigger.at
    moment = _last(trigger.at, trigger.every, now, zone)
    return moment if now - moment <= LATE else None


def _last(first: datetime, every: timedelta, now: datetime, zone: tzinfo) -> datetime:
    if every % _DAY:
        return first + (now - first) // every * every
    wall = wall_of(first, zone)
    rounds = (wall_of(now, zone) - wall) // every
    if rounds > 0 and instant(wall + rounds * every, zone) > now:
        rounds -= 1  # it falls into a gap of the clock that is just over
    return instant(wall + rounds * every, zone) if rounds > 0 else first
