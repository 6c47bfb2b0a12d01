"""Moments that no event marks: those that rules wait for, and those at which time alone changes a membership."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.domain.condition import HistoryNeeded
from backend.domain.engine.membership import ENTERED, LEFT, STAGE, Change
from backend.domain.engine.result import PastNeeded
from backend.domain.event import NOTHING
from backend.domain.past import END_OF_MOMENT
from backend.domain.rule import CompiledRule
from backend.domain.rule.replenish import ORDERED, due_properties

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

MOST_WAKES = 1_000
"""Moments without an event that are noticed in one stretch; the rest come with the next."""


class Wakes:
    """Notices them within one walk, each in its turn between events and what waits."""

    def __init__(self, walk: "Walk") -> None:
        self.walk = walk

    def until(self, end: datetime, inclusive: bool) -> None:
        """Fires what waits, and between that notices the moments; at one moment memberships change before timers."""
        walk, profile = self.walk, self.walk.result.profile
        wakes = 0
        while True:
            found = walk.ruleset.next_wake(profile) if walk.ruleset.watches else None
            due = walk.membership.due if walk.membership is not None else None
            moment = min((each for each in (due, found[0] if found else None) if each is not None), default=None)
            if moment is None or moment > end or (moment == end and not inclusive) or wakes == MOST_WAKES:
                if not walk.fire_next(end, inclusive):
                    return
            elif walk.fire_next(moment, inclusive=moment != due):
                continue
            elif moment == due:
                wakes += 1
                self._turn(moment)
            else:
                assert found is not None
                wakes += 1
                profile.__dict__["woken_at"] = moment
                walk.result.woken = True
                for rule in found[1]:
                    self._watched(rule, moment)
                walk.clear()

    def settle(self, until: datetime) -> None:
        """Lets memberships be asked that are still to be asked, though nothing happened."""
        assert self.walk.membership is not None
        stage = self.walk.result.profile.stage
        self._tell(self.walk.membership.settle(until), stage, until)

    def note(self) -> None:
        """Writes down when somebody must look at this visitor again."""
        profile = self.walk.result.profile
        wake_at = self.walk.ruleset.wake_of(profile)
        if wake_at != profile.wake_at:
            profile.__dict__["wake_at"] = wake_at
            self.walk.result.woken = True

    def _turn(self, moment: datetime) -> None:
        """Time alone changes memberships at this moment."""
        assert self.walk.membership is not None
        stage = self.walk.result.profile.stage
        self._tell(self.walk.membership.pass_to(moment), stage, moment)

    def _tell(self, changes: Iterable[Change], stage: str, moment: datetime) -> None:
        """Tells the rules what changed; `stage` is that of before."""
        if self.walk.result.profile.stage != stage:
            for rule in self.walk.ruleset.rules_at.get(self.walk.result.profile.stage, ()):
                self._notice(rule, STAGE, moment)
        for change in changes:
            for rule in self.walk.ruleset.by_segment.get(change, ()):
                self._notice(rule, ENTERED if change.entered else LEFT, moment)
        self.walk.clear()

    def _watched(self, rule: CompiledRule, moment: datetime) -> None:
        """A moment has come for which this rule watches; of several products it is told one by one."""
        walk, watch = self.walk, rule.watch
        assert watch is not None
        if watch.told is None:
            self._notice(rule, watch.name, moment)
            return
        if moment != walk.promised and moment < walk.earliest:
            return
        due = watch.told(walk.result.profile, moment, walk.ruleset.site.timezone, walk.ruleset.standards)
        walk.past.cut = (moment, END_OF_MOMENT)
        for each in due:
            bought_at = each.supply.bought_at
            try:
                ordered = [event for event in walk.past.of(ORDERED, bought_at) if event.timestamp == bought_at]
            except HistoryNeeded as needed:
                raise PastNeeded.by(needed, (rule,), moment) from needed
            self._notice(rule, watch.name, moment, each.supply.product_id, told=due_properties(each, ordered))

    def _notice(
        self, rule: CompiledRule, name: str, moment: datetime, *parts: str, told: Mapping[str, Any] = NOTHING
    ) -> None:
        """A moment that this rule waited for has come."""
        walk = self.walk
        signal = walk.signal(name, moment, rule.id, moment.isoformat(), *parts, hops=0)
        if told:
            signal = replace(signal, properties={**told, **signal.properties})
        # A moment that was written down comes even where nobody was there to notice it in time; one is enough.
        written = walk.membership.promised if name in (ENTERED, LEFT, STAGE) and walk.membership is not None else ()
        if moment == walk.promised or moment in written or not walk.stale(signal):
            walk.past.cut = signal.moment
            walk.consider(rule, (rule.where, rule.audience), signal, walk.moment(moment, signal))
