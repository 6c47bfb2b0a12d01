"""The verb `advance`: one visitor through a stretch of time, live and simulated alike.

At one instant events come first, in order of arrival, then the timers due at it. An event is folded, then held against
the cancels of what waits, then against triggers; an enrolment without delay fires with its trigger.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from backend.domain.condition import HistoryNeeded, Moment
from backend.domain.decide import Gate, decide
from backend.domain.dispatch import Listeners
from backend.domain.enrolment import SENT, SKIPPED, Enrolment
from backend.domain.event import Event
from backend.domain.fold import fold_into, working_copy
from backend.domain.identity import derive
from backend.domain.message import ON_SITE, Message
from backend.domain.past import END_OF_MOMENT, Past
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, Reentry
from backend.domain.site import Site


class PastNeeded(Exception):
    """A rule asks for events that are not at hand; `names` are all that it may ask for."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(f"The history of {sorted(names)} is needed")
        self.names = names


@dataclass(frozen=True, slots=True)
class Denial:
    """A trigger whose audience held, and that started nothing.

    `reason` is `live` (an enrolment waits already), or the re-entry policy: `once`, `per_key`, `at_most`.
    """

    rule_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruleset:
    """The compiled rules of one site, found by what they listen to."""

    site: Site
    by_id: Mapping[str, CompiledRule]
    by_event: Mapping[str, Listeners]
    by_stage: Mapping[str, tuple[CompiledRule, ...]]

    @classmethod
    def of(cls, site: Site, rules: Iterable[CompiledRule]) -> "Ruleset":
        """All rules that may still fire; those that are active start enrolments, higher priority first."""
        ordered = sorted(rules, key=lambda rule: (-rule.rule.spec.priority, rule.id))
        by_event: dict[str, list[CompiledRule]] = {}
        by_stage: dict[str, list[CompiledRule]] = {}
        for rule in ordered:
            if rule.rule.status != "active":
                continue
            if rule.event is not None:
                by_event.setdefault(rule.event, []).append(rule)
            elif rule.stage is not None:
                by_stage.setdefault(rule.stage, []).append(rule)
        return cls(
            site=site,
            by_id=MappingProxyType({rule.id: rule for rule in ordered}),
            by_event={name: Listeners(group) for name, group in by_event.items()},
            by_stage={name: tuple(group) for name, group in by_stage.items()},
        )


@dataclass(slots=True)
class Advance:
    """Where a visitor stands after a stretch of time: what changed, and what is to be said.

    `enrolments` are those that began or ended in it, by id, as they stand at its end.
    """

    profile: Profile
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """What rules raised, by rule id: a mistake of ours, which must not cost the event or the other rules."""


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
    walk = _Walk(ruleset, profile, enrolments, past, now)
    for event in events:
        walk.fire_until(event.timestamp, inclusive=False)
        walk.take(event)
    walk.fire_until(until, inclusive=True)
    return walk.result


def denial_of(reentry: Reentry, entered: Iterable[Enrolment], key: str, moment: datetime) -> str | None:
    """Why a trigger at `moment` starts no enrolment, after those that this visitor `entered`; None where it does."""
    earlier = [each for each in entered if each.key == key]
    if any(each.waiting for each in earlier):
        return "live"
    if not earlier:
        return None
    if reentry.policy != "every":
        return reentry.policy
    since = moment - reentry.per if reentry.per is not None else None
    recent = [each for each in earlier if since is None or since < each.entered_at <= moment]
    return "at_most" if reentry.at_most is not None and len(recent) >= reentry.at_most else None


class _Walk:
    """One visitor's way through the stretch."""

    def __init__(
        self, ruleset: Ruleset, profile: Profile, enrolments: Sequence[Enrolment], past: Past, now: datetime | None
    ) -> None:
        self.ruleset = ruleset
        self.past = past
        self.now = now
        self.result = Advance(working_copy(profile))
        self.known: dict[str, list[Enrolment]] = {}
        self.waiting: dict[str, Enrolment] = {}
        for enrolment in enrolments:
            self.known.setdefault(enrolment.rule_id, []).append(enrolment)
            if enrolment.waiting:
                self.waiting[enrolment.id] = enrolment

    def take(self, event: Event) -> None:
        """Folds one event, then holds it against cancels, then against triggers."""
        profile = self.result.profile
        before = profile.stage
        fold_into(profile, event)
        candidates: Iterable[CompiledRule] = ()
        if not self._stale(event):
            listeners = self.ruleset.by_event.get(event.name)
            if listeners is not None:
                candidates = listeners.to(event)
            if profile.stage != before:
                candidates = (*candidates, *self.ruleset.by_stage.get(profile.stage, ()))
        if not self.waiting and not candidates:
            return
        self.past.cut = event.moment
        moment = Moment(profile=profile, at=event.timestamp, event=event, entered=event.moment, history=self.past)
        if self.waiting:
            self._cancel(event, moment)
        for rule in candidates:
            try:
                holds = rule.where(moment) and rule.audience(moment)
            except HistoryNeeded as needed:
                raise PastNeeded(rule.history | {needed.name}) from needed
            except Exception as error:
                self._failed(rule.id, error)
                continue
            if holds:
                self._enter(rule, event)

    def _stale(self, event: Event) -> bool:
        """Whether a live event is too old to start anything; a simulated one never is."""
        return self.now is not None and self.now - event.timestamp > self.ruleset.site.policy.max_event_age

    def fire_until(self, end: datetime, *, inclusive: bool) -> None:
        """Fires what waits and is due before `end` (or at it), in order of time."""
        if not self.waiting:
            return
        due = [each for each in self.waiting.values() if each.due_at < end or (inclusive and each.due_at == end)]
        for enrolment in sorted(due, key=self._turn):
            self.past.cut = (enrolment.due_at, END_OF_MOMENT)
            self._fire(enrolment)

    def _turn(self, enrolment: Enrolment) -> tuple[datetime, int, datetime, str]:
        rule = self.ruleset.by_id.get(enrolment.rule_id)
        priority = rule.rule.spec.priority if rule is not None else 0
        return (enrolment.due_at, -priority, enrolment.entered_at, enrolment.id)

    def _cancel(self, event: Event, moment: Moment) -> None:
        for enrolment in list(self.waiting.values()):
            rule = self.ruleset.by_id.get(enrolment.rule_id)
            cancels = rule.cancels.get(event.name, ()) if rule is not None else ()
            if not cancels or event.moment <= enrolment.trigger.moment or event.timestamp > enrolment.due_at:
                continue
            try:
                cancelled = any(cancel.hits(moment, enrolment.trigger) for cancel in cancels)
            except HistoryNeeded as needed:
                raise PastNeeded(_history_of(rule) | {needed.name}) from needed
            except Exception as error:
                self._fail(enrolment, event.timestamp, error)
                continue
            if cancelled:
                self._end(replace(enrolment, outcome=SKIPPED, reason="cancelled", at=event.timestamp))

    def _enter(self, rule: CompiledRule, event: Event) -> None:
        """Begins an enrolment, if re-entry allows it; one without delay fires at once."""
        key = rule.key_of(event)
        if key is None:
            return
        denial = denial_of(rule.rule.spec.reentry, self.known.get(rule.id, ()), key, event.timestamp)
        if denial is not None:
            self.result.denials.append(Denial(rule.id, denial, event.timestamp))
            return
        site = self.ruleset.site
        enrolment = Enrolment(
            id=derive(rule.id, self.result.profile.id, key, event.message_id),
            site_id=site.id,
            visitor_id=self.result.profile.id,
            rule_id=rule.id,
            rule_version=rule.rule.version,
            key=key,
            entered_at=event.timestamp,
            due_at=event.timestamp + rule.rule.spec.delay,
            trigger=event,
        )
        self.known.setdefault(rule.id, []).append(enrolment)
        self.waiting[enrolment.id] = enrolment
        self.result.enrolments[enrolment.id] = enrolment
        if rule.rule.spec.delay <= timedelta(0):
            self._fire(enrolment)

    def _fire(self, enrolment: Enrolment) -> None:
        rule = self.ruleset.by_id.get(enrolment.rule_id)
        profile = self.result.profile
        moment = Moment(
            profile=profile,
            at=enrolment.due_at,
            event=enrolment.trigger,
            entered=enrolment.trigger.moment,
            history=self.past,
        )
        try:
            verdict = decide(self.ruleset.site, rule, moment, enrolment.trigger)
        except HistoryNeeded as needed:
            raise PastNeeded(_history_of(rule) | {needed.name}) from needed
        except Exception as error:
            self._fail(enrolment, enrolment.due_at, error)
            return
        if isinstance(verdict, Gate):
            self._end(replace(enrolment, outcome=SKIPPED, reason=verdict.reason, at=enrolment.due_at))
            return
        assert rule is not None
        created = self.now if self.now is not None else enrolment.due_at
        expires = created + rule.message.expires_after
        fallback = rule.message.fallback_after
        on_site = verdict.reach.channel in ON_SITE
        message = Message(
            id=derive("message", enrolment.id, verdict.reach.channel),
            site_id=enrolment.site_id,
            visitor_id=enrolment.visitor_id,
            rule_id=enrolment.rule_id,
            enrolment_id=enrolment.id,
            channel=verdict.reach.channel,
            variant=verdict.variant.name,
            content=verdict.content,
            created_at=created,
            expires_at=expires,
            due_at=created if not on_site else created + fallback if fallback is not None else expires,
            anonymous_id=enrolment.trigger.anonymous_id,
            address=verdict.reach.address,
        )
        self.result.messages.append(message)
        self._end(
            replace(
                enrolment,
                outcome=SENT,
                at=enrolment.due_at,
                variant=message.variant,
                channel=message.channel,
                message_id=message.id,
            )
        )

    def _fail(self, enrolment: Enrolment, moment: datetime, error: Exception) -> None:
        self._failed(enrolment.rule_id, error)
        self._end(replace(enrolment, outcome=SKIPPED, reason="rule_failed", at=moment))

    def _failed(self, rule_id: str, error: Exception) -> None:
        self.result.failures[rule_id] = f"{type(error).__name__}: {error}"

    def _end(self, enrolment: Enrolment) -> None:
        self.waiting.pop(enrolment.id, None)
        siblings = self.known[enrolment.rule_id]
        siblings[[each.id for each in siblings].index(enrolment.id)] = enrolment
        self.result.enrolments[enrolment.id] = enrolment


def _history_of(rule: CompiledRule | None) -> frozenset[str]:
    return rule.history if rule is not None else frozenset()
