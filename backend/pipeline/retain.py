"""The step `retain`: events that a site no longer wants to keep are removed, a piece at a time; profiles stay.

What is removed is not let in again (see `admit`), so that a sender's late retry counts no second time.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from backend.domain.identity import derive
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.storage import dead, events, sites, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import RETENTION, Sweep

log = structlog.get_logger(__name__)

VISITORS_AT_ONCE = 500
EVENTS_AT_ONCE = 2_000
PIECES = 20
"""Pieces of one site in one turn, so that nobody who writes waits long."""

MARGIN = timedelta(hours=1)
"""So much longer an event stays than it is let in: clocks differ, and a retry must find it or be too late."""


def retain(rt: Runtime) -> int:
    """One turn: begins each site's round of the day, and goes on with it; returns how many events were removed."""
    now = rt.clock()
    with rt.db.read() as connection:
        asked = {site.id: site for site in sites.all_sites(connection, rt.sites.vault) if site.policy.retention}
    if not asked:
        return 0
    with rt.db.begin() as connection:
        for site in asked.values():
            _begin(connection, site, now)
        found = sweeps.due(connection, now, kind=RETENTION)
    removed = 0
    for sweep in found:
        retention = asked[sweep.site_id].policy.retention if sweep.site_id in asked else {}
        removed += _go_on(rt, sweep, retention, now)
    if removed:
        log.info("events_removed", count=removed)
    return removed


def _begin(connection: Connection, site: Site, now: datetime) -> None:
    sweep = Sweep(
        id=derive(RETENTION, site.id, now.date().isoformat()),
        site_id=site.id,
        rule_id="",
        kind=RETENTION,
        due_at=now,
        next_at=now,
    )
    if sweeps.add(connection, sweep):
        sweeps.supersede(connection, sweep)
        longest = max(site.policy.retention.values())
        if "*" in site.policy.retention:
            dead.remove_before(connection, site.id, now - longest)


def _go_on(rt: Runtime, sweep: Sweep, retention: Mapping[str, timedelta], now: datetime) -> int:
    removed = 0
    before = {name: now - kept - MARGIN for name, kept in retention.items()}
    for _ in range(PIECES):
        with rt.db.begin() as connection:
            ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, VISITORS_AT_ONCE, merged=True)
            number = events.remove_old(connection, ids, before, EVENTS_AT_ONCE) if before and ids else 0
            removed += number
            if number == EVENTS_AT_ONCE:
                continue  # the same visitors have more
            after = sweep.behind(ids, VISITORS_AT_ONCE, now, done=len(ids))
            if not sweeps.move(connection, sweep, after) or after.ended_at is not None:
                break
        sweep = after
    return removed
