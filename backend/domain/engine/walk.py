"""One visitor's way through a stretch of time: each event in its turn, and between them what is due.

At one instant events come first, in order of arrival, then the timers due at it. An event is folded, then held against
the cancels of what waits, then against triggers; an enrolment without delay fires with its trigger.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from backend.domain.condition import HistoryNeeded, Moment
from backend.domain.engine.hops import SHOWN, hops_of, traced
from backend.domain.engine.move import CHANGED, settle
from backend.domain.engine.noted import noted
from backend.domain.engine.reentry import denial_of
from backend.domain.engine.result import Advance, Denial, PastNeeded
from backend.domain.engine.ruleset import Ruleset
from backend.domain.engine.steps import Steps
from backend.domain.enrolment import COMPLETED, SENT, SKIPPED, Enrolment
from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold_into, working_copy
from backend.domain.goal import with_goals
from backend.domain.identity import derive
from backend.domain.past import END_OF_MOMENT, LAST_OF_MOMENT, Past
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule

MOST_HOPS = 5
"""So many rules may start one another in a row, each by what the one before did."""

MOST_WAKES = 1_000
"""Moments without an event that are noticed in one stretch; the rest come with the next."""


def advance(
    ruleset: Ruleset,
    profile: Profile,
    enrolments: Sequence[Enrolment],
    events: Sequence[Event],
    past: Past,
    *,
    until: datetime,
    now: datetime | None,
) -> Advance:
    """Folds `events` (in order of moment, each for the first time) and fires what is due up to `until`.

    `enrolments` are all that this visitor ever had. `now` is the wall clock when this is live: then events older than
    the site's `max_event_age` start nothing, and messages are dated by it. Raises `PastNeeded` before anything else
    has happened to the outside: run it again with that past.
    """
    walk = Walk(ruleset, profile, enrolments, past, now)
    for event in events:
        walk.fire_until(event.timestamp, inclusive=False)
        walk.take(event)
    walk.fire_until(until, inclusive=True)
    if ruleset.watches or profile.wake_at is not None:
        walk.note_wake()
    return walk.result


class Walk:
    """Goes through the stretch; what it brings about stands in `result`."""

    def __init__(
        self, ruleset: Ruleset, profile: Profile, enrolments: Sequence[Enrolment], past: Past, now: datetime | None
    ) -> None:
        self.ruleset = ruleset
        self.past = past
        self.now = now
        self.result = Advance(working_copy(profile))
        self.known: dict[str, list[Enrolment]] = {}
        self.waiting: dict[str, Enrolment] = {}
        self.queue: deque[Event] = deque()
        self.promised = profile.wake_at
        self.steps = Steps(self)
        for enrolment in enrolments:
            self.known.setdefault(enrolment.rule_id, []).append(enrolment)
            if enrolment.waiting:
                self.waiting[enrolment.id] = enrolment
                present = ruleset.by_id.get(enrolment.rule_id)
                if present is not None and present.rule.version != enrolment.rule_version:
                    self._settle(enrolment, present)

    def _settle(self, enrolment: Enrolment, present: CompiledRule) -> None:
        """An enrolment that began with another version of its rule: that one is at hand, or it goes on with a later."""
        at = self.now if self.now is not None else enrolment.due_at
        going_on = settle(self.ruleset, enrolment, present, at)
        if going_on is None:
            self.end(noted(enrolment, at, "", "ended", CHANGED), CHANGED, at)
        elif going_on is not enrolment:
            self.keep(going_on)

    def take(self, event: Event) -> None:
        """Folds one event, and whatever rules report because of it, each held against cancels and triggers."""
        self._take(event)
        while self.queue:
            self._take(self.queue.popleft())

    def _take(self, event: Event) -> None:
        profile = self.result.profile
        stage, traits, sessions = profile.stage, profile.traits, profile.sessions
        fold_into(profile, event)
        if profile.contacts and event.name in self.ruleset.goals:
            self._reach(event)
        candidates: Iterable[CompiledRule] = ()
        if not self._stale(event):
            listeners = self.ruleset.by_event.get(event.name)
            if listeners is not None:
                candidates = listeners.to(event)
            if profile.stage != stage:
                candidates = (*candidates, *self.ruleset.by_stage.get(profile.stage, ()))
            if profile.traits is not traits and self.ruleset.by_trait:
                candidates = (*candidates, *self._changed(traits, profile.traits))
            if profile.sessions > sessions and self.ruleset.at_session:
                candidates = (*candidates, *self.ruleset.at_session)
        if not self.waiting and not candidates:
            return
        self.past.cut = event.moment
        moment = self.moment(event.timestamp, event)
        if self.waiting:
            self._to_waiting(event, moment)
        for rule in candidates:
            self._consider(rule, event, moment)

    def _reach(self, event: Event) -> None:
        """An event that is the goal of rules which spoke to this visitor, or did not, for comparison."""
        self.past.cut = event.moment
        profile = self.result.profile
        rules = self.ruleset.goals[event.name]
        try:
            contacts = with_goals(profile.contacts, event, rules, self.moment(event.timestamp, event))
        except HistoryNeeded as needed:
            raise PastNeeded(frozenset().union({needed.name}, *(rule.history for rule in rules))) from needed
        profile.__dict__["contacts"] = contacts

    def _changed(self, before: Any, after: Any) -> list[CompiledRule]:
        """The rules that wait for a change such as those between these traits."""
        found: list[CompiledRule] = []
        for name, rules in self.ruleset.by_trait.items():
            old, new = before.get(name), after.get(name)
            if old != new:
                found.extend(rule for rule in rules if rule.change is not None and rule.change(old, new))
        return found

    def _consider(self, rule: CompiledRule, event: Event, moment: Moment) -> None:
        try:
            holds = rule.where(moment) and rule.audience(moment)
        except HistoryNeeded as needed:
            raise PastNeeded(rule.history | {needed.name}) from needed
        except Exception as error:
            self.failed(rule.id, error)
            return
        if holds:
            self._enter(rule, event)

    def moment(self, at: datetime, event: Event, entered: tuple[datetime, int] | None = None) -> Moment:
        """What conditions are asked about now."""
        return Moment(
            profile=self.result.profile,
            at=at,
            event=event,
            entered=event.moment if entered is None else entered,
            history=self.past,
            zone_name=self.ruleset.site.timezone,
        )

    def _stale(self, event: Event) -> bool:
        """Whether a live event is too old to start anything; a simulated one never is."""
        return self.now is not None and self.now - event.timestamp > self.ruleset.site.policy.max_event_age

    def fire_until(self, end: datetime, *, inclusive: bool) -> None:
        """Fires what is due before `end` (or at it), in order of time."""
        if self.ruleset.watches:
            self._wake_until(end, inclusive)
        elif self.waiting:
            self._fire_until(end, inclusive)

    def _fire_until(self, end: datetime, inclusive: bool) -> None:
        """Fires what waits; what one firing makes due is fired with the next."""
        while due := [
            each for each in self.waiting.values() if each.due_at < end or (inclusive and each.due_at == end)
        ]:
            enrolment = min(due, key=self._turn)
            self.past.cut = (enrolment.due_at, END_OF_MOMENT)
            self.steps.fire(enrolment)
            while self.queue:
                self._take(self.queue.popleft())

    def _wake_until(self, end: datetime, inclusive: bool) -> None:
        """Fires what waits, and between that notices the moments that no event marks."""
        profile = self.result.profile
        for _ in range(MOST_WAKES):
            found = self.ruleset.next_wake(profile)
            if found is None or found[0] > end or (found[0] == end and not inclusive):
                break
            moment, rules = found
            self._fire_until(moment, inclusive=True)
            profile.__dict__["woken_at"] = moment
            self.result.woken = True
            for rule in rules:
                self._notice(rule, moment)
            while self.queue:
                self._take(self.queue.popleft())
        self._fire_until(end, inclusive)

    def _notice(self, rule: CompiledRule, moment: datetime) -> None:
        """A moment that this rule waited for has come."""
        assert rule.watch is not None
        signal = self.signal(rule.watch.name, moment, rule.id, moment.isoformat(), hops=0)
        # A moment that was written down comes even where nobody was there to notice it in time; one is enough.
        if moment == self.promised or not self._stale(signal):
            self.past.cut = signal.moment
            self._consider(rule, signal, self.moment(moment, signal))

    def signal(self, name: str, at: datetime, rule_id: str, *parts: str, hops: int, **properties: str | None) -> Event:
        """An event that nobody did; the same one gets the same id whenever it is made."""
        profile = self.result.profile
        return Event(
            message_id=derive("signal", name, rule_id, profile.id, *parts),
            name=name,
            type=SIGNAL,
            timestamp=at,
            received_at=at,
            order=LAST_OF_MOMENT - 1,
            anonymous_id=profile.anonymous_ids[-1] if profile.anonymous_ids else None,
            user_id=profile.user_id,
            properties={"rule_id": rule_id, **properties},
            context={"chimein": {"rule": rule_id, "hops": hops}},
        )

    def note_wake(self) -> None:
        """Writes down when somebody must look at this visitor again."""
        found = self.ruleset.next_wake(self.result.profile)
        wake_at = None if found is None else found[0]
        if wake_at != self.result.profile.wake_at:
            self.result.profile.__dict__["wake_at"] = wake_at
            self.result.woken = True

    def _turn(self, enrolment: Enrolment) -> tuple[datetime, int, datetime, str]:
        rule = self.ruleset.by_id.get(enrolment.rule_id)
        priority = rule.rule.spec.priority if rule is not None else 0
        return (enrolment.due_at, -priority, enrolment.entered_at, enrolment.id)

    def _to_waiting(self, event: Event, moment: Moment) -> None:
        """Holds an event against everything that waits: it may end it, or be what it waits for."""
        for enrolment in list(self.waiting.values()):
            rule = self.ruleset.rule_of(enrolment.rule_id, enrolment.rule_version)
            if rule is None or event.moment <= enrolment.trigger.moment or event.timestamp > enrolment.due_at:
                continue
            try:
                reason = self._ending(rule, enrolment, event, moment)
                if reason is not None:
                    self.end(enrolment, reason, event.timestamp)
                elif enrolment.waits:
                    self.steps.offer(enrolment, rule, event, moment)
            except HistoryNeeded as needed:
                raise PastNeeded(rule.history | {needed.name}) from needed
            except Exception as error:
                self.fail(enrolment, event.timestamp, error)

    def _ending(self, rule: CompiledRule, enrolment: Enrolment, event: Event, moment: Moment) -> str | None:
        """Why this event ends the enrolment; None where it does not."""
        cancels = rule.cancels.get(event.name, ())
        if cancels and any(cancel.hits(moment, enrolment.trigger) for cancel in cancels):
            return "cancelled"
        leaves = rule.rule.spec.exit
        if leaves.goal and rule.goal is not None and rule.goal.event == event.name and rule.goal.where(moment):
            return "goal_met"
        if leaves.not_matching and event.type != SIGNAL:
            asked = self.moment(event.timestamp, enrolment.trigger)
            if not rule.audience(asked):
                return "not_matching"
        return None

    def _enter(self, rule: CompiledRule, event: Event) -> None:
        """Begins an enrolment, if re-entry allows it; one without delay fires at once."""
        key = rule.key_of(event)
        if key is None:
            return
        denial = denial_of(rule.rule.spec.reentry, self.known.get(rule.id, ()), key, event.timestamp)
        if denial is not None:
            self.result.denials.append(Denial(rule.id, denial, event.timestamp))
            return
        if event.name == SHOWN:
            event = traced(event, self.result.profile.contacts, self.known)
        enrolment = Enrolment(
            id=derive(rule.id, self.result.profile.id, key, event.message_id),
            site_id=self.ruleset.site.id,
            visitor_id=self.result.profile.id,
            rule_id=rule.id,
            rule_version=rule.rule.version,
            key=key,
            entered_at=event.timestamp,
            due_at=event.timestamp,
            trigger=event,
        )
        self.known.setdefault(rule.id, []).append(enrolment)
        if hops_of(event) > MOST_HOPS:
            self.end(enrolment, "loop_guard", event.timestamp)
            return
        self.steps.go(enrolment, rule, event.timestamp)

    def end(self, enrolment: Enrolment, reason: str | None, at: datetime) -> None:
        """Ends an enrolment: as sent where something was said on the way, else for the reason that is given."""
        if enrolment.message_id is not None:
            outcome = SENT
        else:
            outcome = COMPLETED if reason is None else SKIPPED
        self.keep(replace(enrolment, outcome=outcome, reason=reason, at=at, waits=False, deferred=None))

    def fail(self, enrolment: Enrolment, moment: datetime, error: Exception) -> None:
        """Ends an enrolment whose rule raised."""
        self.failed(enrolment.rule_id, error)
        self.end(enrolment, "rule_failed", moment)

    def failed(self, rule_id: str, error: Exception) -> None:
        """Notes what a rule raised."""
        self.result.failures[rule_id] = f"{type(error).__name__}: {error}"

    def keep(self, enrolment: Enrolment) -> None:
        """Puts an enrolment into the place of what it was before."""
        if enrolment.waiting:
            self.waiting[enrolment.id] = enrolment
        else:
            self.waiting.pop(enrolment.id, None)
        siblings = self.known[enrolment.rule_id]
        siblings[[each.id for each in siblings].index(enrolment.id)] = enrolment
        self.result.enrolments[enrolment.id] = enrolment
