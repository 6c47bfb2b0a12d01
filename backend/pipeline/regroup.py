"""The step `regroup`: segments that are new or were changed are asked of everybody, a piece at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backend.domain.engine import Advance, PastNeeded, Ruleset, rebuild
from backend.domain.event import Event
from backend.domain.identity import derive
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.storage import events, segments, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import SEGMENTS, Sweep

log = structlog.get_logger(__name__)

SETTLE = timedelta(seconds=2)
"""So long a sweep waits, until whoever processes events knows the new definition too."""

AT_ONCE = 500
"""Visitors that are asked in one transaction."""

CLEARED_AT_ONCE = 5_000
"""Rows of members of a segment that was taken away, removed in one turn."""


def begin(connection: Connection, ruleset: Ruleset, now: datetime) -> Sweep | None:
    """Writes down the sweep that a site's newest definition needs, unless that was done before."""
    if ruleset.segments is None or not ruleset.segments.revision:
        return None
    site_id, revision = ruleset.site.id, str(ruleset.segments.revision)
    sweep = Sweep(
        id=derive(SEGMENTS, site_id, revision),
        site_id=site_id,
        rule_id=revision,
        kind=SEGMENTS,
        due_at=now,
        next_at=now + SETTLE,
    )
    if sweeps.add(connection, sweep):
        sweeps.supersede(connection, sweep)
        log.info("sweep_begins", kind=sweep.kind, site=site_id)
    return sweep


def regroup(connection: Connection, sweep: Sweep, ruleset: Ruleset, now: datetime) -> Sweep:
    """Asks the next visitors; those whom events have brought before it since then need not be asked again."""
    ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, AT_ONCE)
    found = visitors.load(connection, ids, lock=True)
    results = _rebuilt(connection, ruleset, [each.profile for each in found.values()], now)
    changed = {each: result.profile for each, result in results.items() if result.woken}
    visitors.save(connection, [], [replace(found[each], profile=profile) for each, profile in changed.items()])
    segments.save_members(connection, [(found[each].profile, profile) for each, profile in changed.items()])
    return sweep.behind(ids, AT_ONCE, now, done=len(changed))


def clear(connection: Connection) -> int:
    """Removes rows of members of segments that were taken away; returns how many."""
    return sum(segments.clear_members(connection, each, CLEARED_AT_ONCE) for each in segments.gone(connection))


def _rebuilt(
    connection: Connection, ruleset: Ruleset, profiles: Iterable[Profile], now: datetime
) -> dict[str, Advance]:
    """How each of those who are to be asked stands now."""
    revision = ruleset.segments.revision if ruleset.segments is not None else 0
    todo = {each.id: each for each in profiles if each.segments_built < revision}
    return asked(connection, todo, lambda profile, past: rebuild(ruleset, profile, past, now))


def asked(
    connection: Connection, todo: Mapping[str, Profile], ask: Callable[[Profile, Past], Advance]
) -> dict[str, Advance]:
    """What `ask` answers of each, by id; histories are fetched for all who need them at once."""
    results: dict[str, Advance] = {}
    names: dict[str, set[str]] = {}
    pasts: dict[str, Past] = {}
    while todo:
        again: dict[str, Profile] = {}
        for visitor_id, profile in todo.items():
            try:
                results[visitor_id] = ask(profile, pasts.get(visitor_id, Past({})))
            except PastNeeded as needed:
                again[visitor_id] = profile
                names.setdefault(visitor_id, set()).update(needed.names)
        owner = {member: each for each, profile in again.items() for member in visitors.members_of(profile)}
        groups: dict[str, list[Event]] = {each: [] for each in again}
        wanted = set[str]().union(*(names[each] for each in again))
        for visitor_id, event in events.history(connection, owner, wanted) if again else ():
            groups[owner[visitor_id]].append(event)
        pasts |= {each: Past(by_name(group, names[each])) for each, group in groups.items()}
        todo = again
    return results
