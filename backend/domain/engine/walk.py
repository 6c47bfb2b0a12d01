"""One visitor's way through a stretch of time: each event in its turn, and between them what is due.

At one instant events come first, in order of arrival, then the timers due at it. An event is folded, then held against
the cancels of what waits, then against triggers; an enrolment without delay fires with its trigger.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property

from backend.domain.condition import HistoryNeeded, Moment, Test
from backend.domain.engine.hops import SHOWN, hops_of, traced
from backend.domain.engine.joined import end_superfluous
from backend.domain.engine.measure import measure
from backend.domain.engine.membership import Membership
from backend.domain.engine.move import CHANGED, settle
from backend.domain.engine.noted import noted
from backend.domain.engine.reentry import denial_of
from backend.domain.engine.result import Advance, Denial, PastNeeded
from backend.domain.engine.ruleset import Ruleset
from backend.domain.engine.stages import catch_up, note_stage
from backend.domain.engine.steps import Steps
from backend.domain.engine.wakes import Wakes
from backend.domain.enrolment import COMPLETED, SENT, SKIPPED, Enrolment, entered
from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold_into, working_copy
from backend.domain.identity import derive
from backend.domain.past import END_OF_MOMENT, LAST_OF_MOMENT, Past
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule
from backend.domain.shelf import ProductNeeded

MOST_HOPS = 5
"""So many rules may start one another in a row, each by what the one before did."""

EARLIEST = datetime.min.replace(tzinfo=UTC)


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
    try:
        if profile.stages_built != ruleset.site.funnel.revision:
            catch_up(walk)
        if walk.membership is not None:
            start = events[0] if events else None
            walk.membership.build(start.timestamp if start else until, start.order if start else END_OF_MOMENT)
        timed = walk.membership is not None or bool(ruleset.watches)
        for event in events:
            if timed or walk.waiting:
                walk.fire_until(event.timestamp, inclusive=False)
            walk.take(event)
            if walk.queue:
                walk.clear()
        if timed or walk.waiting:
            walk.fire_until(until, inclusive=True)
        if walk.membership is not None:
            walk.wakes.settle(until)
        if ruleset.watches or walk.membership is not None or profile.wake_at is not None:
            walk.wakes.note()
        return walk.result
    finally:
        walk.forget()


class Walk:
    """Goes through the stretch; what it brings about stands in `result`."""

    def __init__(
        self, ruleset: Ruleset, profile: Profile, enrolments: Sequence[Enrolment], past: Past, now: datetime | None
    ) -> None:
        self.ruleset = ruleset
        self.past = past
        self.now = now
        # A live event that is older starts nothing any more; a simulated one never is too old.
        self.earliest = EARLIEST if now is None else now - ruleset.site.policy.max_event_age
        self.result = Advance(working_copy(profile))
        self.known: dict[str, list[Enrolment]] = {}
        self.waiting: dict[str, Enrolment] = {}
        self.queue: deque[Event] = deque()
        self.promised = profile.wake_at
        self.behind = False
        self.membership = Membership(self, ruleset.segments) if ruleset.segments is not None else None
        for enrolment in enrolments:
            self.known.setdefault(enrolment.rule_id, []).append(enrolment)
            if enrolment.waiting:
                self.waiting[enrolment.id] = enrolment
                present = ruleset.by_id.get(enrolment.rule_id)
                if present is not None and present.rule.version != enrolment.rule_version:
                    self._settle(enrolment, present)
        if self.waiting and profile.members:
            end_superfluous(self)

    @cached_property
    def steps(self) -> Steps:
        """What enrolments do when their turn comes; most walks come to none."""
        return Steps(self)

    @cached_property
    def wakes(self) -> Wakes:
        """The moments that no event marks."""
        return Wakes(self)

    def forget(self) -> None:
        """Lets go of everything: its parts know it and it knows them, which only Python's collector would untie."""
        self.__dict__.clear()

    def _settle(self, enrolment: Enrolment, present: CompiledRule) -> None:
        """An enrolment that began with another version of its rule: that one is at hand, or it goes on with a later."""
        at = self.now if self.now is not None else enrolment.due_at
        going_on = settle(self.ruleset, enrolment, present, at)
        if going_on is None:
            self.end(noted(enrolment, at, "", "ended", CHANGED), CHANGED, at)
        elif going_on is not enrolment:
            self.keep(going_on)

    def take(self, event: Event) -> None:
        """Folds one event, and holds it against cancels and triggers; what rules report because of it is `queue`."""
        profile = self.result.profile
        stage, traits, sessions = profile.stage, profile.traits, profile.sessions
        membership = self.membership
        parts = membership.parts() if membership is not None else []
        fold_into(profile, event, self.ruleset.reading)
        changes = membership.fold(event, parts) if membership is not None else ()
        history = profile.stage_history
        if not history or history[-1][0] != profile.stage:
            note_stage(self, event.timestamp)
        if profile.contacts:
            measure(self, event)
        candidates = 0
        if event.timestamp >= self.earliest:
            candidates = self.ruleset.asked(event, profile, stage, traits, sessions)
            if changes and membership is not None and self.ruleset.by_segment:
                candidates |= self.ruleset.dispatch.places(membership.rules(changes))
        if not self.waiting and not candidates:
            return
        self.past.cut = event.moment
        moment = self.moment(event.timestamp, event)
        if self.waiting:
            self._to_waiting(event, moment)
        if candidates:
            for rule, tests in self.ruleset.dispatch.asked(candidates, moment):
                self.consider(rule, tests, event, moment)

    def consider(self, rule: CompiledRule, tests: Sequence[Test], event: Event, moment: Moment) -> None:
        """Starts the rule where the tests hold, which are all that is left to ask of it."""
        try:
            for test in tests:
                if not test(moment):
                    return
        except HistoryNeeded as needed:
            raise PastNeeded.by(needed, (rule,), moment.at) from needed
        except Exception as error:
            self.failed(rule.id, error)
            return
        self._enter(rule, event)

    def moment(self, at: datetime, event: Event | None, entered: tuple[datetime, int] | None = None) -> Moment:
        """What conditions are asked about now."""
        return Moment(
            profile=self.result.profile,
            at=at,
            event=event,
            entered=event.moment if entered is None and event is not None else entered,
            history=self.past,
            zone_name=self.ruleset.site.timezone,
            standards=self.ruleset.standards,
            somebody=self.ruleset.somebody,
        )

    def stale(self, event: Event) -> bool:
        """Whether a live event is too old to start anything; a simulated one never is."""
        return event.timestamp < self.earliest

    def fire_until(self, end: datetime, *, inclusive: bool) -> None:
        """Fires what is due before `end` (or at it), in order of time."""
        due = self.membership.due if self.membership is not None else None
        if self.ruleset.watches or (due is not None and due <= end) or (self.membership is not None and self.waiting):
            self.wakes.until(end, inclusive)
        elif self.waiting:
            while self.fire_next(end, inclusive):
                continue

    def fire_next(self, end: datetime, inclusive: bool) -> bool:
        """Fires what waits and is due next before `end` (or at it); False where nothing is."""
        due = [each for each in self.waiting.values() if each.due_at < end or (inclusive and each.due_at == end)]
        if not due:
            return False
        enrolment = min(due, key=self._turn)
        self.past.cut = (enrolment.due_at, END_OF_MOMENT)
        self.steps.fire(enrolment)
        self.clear()
        return True

    def clear(self) -> None:
        """Takes what rules have reported."""
        while self.queue:
            self.take(self.queue.popleft())

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
                raise PastNeeded.by(needed, (rule,), moment.at) from needed
            except (PastNeeded, ProductNeeded):
                raise
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
        enrolment = entered(
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
        self.keep(enrolment.but(outcome=outcome, reason=reason, at=at, waits=False, deferred=None))

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
