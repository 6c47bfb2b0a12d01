"""What an enrolment does when its turn comes: the program of its rule, from where it stands to where it must wait."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backend.domain.attention import Contact, with_contact
from backend.domain.calendar import LocalDelay, local_until, zone_of
from backend.domain.condition import HistoryNeeded, Moment
from backend.domain.decide import Gate, Saying, decide, held_back, held_out_by
from backend.domain.engine.result import Collision, PastNeeded
from backend.domain.enrolment import Enrolment, Note
from backend.domain.event import Event
from backend.domain.identity import derive
from backend.domain.message import ON_SITE, Message
from backend.domain.past import LAST_OF_MOMENT
from backend.domain.reach import Reach, reach
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import SENT
from backend.domain.rule.compiled import BranchOp, DelayOp, EmitOp, JumpOp, SayOp, SplitOp, WaitOp
from backend.domain.session import GAP
from backend.domain.template import Template, TemplateError, render, template_context
from backend.domain.variant import assign

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

FINAL = frozenset({"rule_paused", "not_matching", "holdout", "loop_guard"})
"""Reasons for which a journey ends; after all others it goes on with its next step."""

MOST_NOTES = 200


class Steps:
    """Runs programs within one walk."""

    def __init__(self, walk: "Walk") -> None:
        self.walk = walk

    def fire(self, enrolment: Enrolment) -> None:
        """An enrolment is due: a waiting that nothing ended goes the other way, everything else goes on."""
        walk = self.walk
        rule = walk.ruleset.rule_of(enrolment.rule_id, enrolment.rule_version)
        if rule is None:
            walk.end(enrolment, "rule_paused", enrolment.due_at)
            return
        op = rule.program[enrolment.position] if enrolment.position < len(rule.program) else None
        if enrolment.waits and isinstance(op, WaitOp):
            enrolment = _noted(enrolment, enrolment.due_at, "wait", "timeout")
            enrolment = replace(enrolment, position=op.otherwise, waits=False)
        self.go(enrolment, rule, enrolment.due_at)

    def offer(self, enrolment: Enrolment, rule: CompiledRule, event: Event, moment: Moment) -> None:
        """An event for an enrolment that waits: is it what it waits for?"""
        op = rule.program[enrolment.position]
        if not isinstance(op, WaitOp):
            return
        came = any(each.hits(moment, enrolment.trigger) for each in op.events.get(event.name, ()))
        if not came and op.until is not None:
            came = op.until(self.walk.moment(event.timestamp, enrolment.trigger))
        if came:
            enrolment = _noted(enrolment, event.timestamp, "wait", "came", detail=event.name)
            self.go(replace(enrolment, position=op.then, waits=False), rule, event.timestamp)

    def go(self, enrolment: Enrolment, rule: CompiledRule, at: datetime) -> None:
        """Runs the program from where the enrolment stands, until it must wait or is done."""
        try:
            self._go(enrolment, rule, at)
        except HistoryNeeded as needed:
            raise PastNeeded.by(needed, (rule,), at) from needed
        except PastNeeded:
            raise
        except Exception as error:
            self.walk.fail(enrolment, at, error)

    def _go(self, enrolment: Enrolment, rule: CompiledRule, at: datetime) -> None:
        program = rule.program
        while enrolment.position < len(program):
            op, following = program[enrolment.position], enrolment.position + 1
            if isinstance(op, SayOp):
                said = self._say(enrolment, rule, op, at)
                if said is None:
                    return
                enrolment = replace(said, position=following)
            elif isinstance(op, DelayOp):
                due = self._due(op.span, at)
                if due > at:
                    self.walk.keep(replace(enrolment, position=following, due_at=due))
                    return
                enrolment = replace(enrolment, position=following)
            elif isinstance(op, JumpOp):
                enrolment = replace(enrolment, position=op.to)
            elif isinstance(op, BranchOp):
                holds = op.test(self._moment(enrolment, at))
                enrolment = replace(enrolment, position=following if holds else op.otherwise)
            elif isinstance(op, SplitOp):
                person = self.walk.result.profile.person or self.walk.result.profile.id
                arm = assign(f"{rule.id}/{op.name}", person, op.arms)
                assert arm is not None
                enrolment = _noted(enrolment, at, op.name, arm.name)
                enrolment = replace(enrolment, position=op.starts[arm.name])
            elif isinstance(op, EmitOp):
                enrolment = self._emit(replace(enrolment, position=following), rule, op, at)
            elif op.until is not None and op.until(self._moment(enrolment, at)):
                enrolment = replace(enrolment, position=op.then)
            elif op.timeout <= timedelta(0):
                enrolment = replace(enrolment, position=op.otherwise)
            else:
                self.walk.keep(replace(enrolment, waits=True, due_at=at + op.timeout))
                return
        last = enrolment.notes[-1] if enrolment.notes else None
        self.walk.end(enrolment, last.reason if last is not None and last.result == "skipped" else None, at)

    def _moment(self, enrolment: Enrolment, at: datetime) -> Moment:
        return self.walk.moment(at, enrolment.trigger)

    def _due(self, span: timedelta | LocalDelay, at: datetime) -> datetime:
        if isinstance(span, timedelta):
            return at + span
        profile, site = self.walk.result.profile, self.walk.ruleset.site
        return local_until(span, at, zone_of(profile.device.timezone, site.timezone))

    def _say(self, enrolment: Enrolment, rule: CompiledRule, op: SayOp, at: datetime) -> Enrolment | None:
        """Says it, or not; the enrolment as it goes on, None where it waits or has ended."""
        walk = self.walk
        ruleset = walk.ruleset
        moment = self._moment(enrolment, at)
        verdict = decide(ruleset.site, ruleset.limits, rule, op, moment, enrolment.trigger)
        if isinstance(verdict, Saying):
            return self._said(enrolment, rule, op, verdict, at)
        if verdict.by:
            walk.result.collisions.append(Collision(rule.id, verdict.by, at))
        if verdict.reason == "holdout":
            self._held_out(enrolment, rule, op, at)
        elif verdict.reason in {"cap", "quiet_hours"} and _may_wait(rule, verdict):
            until = verdict.until if verdict.until is not None else at + GAP
            if until <= (enrolment.deferred_at or at) + op.message.expires_after:
                held = _noted(enrolment, at, op.name, "deferred", verdict.reason, verdict.detail)
                since = enrolment.deferred_at or at
                walk.keep(replace(held, due_at=until, deferred=verdict.reason, deferred_at=since))
                return None
        if op.name == "" or verdict.reason in FINAL:
            walk.end(enrolment, verdict.reason, at)
            return None
        return _noted(enrolment, at, op.name, "skipped", verdict.reason, verdict.detail)

    def _said(self, enrolment: Enrolment, rule: CompiledRule, op: SayOp, saying: Saying, at: datetime) -> Enrolment:
        walk, way = self.walk, saying.reach
        created = walk.now if walk.now is not None else at
        expires = created + op.message.expires_after
        fallback = op.message.fallback_after
        parts = (op.name,) if op.name else ()
        message = Message(
            id=derive("message", enrolment.id, *parts, way.channel),
            site_id=enrolment.site_id,
            visitor_id=enrolment.visitor_id,
            rule_id=enrolment.rule_id,
            enrolment_id=enrolment.id,
            channel=way.channel,
            variant=saying.variant.name,
            content=saying.content,
            created_at=created,
            expires_at=expires,
            due_at=created if way.channel not in ON_SITE else created + fallback if fallback is not None else expires,
            anonymous_id=enrolment.trigger.anonymous_id,
            address=way.address,
            step=op.name,
        )
        walk.result.messages.append(message)
        self._remember(rule, op, message.id, way.channel, message.variant, at)
        if SENT in walk.ruleset.events:
            hops = hops_of(enrolment.trigger) + 1
            told = {"message_id": message.id, "channel": way.channel}
            walk.queue.append(walk.signal(SENT, at, rule.id, message.id, hops=hops, **told))
        if op.name:
            enrolment = _noted(enrolment, at, op.name, "sent", detail=way.channel)
        return replace(
            enrolment,
            variant=message.variant,
            channel=message.channel,
            message_id=message.id,
            deferred=None,
            deferred_at=None,
        )

    def _held_out(self, enrolment: Enrolment, rule: CompiledRule, op: SayOp, at: datetime) -> None:
        """Remembers whom it would have been said to, had they not been held out: they are compared with the others."""
        ruleset, profile = self.walk.ruleset, self.walk.result.profile
        way = reach(profile, op.message.channels, ruleset.site.policy)
        variant = held_out_by(ruleset.limits, rule, op, profile)
        if not isinstance(way, Reach) or variant is None:
            return
        if held_back(ruleset.site, ruleset.limits, rule, profile, way.channel, at) is None:
            self._remember(rule, op, enrolment.id, "", variant, at)

    def _remember(
        self, rule: CompiledRule, op: SayOp, message_id: str, channel: str, variant: str, at: datetime
    ) -> None:
        profile = self.walk.result.profile
        contact = Contact(
            message_id=message_id,
            rule_id=rule.id,
            step=op.name,
            channel=channel,
            category=rule.rule.spec.category,
            variant=variant,
            at=at,
            page=profile.page.get("path"),
        )
        profile.__dict__["contacts"] = with_contact(profile.contacts, contact)

    def _emit(self, enrolment: Enrolment, rule: CompiledRule, op: EmitOp, at: datetime) -> Enrolment:
        """Reports an event on the visitor's behalf, or sets their traits: an event like any other."""
        walk, trigger = self.walk, enrolment.trigger
        name = op.event or "Identify"
        try:
            values = _rendered(op.values, self._context(trigger))
        except TemplateError as error:
            return _noted(enrolment, at, name, "skipped", "missing_value", str(error))
        profile = walk.result.profile
        event = Event(
            message_id=derive("emitted", enrolment.id, str(enrolment.position)),
            name=name,
            type="track" if op.event is not None else "identify",
            timestamp=at,
            received_at=walk.now if walk.now is not None else at,
            order=min(trigger.order + 1, LAST_OF_MOMENT),
            anonymous_id=trigger.anonymous_id,
            user_id=profile.user_id,
            properties=values if op.event is not None else {},
            traits=values if op.event is None else {},
            context={"chimein": {"rule": rule.id, "hops": hops_of(trigger) + 1}},
        )
        walk.result.emitted.append(event)
        walk.past.add(event)
        walk.queue.append(event)
        return _noted(enrolment, at, name, "reported")

    def _context(self, trigger: Event) -> Mapping[str, Any]:
        site = self.walk.ruleset.site
        return template_context(self.walk.result.profile, trigger, site.name, site.currency)


def hops_of(event: Event) -> int:
    """How many rules in a row led to this event."""
    told = event.context.get("chimein")
    hops = told.get("hops") if isinstance(told, dict) else None
    return hops if isinstance(hops, int) else 0


def _may_wait(rule: CompiledRule, verdict: Gate) -> bool:
    if verdict.reason == "quiet_hours":
        return verdict.until is not None
    return rule.rule.spec.limits.overflow == "defer"


def _rendered(values: Mapping[str, Template | Any], context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: render(each, context) if isinstance(each, Template) else each for key, each in values.items()}


def _noted(
    enrolment: Enrolment, at: datetime, step: str, result: str, reason: str | None = None, detail: str | None = None
) -> Enrolment:
    """The enrolment with one more note; a rule of one message needs none but for what made it wait."""
    note = Note(at=at, step=step, result=result, reason=reason, detail=detail)
    return replace(enrolment, notes=(*enrolment.notes, note)[-MOST_NOTES:])
