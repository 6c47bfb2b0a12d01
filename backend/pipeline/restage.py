"""The step `restage`: a site's funnel is another: which stages everybody was in follows anew from their events.

Everybody's stored events are gone through by the engine that runs live, a few visitors at a time and before anything is
locked; whoever did something meanwhile is gone through again under the lock. No rule starts by that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

import structlog

from backend.domain.engine import PastNeeded, Ruleset, Staged, advance, restaged
from backend.domain.event import Event
from backend.domain.funnel import KEY, Funnel, by_id, read_stages, segments_of
from backend.domain.identity import derive
from backend.domain.mistakes import Mistakes, quoted
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.segment import asking_back
from backend.domain.site import Site
from backend.errors import Conflict
from backend.pipeline.history import EVENTS_AT_ONCE, Life, LongPast, Reader
from backend.runtime import Runtime
from backend.schemas.documents import ProfileHead
from backend.storage import histories, rules, segments, stage_entries, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import Sweep
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)

SETTLE = timedelta(seconds=2)
"""So long a sweep waits, until whoever processes events knows the new definition too."""

GROUPS = 10
"""Transactions of one turn, of some thousand events each, so that others get theirs."""

AHEAD = timedelta(days=1)
"""Events from after the beginning of the turn are read too."""


def redefine(connection: Connection, site: Site, doc: object, now: datetime) -> Funnel:
    """The funnel that these stages make, and everybody is to be gone through for it unless it is the present one.

    Raises RuleErrors for mistakes below `stages`, Conflict where a rule starts at a stage that would be gone.
    """
    known = segments.known(connection, site.id, lock=True)
    mistakes = Mistakes(known)
    stages = read_stages(doc, ("stages",), mistakes)
    mistakes.raise_if_any()
    asked = asking_back(segments_of(stages), segments.load_segments(connection, site.id).get(site.id, []))
    if asked is not None:
        name = quoted(asked.spec.name)
        mistakes.add(("stages",), f"A stage cannot ask for the stage, as it would by way of the segment {name}.")
        mistakes.raise_if_any()
    ids = {name: segment_id for segment_id, name in known.items()}
    document = tuple(by_id(doc, {**ids, **{each: each for each in known}}))
    if document == tuple(site.funnel.document):
        return site.funnel
    funnel = Funnel(stages=stages, document=document, revision=site.funnel.revision + 1)
    _refuse_lost(connection, site, funnel)
    sweep = Sweep(
        id=derive(sweeps.STAGES, site.id, str(funnel.revision)),
        site_id=site.id,
        rule_id=str(funnel.revision),
        kind=sweeps.STAGES,
        due_at=now,
        next_at=now + SETTLE,
    )
    sweeps.add(connection, sweep)
    sweeps.supersede(connection, sweep)
    return funnel


def _refuse_lost(connection: Connection, site: Site, funnel: Funnel) -> None:
    lost = set(site.funnel.names) - set(funnel.names)
    users = [
        f'the rule "{rule.document["name"]}"'
        for rule in (rules.list_rules(connection, site.id, limit=100_000) if lost else ())
        if rule.status != "archived" and rule.document["trigger"].get("stage") in lost
    ]
    if users:
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        verb = "starts" if len(users) == 1 else "start"
        raise Conflict(f"A stage cannot be taken away: {', '.join(users[:5])}{more} {verb} at it.", {"stages": users})


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a visitor's events: how they stand at the end, every entry into a stage, and how many events."""

    profile: Profile
    staged: Sequence[Staged]
    events: int
    past: Past | None


class Restager:
    """One turn of a sweep."""

    def __init__(self, rt: Runtime, ruleset: Ruleset, now: datetime, at_once: int = EVENTS_AT_ONCE) -> None:
        self.rt = rt
        self.ruleset = ruleset
        self.now = now
        bare = ruleset.segments.only(()) if ruleset.segments is not None else None
        self.bare = Ruleset.of(ruleset.site, (), segments=bare)
        self.reader = Reader(rt, ruleset.site, now + AHEAD, lambda _: False, at_once)

    def run(self, sweep: Sweep) -> None:
        """Goes on with the sweep for some groups of visitors."""
        if int(sweep.rule_id) != self.ruleset.site.funnel.revision:
            return  # superseded, or newer than is known here
        # Ids are of one length: the least that comes after the cursor is the cursor with something behind it.
        start = f"{sweep.cursor}0" if sweep.cursor else ""
        through = True
        for group in islice(self.reader.lives(start, lambda _: True, empty=True), GROUPS):
            replays = [(life.head, self.replay(life)) for life in group]
            with self.rt.db.begin() as connection:
                self._write(connection, replays)
                after = replace(sweep, cursor=group[-1].head.id, done=sweep.done + len(group))
                if not sweeps.move(connection, sweep, after):
                    return  # somebody else goes on with it
            sweep, through = after, False
        if through:
            with self.rt.db.begin() as connection:
                sweeps.move(connection, sweep, replace(sweep, ended_at=self.now))
            log.info("restaged", site=sweep.site_id, visitors=sweep.done)

    def replay(self, life: Life) -> Replay:
        """A visitor's events, gone through from the beginning."""
        head = life.head
        profile = Profile(id=head.id, site_id=self.ruleset.site.id, person=head.person)
        if life.events is not None:
            past = Past(by_name(life.events), complete=True)
            result = advance(self.bare, profile, (), life.events, past, until=self.now, now=None)
            return Replay(result.profile, result.staged, len(life.events), past)
        return self._in_pieces(head, profile)

    def _in_pieces(self, head: ProfileHead, profile: Profile) -> Replay:
        """A long life, with no more of it in memory than a piece and what conditions ask of its past."""
        past, staged, count = LongPast(self.reader, head, {}), list[Staged](), 0
        for piece in self.reader.parts(head):
            past.go_on(piece)
            profile = self._piece(past, profile, piece, piece[-1].timestamp, staged)
            count += len(piece)
        if past.begun:
            profile = self._piece(past, profile, (), self.now, staged)
        return Replay(profile, staged, count, None)

    def _piece(
        self, past: LongPast, profile: Profile, piece: Sequence[Event], until: datetime, staged: list[Staged]
    ) -> Profile:
        while True:
            try:
                result = advance(self.bare, profile, (), piece, past.past(), until=until, now=None)
            except PastNeeded as needed:
                past.want(needed.since)
            else:
                staged.extend(result.staged)
                return result.profile

    def _write(self, connection: Connection, replays: Sequence[tuple[ProfileHead, Replay]]) -> None:
        found = visitors.load(connection, [head.id for head, _ in replays], lock=True)
        there = {
            key: each
            for key, each in found.items()
            if each.merged_into is None and each.profile.site_id == self.ruleset.site.id
        }
        present = dict(self._present(connection, replays, there))
        changed: list[tuple[Stored, Profile]] = []
        told: list[tuple[str, Sequence[Staged]]] = []
        for visitor_id, replay in present.items():
            stored = there[visitor_id]
            profile, newest = self._restaged(stored.profile, replay)
            changed.append((stored, profile))
            told.append((visitor_id, [*replay.staged, *newest]))
        visitors.save(connection, [], [replace(stored, profile=profile) for stored, profile in changed])
        segments.save_members(connection, [(stored.profile, profile) for stored, profile in changed])
        stage_entries.forget(connection, [each for own, _ in changed for each in visitors.members_of(own.profile)])
        rows = stage_entries.rows_of(self.ruleset.site.id, self.ruleset.site.funnel.revision, told)
        stage_entries.insert(connection, rows)

    def _present(
        self, connection: Connection, replays: Sequence[tuple[ProfileHead, Replay]], there: dict[str, Stored]
    ) -> Iterator[tuple[str, Replay]]:
        """Each visitor's replay, made anew for whoever did something since it was made: now they are locked."""
        members = [each for stored in there.values() for each in visitors.members_of(stored.profile)]
        lengths = histories.lengths(connection, members, self.reader.until)
        for head, replay in replays:
            stored = there.get(head.id)
            if stored is None:
                continue  # erased, or merged into somebody
            profile = stored.profile
            total = sum(lengths.get(each, 0) for each in visitors.members_of(profile))
            if total == replay.events and profile.members == head.members:
                yield head.id, replay
                continue
            now = ProfileHead(id=profile.id, person=profile.person, members=profile.members)
            for group in self.reader.of([now], lambda _: True, empty=True):
                yield head.id, self.replay(group[0])

    def _restaged(self, profile: Profile, replay: Replay) -> tuple[Profile, Sequence[Staged]]:
        """The profile as it is by the new funnel, and what it has entered by that beside what the events tell."""
        standings = {key: each for key, each in profile.segments.items() if not key.startswith(KEY)}
        own = {key: each for key, each in replay.profile.segments.items() if key.startswith(KEY)}
        fresh = replace(
            profile,
            stage=replay.profile.stage,
            stage_history=replay.profile.stage_history,
            stages_built=self.ruleset.site.funnel.revision,
            segments=standings | own,
        )
        head = ProfileHead(id=profile.id, person=profile.person, members=profile.members)
        past = replay.past if replay.past is not None else Past({})
        since: dict[str, datetime | None] = {}
        while True:
            try:
                result = restaged(self.ruleset, fresh, past, self.now)
                return result.profile, result.staged
            except PastNeeded as needed:
                since |= needed.since
                past = Past(self.reader.past(head, since, self.reader.until), since=since)
