"""The step `measure`: for how many visitors does a condition hold now? Counted exactly, a piece at a time."""

from datetime import datetime
from functools import partial

from backend.domain.condition import Condition, HistoryNeeded, Moment, compile_condition, lookback, needed_history
from backend.domain.event import Event
from backend.domain.fact import Standards
from backend.domain.past import Past, Since, by_name
from backend.domain.profile import Profile
from backend.domain.segment import names_read, parts_read, stages_asked
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.schemas.documents import glimpse_reader
from backend.storage import events, intervals, visitors

AT_ONCE = 1_000
"""Visitors that are in memory at a time."""

_NOBODY = Profile(id="", site_id="")


def measure(rt: Runtime, site: Site, condition: Condition, now: datetime) -> tuple[int, int]:
    """(visitors for whom it holds at `now`, visitors of the site)."""
    test, spans = compile_condition(condition), lookback([condition])
    since = {name: now - spans[name] if name in spans else None for name in needed_history(condition)}
    read = glimpse_reader(parts_read(condition), names_read(condition))
    size = 0
    with rt.db.read() as connection:
        standards = Standards.of(site.policy, intervals.of_site(connection, site.id))
        asked = partial(Moment, at=now, zone_name=site.timezone, standards=standards)
        total = visitors.count(connection, site.id)
        for texts in visitors.texts(connection, site.id, stages_asked(condition), AT_ONCE):
            unsure: list[Profile] = []
            moment = asked(profile=_NOBODY)
            for (text,) in texts:
                moment.profile, moment.memo = read(text), None
                try:
                    size += test(moment)
                except HistoryNeeded:
                    unsure.append(moment.profile)
            for profile, past in zip(unsure, _pasts(rt, unsure, since), strict=True):
                size += test(asked(profile=profile, history=past))
    return size, total


def _pasts(rt: Runtime, profiles: list[Profile], since: Since) -> list[Past]:
    if not profiles:
        return []
    owner = {member: place for place, each in enumerate(profiles) for member in visitors.members_of(each)}
    groups: list[list[Event]] = [[] for _ in profiles]
    asked = [(member, *each) for member in owner for each in since.items()]
    with rt.db.read() as connection:  # one of its own: the other is still sending
        for visitor_id, event in events.history_since(connection, asked):
            groups[owner[visitor_id]].append(event)
    return [Past(by_name(group, since), complete=True, since=since) for group in groups]
