"""The step `count`: what became of messages after the decision, counted in the transaction that changes their status.

`delivered`: handed over; `failed`: refused for good or given up; `withheld`: a gate closed before it left; `expired`:
nobody fetched it in time; `uncertain`: handed over, but the answer was lost.
"""

from collections import Counter
from collections.abc import Iterable

from backend.domain.calendar import day_of, zone_of
from backend.domain.enrolment import Enrolment
from backend.domain.message import Message
from backend.domain.tally import Deltas, Key, enrolment_deltas
from backend.storage import tallies
from backend.storage.database import Connection
from backend.storage.sites import SiteCache


def count_messages(
    connection: Connection, sites: SiteCache, ended: Iterable[Message], metric: str, by: int = 1
) -> None:
    """Counts that these messages have ended so, on the day of their making."""
    numbers: Counter[tuple[str, Key]] = Counter()
    for each in ended:
        if not each.rule_id:
            continue  # of no rule: nothing is compared
        site = sites.by_id(each.site_id)
        day = day_of(each.created_at, zone_of(site.timezone if site is not None else None))
        numbers[each.site_id, Key(each.rule_id, day, each.step, each.variant, each.channel, metric)] += by
    tallies.add(connection, numbers)


def count_enrolment(connection: Connection, sites: SiteCache, before: Enrolment, after: Enrolment) -> None:
    """Counts that an enrolment has ended otherwise than it was written down first."""
    site = sites.by_id(before.site_id)
    zone = zone_of(site.timezone if site is not None else None)
    add_deltas(connection, before.site_id, enrolment_deltas({before.id: before}, [after], zone))


def add_deltas(connection: Connection, site_id: str, *deltas: Deltas) -> None:
    """Adds changes of one site's numbers."""
    numbers: Counter[tuple[str, Key]] = Counter()
    for each in deltas:
        for key, number in each.items():
            numbers[site_id, key] += number
    tallies.add(connection, numbers)
