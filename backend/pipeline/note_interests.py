"""The step `note_interests`: who looked at, added or bought which product is written down, where rules ask for it.

Where no rule does, nothing is. A site whose first such rule goes live is gone through once, a piece at a time, so that
those are known too who looked before.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from backend.domain.engine import Ruleset
from backend.domain.event import Event
from backend.domain.identity import derive
from backend.domain.shopping import INTERESTS, described
from backend.pipeline.batch import RulesetOf
from backend.storage import events, interests, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import Sweep

log = structlog.get_logger(__name__)

SETTLE = timedelta(seconds=2)
"""So long a sweep waits, until whoever processes events knows the new rule too."""

AT_ONCE = 200
"""Visitors whose history is read in one transaction."""

CLEARED_AT_ONCE = 5_000

Shopping = tuple[str, str, Event]
"""(visitor id, site id, event)."""


def note_interests(
    connection: Connection, ruleset_of: RulesetOf, sites: Collection[str], shopping: Sequence[Shopping]
) -> None:
    """Writes down what these events of these sites tell of interests, for those whose rules ask for it."""
    asking = {site_id for site_id in sites if (ruleset := ruleset_of(site_id)) is not None and ruleset.notes_interests}
    if asking:
        _write(connection, [each for each in shopping if each[1] in asking])


def _write(connection: Connection, shopping: Iterable[Shopping]) -> None:
    latest: dict[tuple[str, str, str, str], datetime] = {}
    for visitor_id, site_id, event in shopping:
        kind = INTERESTS.get(event.name)
        if kind is not None:
            for each in described(event):
                key = (visitor_id, each.product_id, kind, site_id)
                latest[key] = max(latest.get(key, event.timestamp), event.timestamp)
    interests.note(connection, [(*key, at) for key, at in latest.items()])


def begin(connection: Connection, ruleset: Ruleset, now: datetime) -> None:
    """Writes down that a site's interests are noted from now on, and the sweep that finds the earlier ones."""
    site_id = ruleset.site.id
    if interests.noting_since(connection, site_id) is not None:
        return
    interests.note_from(connection, site_id, now)
    begun = derive(sweeps.INTERESTS, site_id, now.isoformat())
    sweep = Sweep(id=begun, site_id=site_id, rule_id="", kind=sweeps.INTERESTS, due_at=now, next_at=now + SETTLE)
    if sweeps.add(connection, sweep):
        sweeps.supersede(connection, sweep)
        log.info("sweep_begins", kind=sweep.kind, site=site_id)


def backfill(connection: Connection, sweep: Sweep, now: datetime) -> Sweep:
    """Notes what the next visitors were interested in so far."""
    ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, AT_ONCE)
    owner = {
        member: each
        for each, stored in visitors.load(connection, ids).items()
        for member in visitors.members_of(stored.profile)
    }
    since = now - interests.KEPT
    asked = [(member, name, since) for member in owner for name in INTERESTS]
    found = events.history_since(connection, asked) if asked else ()
    _write(connection, ((owner[member], sweep.site_id, event) for member, event in found))
    return sweep.behind(ids, AT_ONCE, now, done=len(ids))


def renote(connection: Connection, site_id: str, groups: Iterable[Sequence[str]], now: datetime) -> None:
    """Writes anew what these are interested in who were one person; each group's first is whose the others are."""
    if interests.noting_since(connection, site_id) is None:
        return
    owner = {member: group[0] for group in groups for member in group}
    interests.forget_visitors(connection, owner)
    asked = [(member, name, now - interests.KEPT) for member in owner for name in INTERESTS]
    _write(connection, ((owner[each], site_id, event) for each, event in events.history_since(connection, asked)))


def end(connection: Connection, asking: Iterable[str]) -> None:
    """Ends noting for the sites that are not `asking` any more, and forgets a piece of what was noted of them."""
    for site_id in set(interests.noting(connection)) - set(asking):
        if interests.clear(connection, site_id, CLEARED_AT_ONCE) < CLEARED_AT_ONCE:
            interests.note_from(connection, site_id, None)
