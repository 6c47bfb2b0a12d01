"""The step `survey`: how a site is doing today, in a handful of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT
from backend.domain.calendar import day_begins, day_of, zone_of
from backend.domain.passage import Step
from backend.domain.site import Site
from backend.pipeline.trace import trace
from backend.pipeline.watch import count_here
from backend.runtime import Runtime
from backend.storage import conversations, tallies

DAYS = 7

CONTROLS = (HELD_OUT, GLOBALLY_HELD_OUT)

COUNTED = ("sent", "delivered", "shown", "clicked", "converted", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The site today: who is here, the funnel since midnight there, and the last seven days.

    `channels` are numbers of messages by channel, `days` those of all channels by day, oldest first. `open`, `waiting`
    and `unassigned` are conversations now; `response` is the median time to the first answer, of `answered` of them.
    """

    here: int
    persons: int
    funnel: Sequence[Step]
    channels: Mapping[str, Mapping[str, int]]
    days: Sequence[tuple[date, Mapping[str, int]]]
    revenue: int
    open: int
    waiting: int
    unassigned: int
    answered: int
    response: timedelta | None


def survey(rt: Runtime, site: Site) -> Survey:
    """The numbers of this moment; money in millionths of the site's currency."""
    now = rt.clock()
    zone = zone_of(site.timezone)
    today = day_of(now, zone)
    first = today - timedelta(days=DAYS - 1)
    traced = trace(rt, site, day_begins(today, zone), now, None)
    with rt.db.read() as connection:
        found = tallies.of_site(connection, site.id, None, first, today)
        numbers = conversations.numbers(connection, site.id)
        waits = conversations.first_waits(connection, site.id, now - timedelta(days=DAYS))
    channels: dict[str, dict[str, int]] = {}
    days: dict[date, dict[str, int]] = {first + timedelta(days=n): dict.fromkeys(COUNTED, 0) for n in range(DAYS)}
    for each in found:
        if each.channel and each.metric in COUNTED and each.variant not in CONTROLS:
            own = channels.setdefault(each.channel, dict.fromkeys(COUNTED, 0))
            own[each.metric] += each.number
            days[each.day][each.metric] += each.number
    return Survey(
        here=count_here(rt, site),
        persons=traced.whole.persons,
        funnel=traced.whole.steps(),
        channels=channels,
        days=sorted(days.items()),
        revenue=sum(each.number for each in found if each.metric == "revenue" and each.channel),
        open=sum(count for count, _ in numbers.values()),
        waiting=sum(waiting for _, waiting in numbers.values()),
        unassigned=sum(count for (assignee, _), (count, _) in numbers.items() if assignee is None),
        answered=len(waits),
        response=_median(waits),
    )


def _median(spans: Sequence[tuple[datetime, datetime]]) -> timedelta | None:
    if not spans:
        return None
    return timedelta(seconds=median((answered - asked).total_seconds() for asked, answered in spans))
