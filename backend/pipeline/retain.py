"""The step `retain`: events that a site no longer wants to keep are removed, a piece at a time; profiles stay.

What is removed is not let in again (see `admit`), so that a sender's late retry counts no second time. Segments and
stages that look at it are asked anew in the same transaction, so that their members are those whom a count finds. Of
whom something was removed is noted: what they told may stand in what was said to whoever was one person with them.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import structlog

from backend.domain.engine import Ruleset, without_history
from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.pipeline import persons as people
from backend.pipeline.regroup import asked
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage import dead, events, segments, sites, stage_entries, sweeps, thinned, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import RETENTION, Sweep
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)

VISITORS_AT_ONCE = 500
EVENTS_AT_ONCE = 2_000
PIECES = 20
"""Pieces of one site in one turn, so that nobody who writes waits long."""

STANDING = ("segments", "stage", "stage_history", "wake_at")
"""The parts of a profile that may be others when it is asked anew."""

MARGIN = timedelta(hours=1)
"""So much longer an event stays than it is let in: clocks differ, and a retry must find it or be too late."""


class Retainer:
    """Goes on with each site's round of the day."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._rulesets = Rulesets(rt)

    def run(self) -> int:
        """One turn; returns how many events were removed."""
        now = self.rt.clock()
        with self.rt.db.read() as connection:
            found = sites.all_sites(connection, self.rt.sites.vault)
        keeping = {site.id: site for site in found if site.policy.retention}
        if not keeping:
            return 0
        with self.rt.db.begin() as connection:
            for site in keeping.values():
                _begin(connection, site, now)
            due = sweeps.due(connection, now, kind=RETENTION)
            if due:
                self._rulesets.refresh(connection)
        removed = 0
        for sweep in due:
            retention = keeping[sweep.site_id].policy.retention if sweep.site_id in keeping else {}
            removed += self._go_on(sweep, retention, now)
        if removed:
            log.info("events_removed", count=removed)
        return removed

    def _go_on(self, sweep: Sweep, retention: Mapping[str, timedelta], now: datetime) -> int:
        removed = 0
        before = {name: now - kept - MARGIN for name, kept in retention.items()}
        for _ in range(PIECES):
            with self.rt.db.begin() as connection:
                ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, VISITORS_AT_ONCE, merged=True)
                number = self._remove(connection, sweep.site_id, ids, before, now) if before and ids else 0
                removed += number
                if number == EVENTS_AT_ONCE:
                    continue  # the same visitors have more
                after = sweep.behind(ids, VISITORS_AT_ONCE, now, done=len(ids))
                if not sweeps.move(connection, sweep, after) or after.ended_at is not None:
                    break
            sweep = after
        return removed

    def _remove(
        self, connection: Connection, site_id: str, ids: Collection[str], before: Mapping[str, datetime], now: datetime
    ) -> int:
        """Removes some of what these did, and asks those anew whose segments and stages look at it."""
        old = events.find_old(connection, ids, before, EVENTS_AT_ONCE)
        ruleset = self._rulesets.of(site_id) if old else None
        names: dict[str, set[str]] = {}
        if ruleset is not None and ruleset.segments is not None:
            for visitor_id, _, name in old:
                names.setdefault(visitor_id, set()).add(name)
            names = {each: told for each, told in names.items() if ruleset.segments.looking_at(told)}
        # Before the events: whoever processes some locks people first, too.
        persons = people.load(connection, names)
        events.remove(connection, [(visitor_id, message_id) for visitor_id, message_id, _ in old])
        profiles = {each: persons.profiles[each] for each in map(persons.of, names) if each in persons.profiles}
        if ruleset is not None and profiles:
            _ask_anew(connection, ruleset, profiles, names, now)
        thinned.note(connection, site_id, {visitor_id for visitor_id, _, _ in old}, now)
        return len(old)


def _ask_anew(
    connection: Connection,
    ruleset: Ruleset,
    profiles: Mapping[str, Profile],
    names: Mapping[str, set[str]],
    now: datetime,
) -> None:
    """Lets memberships be what those events tell that are still there; nobody is addressed by that."""
    results = asked(
        connection,
        profiles,
        lambda profile, past: without_history(
            ruleset,
            profile,
            set[str]().union(*(names.get(each, ()) for each in visitors.members_of(profile))),
            past,
            now,
        ),
    )
    changed = [
        (profiles[key], result.profile)
        for key, result in results.items()
        if any(getattr(result.profile, part) != getattr(profiles[key], part) for part in STANDING)
    ]
    visitors.save(connection, [], [Stored(profile, None) for _, profile in changed])
    segments.save_members(connection, changed)
    staged = [(key, result.staged) for key, result in results.items() if result.staged]
    stage_entries.insert(connection, stage_entries.rows_of(ruleset.site.id, ruleset.site.funnel.revision, staged))


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
