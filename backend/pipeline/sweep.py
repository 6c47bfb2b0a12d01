"""The step `sweep`: what concerns all visitors is taken to them a piece at a time: broadcasts, and rules that are new.

A broadcast puts a signal for each visitor of its audience into the log, at its rate; there it takes effect once,
however often a piece is repeated after a crash. A rule that waits for moments (a date, a pause) and is new is written
down with every visitor who has such a moment before them; so is everybody asked about segments that are new. Whoever is
in a rule that was edited is moved to its new version, if the edit said so. A funnel that was defined anew is gone
through by everybody's events.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from backend.domain.broadcast import round_of
from backend.domain.calendar import zone_of
from backend.domain.engine import Ruleset
from backend.domain.event import SIGNAL, Event
from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import BROADCAST
from backend.domain.rule.trigger import BroadcastTrigger
from backend.pipeline import note_interests, regroup
from backend.pipeline.move_enrolled import MOVE, move_some
from backend.pipeline.restage import Restager
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.storage import segments, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import Sweep

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Visitors that are looked at in one piece."""

PIECES = 20
"""Pieces of one sweep in one turn, so that others get theirs."""


class Sweeper:
    """Begins what is due and goes on with what was begun."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._rulesets = Rulesets(rt)
        self._begun: set[str] = set()

    def run(self) -> int:
        """One turn; returns how many visitors were addressed."""
        now = self.rt.clock()
        with self.rt.db.begin() as connection:
            self._rulesets.refresh(connection)
            asking: list[str] = []
            for site_id in self._rulesets.site_ids():
                ruleset = self._rulesets.of(site_id)
                if ruleset is not None and ruleset.notes_interests:
                    asking.append(site_id)
                    note_interests.begin(connection, ruleset, now)
                for rule in ruleset.by_id.values() if ruleset is not None else ():
                    self._begin(connection, ruleset, rule, now)
                if ruleset is not None and ruleset.segments is not None:
                    regroup.begin(connection, ruleset, now)
            regroup.clear(connection)
            note_interests.end(connection, asking)
            found = sweeps.due(connection, now)
        return sum(self._go_on(sweep, now) for sweep in found)

    def _begin(self, connection: Connection, ruleset: Ruleset | None, rule: CompiledRule, now: datetime) -> None:
        """Writes down the sweep that this rule needs now, unless that was done before."""
        if rule.rule.status != "active":
            return
        if rule.watch is not None:
            learned: tuple[str, ...] = ()
            if rule.watch.told is not None and ruleset is not None:  # it depends on what the site has learned, too
                learned = (repr(sorted(ruleset.standards.intervals.items())),)
            sweep = _sweep(rule, "wake", (str(rule.rule.version), *learned), now)
        elif isinstance(trigger := rule.rule.spec.trigger, BroadcastTrigger):
            zone = zone_of(ruleset.site.timezone if ruleset is not None else None)
            moment = round_of(trigger, now, zone)
            if moment is None:
                return
            sweep = _sweep(rule, "broadcast", (moment.isoformat() if trigger.at is not None else "at once",), moment)
        else:
            return
        if sweep.id not in self._begun and sweeps.add(connection, sweep):
            log.info("sweep_begins", kind=sweep.kind, rule=rule.id)
        self._begun.add(sweep.id)

    def _go_on(self, sweep: Sweep, now: datetime) -> int:
        ruleset = self._rulesets.of(sweep.site_id)
        if sweep.kind in (sweeps.SEGMENTS, sweeps.INTERESTS):
            return self._pieces(sweep, ruleset, now)
        if sweep.kind == sweeps.STAGES:
            return self._restage(sweep, ruleset, now)
        rule = ruleset.by_id.get(sweep.rule_id) if ruleset is not None else None
        if ruleset is None or rule is None or rule.rule.status == "archived":
            self._move(sweep, replace(sweep, ended_at=now))
            return 0
        if rule.rule.status != "active" and sweep.kind != MOVE:
            return 0  # paused: it goes on when the rule does
        begun = sweep.done
        for _ in range(PIECES):
            if sweep.kind == MOVE:
                after = self._move_on(sweep, rule, now)
            elif sweep.kind == "wake":
                after = self._wake(sweep, ruleset, now)
            else:
                after = self._broadcast(sweep, rule, now, ruleset)
            if not self._move(sweep, after):
                break  # somebody else goes on with it
            sweep = after
            if sweep.ended_at is not None or sweep.next_at > now:
                break
        return sweep.done - begun

    def _pieces(self, sweep: Sweep, ruleset: Ruleset | None, now: datetime) -> int:
        """Goes on a piece at a time, each in a transaction of its own; nobody is addressed by that."""
        for _ in range(PIECES):
            with self.rt.db.begin() as connection:
                after = _next_piece(connection, sweep, ruleset, now)
                if not sweeps.move(connection, sweep, after) or after.ended_at is not None:
                    break
            sweep = after
        return 0

    def _restage(self, sweep: Sweep, ruleset: Ruleset | None, now: datetime) -> int:
        """Finds out for further visitors which stages they were in; nobody is addressed by that."""
        if ruleset is None:
            self._move(sweep, replace(sweep, ended_at=now))
        else:
            Restager(self.rt, ruleset, now).run(sweep)
        return 0

    def _move(self, before: Sweep, after: Sweep) -> bool:
        with self.rt.db.begin() as connection:
            return sweeps.move(connection, before, after)

    def _broadcast(self, sweep: Sweep, rule: CompiledRule, now: datetime, ruleset: Ruleset) -> Sweep:
        """Addresses the next visitors, as many as the rate allows for a second."""
        trigger = rule.rule.spec.trigger
        assert isinstance(trigger, BroadcastTrigger)
        most = -(-trigger.rate // 60)
        if trigger.most is not None:
            most = min(most, trigger.most - sweep.done)
        with self.rt.db.read() as connection:
            if trigger.segment is not None:
                ids = segments.ids_after(connection, trigger.segment, sweep.cursor, AT_ONCE)
            else:
                ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, AT_ONCE)
            profiles = visitors.load(connection, ids)
        signal = Event(message_id="", name=BROADCAST, type=SIGNAL, timestamp=now, received_at=now)
        told: list[tuple[Profile, str, dict[str, str]]] = []
        cursor = sweep.cursor
        for visitor_id in ids:
            if len(told) >= most:
                break
            cursor = visitor_id
            stored = profiles.get(visitor_id)
            if stored is not None and ruleset.may_concern(stored.profile, signal, rule.audience):
                told.append((stored.profile, derive(sweep.id, visitor_id), {}))
        done = sweep.done + send_signals(self.rt, sweep.site_id, BROADCAST, rule.id, told)
        through = len(ids) < AT_ONCE and (not ids or cursor == ids[-1])
        full = trigger.most is not None and done >= trigger.most
        return replace(
            sweep,
            cursor=cursor,
            done=done,
            next_at=now + timedelta(seconds=1) if len(told) >= most else now,
            ended_at=now if through or full else None,
        )

    def _move_on(self, sweep: Sweep, rule: CompiledRule, now: datetime) -> Sweep:
        """Moves the next visitors who are in an earlier version; whoever does something meanwhile moves by that."""
        moved = move_some(self.rt, self._rulesets, rule.id, rule.rule.moved_to, AT_ONCE)
        return replace(sweep, done=sweep.done + moved.seen, ended_at=now if moved.last else None)

    def _wake(self, sweep: Sweep, ruleset: Ruleset, now: datetime) -> Sweep:
        """Notes for the next visitors when their next moment comes."""
        with self.rt.db.begin() as connection:
            ids = visitors.ids_after(connection, sweep.site_id, sweep.cursor, AT_ONCE)
            changed = []
            for stored in visitors.load(connection, ids, lock=True).values():
                wake_at = ruleset.wake_of(stored.profile)
                if wake_at != stored.profile.wake_at:
                    changed.append(replace(stored, profile=replace(stored.profile, wake_at=wake_at)))
            visitors.save(connection, [], changed)
        return sweep.behind(ids, AT_ONCE, now, done=len(changed))


def _next_piece(connection: Connection, sweep: Sweep, ruleset: Ruleset | None, now: datetime) -> Sweep:
    """Asks the next visitors about segments that are new, or finds out what they were interested in before."""
    if sweep.kind == sweeps.SEGMENTS and ruleset is not None and ruleset.segments is not None:
        return regroup.regroup(connection, sweep, ruleset, now)
    if sweep.kind == sweeps.INTERESTS and ruleset is not None and ruleset.notes_interests:
        return note_interests.backfill(connection, sweep, now)
    return replace(sweep, ended_at=now)  # nobody wants to know any more


def _sweep(rule: CompiledRule, kind: str, parts: tuple[str, ...], due_at: datetime) -> Sweep:
    return Sweep(
        id=derive(kind, rule.id, *parts),
        site_id=rule.rule.site_id,
        rule_id=rule.id,
        kind=kind,
        due_at=due_at,
        next_at=due_at,
    )
