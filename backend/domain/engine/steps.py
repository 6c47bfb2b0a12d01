"""What an enrolment does when its turn comes: the program of its rule, from where it stands to where it must wait."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backend.domain.answer import Answers, answers_of
from backend.domain.attention import Contact, Contacts, forgetting, with_contact
from backend.domain.budget import needed_by
from backend.domain.calendar import LocalDelay, local_until, zone_of
from backend.domain.condition import HistoryNeeded, Moment
from backend.domain.decide import Gate, HeldOut, Saying, Setting, dealt_to, decide
from backend.domain.engine.call_out import promised, why_not_called
from backend.domain.engine.hops import hops_of
from backend.domain.engine.noted import noted
from backend.domain.engine.result import Collision, PastNeeded
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.exposure import Exposure, attended_until, find, session_at, with_exposure
from backend.domain.fact import facts_of
from backend.domain.goal import still_open
from backend.domain.identity import derive
from backend.domain.message import ON_SITE, Message
from backend.domain.past import LAST_OF_MOMENT
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import SENT
from backend.domain.rule.compiled import BranchOp, CallOutOp, DelayOp, EmitOp, JumpOp, SayOp, SplitOp, WaitOp
from backend.domain.session import GAP
from backend.domain.shelf import ProductNeeded
from backend.domain.template import Template, TemplateError, render, template_context
from backend.domain.unmerge import home_of
from backend.domain.variant import assign

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

FINAL = frozenset({"rule_paused", "not_matching", "holdout", "loop_guard"})
"""Reasons for which a journey ends; after all others it goes on with its next step."""


class Steps:
    """Runs programs within one walk."""

    def __init__(self, walk: "Walk") -> None:
        self.walk = walk

    def fire(self, enrolment: Enrolment) -> None:
        """An enrolment is due: a waiting that nothing ended is over, everything else goes on."""
        walk = self.walk
        rule = walk.ruleset.rule_of(enrolment.rule_id, enrolment.rule_version)
        if rule is None:
            walk.end(enrolment, "rule_paused", enrolment.due_at)
            return
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
            enrolment = noted(enrolment, event.timestamp, "wait", "came", detail=event.name)
            self.go(enrolment.but(position=op.then, waits=False), rule, event.timestamp)

    def go(self, enrolment: Enrolment, rule: CompiledRule, at: datetime) -> None:
        """Runs the program from where the enrolment stands, until it must wait or is done."""
        try:
            self._go(enrolment, rule, at)
        except HistoryNeeded as needed:
            raise PastNeeded.by(needed, (rule,), at) from needed
        except (PastNeeded, ProductNeeded):
            raise
        except Exception as error:
            self.walk.fail(enrolment, at, error)

    def _go(self, enrolment: Enrolment, rule: CompiledRule, at: datetime) -> None:
        program = rule.program
        if enrolment.waits:
            enrolment = self._timed_out(enrolment, rule, at)
        while enrolment.position < len(program):
            op, following = program[enrolment.position], enrolment.position + 1
            if isinstance(op, SayOp):
                said = self._say(enrolment, rule, op, at)
                if said is None:
                    return
                enrolment = said.but(position=following)
            elif isinstance(op, DelayOp):
                due = self._due(op.span, at)
                if due > at:
                    self.walk.keep(enrolment.but(position=following, due_at=due))
                    return
                enrolment = enrolment.but(position=following)
            elif isinstance(op, JumpOp):
                enrolment = enrolment.but(position=op.to)
            elif isinstance(op, BranchOp):
                holds = op.test(self._moment(enrolment, at))
                enrolment = enrolment.but(position=following if holds else op.otherwise)
            elif isinstance(op, SplitOp):
                person = self.walk.result.profile.person or self.walk.result.profile.id
                arm = assign(f"{rule.id}/{op.name}", person, op.arms)
                assert arm is not None
                enrolment = noted(enrolment, at, op.name, arm.name)
                enrolment = enrolment.but(position=op.starts[arm.name])
            elif isinstance(op, EmitOp):
                enrolment = self._emit(enrolment.but(position=following), rule, op, at)
            elif isinstance(op, CallOutOp):
                enrolment = self._call_out(enrolment.but(position=following), rule, op, at)
            elif op.until is not None and op.until(self._moment(enrolment, at)):
                enrolment = enrolment.but(position=op.then)
            elif op.timeout <= timedelta(0):
                enrolment = enrolment.but(position=op.otherwise)
            else:
                self.walk.keep(enrolment.but(waits=True, due_at=at + op.timeout))
                return
        last = enrolment.notes[-1] if enrolment.notes else None
        self.walk.end(enrolment, last.reason if last is not None and last.result == "skipped" else None, at)

    def _timed_out(self, enrolment: Enrolment, rule: CompiledRule, at: datetime) -> Enrolment:
        """A waiting whose time is over goes the other way; unless its condition has come true by the mere clock."""
        op = rule.program[enrolment.position] if enrolment.position < len(rule.program) else None
        if not isinstance(op, WaitOp):
            return enrolment.but(waits=False)
        came = op.until is not None and op.until(self._moment(enrolment, at))
        enrolment = noted(enrolment, at, "wait", "came" if came else "timeout")
        return enrolment.but(position=op.then if came else op.otherwise, waits=False)

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
        ruleset, spoken = walk.ruleset, self._spoken(at)
        if op.name and op.name in enrolment.said:
            return _passed(noted(enrolment, at, op.name, "skipped", "already_sent"))
        setting = Setting(
            site=ruleset.site, limits=ruleset.limits, winners=ruleset.winners, spoken=spoken, shelf=ruleset.shelf
        )
        verdict = decide(setting, rule, op, self._moment(enrolment, at), enrolment.trigger)
        if isinstance(verdict, Saying):
            return self._said(enrolment, rule, op, verdict, at)
        if isinstance(verdict, HeldOut):
            # Were it asked about twice, it would be one message: so its id is made like a message's.
            message_id = derive("held out", enrolment.id, *((op.name,) if op.name else ()))
            self._remember(rule, op, message_id, "", verdict.variant, spoken)
            verdict = verdict.gate
        if verdict.by:
            walk.result.collisions.append(Collision(rule.id, verdict.by, at))
        if verdict.reason in {"cap", "quiet_hours"} and _may_wait(rule, verdict):
            until = verdict.until if verdict.until is not None else spoken + GAP
            if until <= (enrolment.deferred_at or at) + op.message.expires_after:
                held = noted(enrolment, at, op.name, "deferred", verdict.reason, verdict.detail)
                since = enrolment.deferred_at or at
                walk.keep(held.but(due_at=until, deferred=verdict.reason, deferred_at=since))
                return None
        if op.name == "" or verdict.reason in FINAL:
            walk.end(enrolment, verdict.reason, at)
            return None
        return _passed(noted(enrolment, at, op.name, "skipped", verdict.reason, verdict.detail))

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
            content=_shown_as(saying.content, op.message.display),
            created_at=created,
            expires_at=expires,
            due_at=created if way.channel not in ON_SITE else created + fallback if fallback is not None else expires,
            anonymous_id=enrolment.trigger.anonymous_id,
            address=way.address,
            step=op.name,
        )
        walk.result.messages.append(message)
        spoken = self._spoken(at)
        self._remember(rule, op, message.id, way.channel, message.variant, spoken, answers_of(message.content))
        if SENT in walk.ruleset.events:
            hops = hops_of(enrolment.trigger) + 1
            told = {"message_id": message.id, "channel": way.channel}
            walk.queue.append(walk.signal(SENT, at, rule.id, message.id, hops=hops, **told))
        if op.name:
            enrolment = noted(enrolment, at, op.name, "sent", detail=way.channel)
        return enrolment.but(
            variant=message.variant,
            channel=message.channel,
            message_id=message.id,
            deferred=None,
            deferred_at=None,
            said=(*enrolment.said, op.name) if op.name else (),
        )

    def _spoken(self, at: datetime) -> datetime:
        """The moment that counts for caps and quiet hours: now, where what is due was not looked at for too long."""
        walk = self.walk
        if walk.now is not None and walk.now - at > walk.ruleset.site.policy.max_event_age:
            return walk.now
        return at

    def _remember(
        self,
        rule: CompiledRule,
        op: SayOp,
        message_id: str,
        channel: str,
        variant: str,
        at: datetime,
        answers: Answers | None = None,
    ) -> None:
        """Keeps in mind that this was said, or would have been."""
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
            answers=answers,
        )
        contacts, forgotten = forgetting(with_contact(profile.contacts, contact), self._needed)
        self.walk.result.forgotten += forgotten
        profile.__dict__["contacts"] = contacts
        if find(profile.exposures, rule.id, op.name) is None:
            exposure = Exposure(
                rule_id=rule.id,
                step=op.name,
                variant=variant,
                channel=channel,
                at=at,
                person=dealt_to(profile, None),
                test=op.test if contact.said else "",
                last=session_at(profile.session_spans, at),
            )
            profile.__dict__["exposures"] = exposures = with_exposure(profile.exposures, exposure)
            profile.__dict__["attended_until"] = attended_until(exposures)

    def _needed(self, contacts: Contacts) -> set[str]:
        ruleset = self.walk.ruleset
        rules = {rule_id: ruleset.by_id.get(rule_id) for rule_id in {each.rule_id for each in contacts}}
        own = {rule_id: rule.rule.spec.limits.caps for rule_id, rule in rules.items() if rule is not None}
        goals = {rule_id: rule.goal for rule_id, rule in rules.items() if rule is not None and rule.goal is not None}
        return needed_by(ruleset.limits.caps, own, contacts) | still_open(goals, contacts)

    def _emit(self, enrolment: Enrolment, rule: CompiledRule, op: EmitOp, at: datetime) -> Enrolment:
        """Reports an event on behalf of who led to it, or sets their traits: an event like any other of theirs."""
        walk, trigger = self.walk, enrolment.trigger
        name = op.event or "Identify"
        try:
            values = _rendered(op.values, self._context(trigger, at, op))
        except TemplateError as error:
            return noted(enrolment, at, name, "skipped", "missing_value", str(error))
        profile, home = walk.result.profile, home_of(enrolment, walk.result.profile)
        event = Event(
            message_id=derive("emitted", enrolment.id, str(enrolment.rule_version), str(enrolment.position)),
            name=name,
            type="track" if op.event is not None else "identify",
            timestamp=at,
            received_at=walk.now if walk.now is not None else at,
            order=min(trigger.order + 1, LAST_OF_MOMENT),
            anonymous_id=trigger.anonymous_id,
            user_id=profile.user_id if home == profile.id else trigger.user_id,
            properties=values if op.event is not None else {},
            traits=values if op.event is None else {},
            context={"chimein": {"rule": rule.id, "hops": hops_of(trigger) + 1}},
        )
        walk.result.emitted.append(event)
        walk.result.homes.append(home)
        walk.past.add(event)
        walk.queue.append(event)
        return noted(enrolment, at, name, "reported")

    def _call_out(self, enrolment: Enrolment, rule: CompiledRule, op: CallOutOp, at: datetime) -> Enrolment:
        """Promises a webhook and goes on at once: its answer is nobody's business here."""
        walk = self.walk
        now = walk.now if walk.now is not None else at
        context, site = self._context(enrolment.trigger, at, op), walk.ruleset.site
        try:
            webhook = promised(enrolment, rule.rule, op, walk.result.profile, context, site=site, at=at, now=now)
        except ValueError as error:
            return noted(enrolment, at, op.name, "skipped", why_not_called(error), str(error))
        walk.result.webhooks.append(webhook)
        return noted(enrolment, at, op.name, "promised", detail=f"webhook {webhook.id}")

    def _context(self, trigger: Event, at: datetime, op: EmitOp | CallOutOp) -> Mapping[str, Any]:
        ruleset = self.walk.ruleset
        site, profile = ruleset.site, self.walk.result.profile
        facts = facts_of(profile, at, ruleset.standards, self.walk.past, op.facts)
        return template_context(
            profile, trigger, site.name, site.currency, facts, shelf=ruleset.shelf, asked=op.product
        )


def _passed(enrolment: Enrolment) -> Enrolment:
    """The enrolment behind a message that it does not wait for any more."""
    return enrolment.but(deferred=None, deferred_at=None) if enrolment.deferred is not None else enrolment


def _shown_as(content: Mapping[str, Any], display: str | None) -> Mapping[str, Any]:
    """The content, with the way in which a pop-up is to come into sight where the rule says one."""
    return content if display is None else {**content, "display": display}


def _may_wait(rule: CompiledRule, verdict: Gate) -> bool:
    if verdict.reason == "quiet_hours":
        return verdict.until is not None
    return rule.rule.spec.limits.overflow == "defer"


def _rendered(values: Mapping[str, Template | Any], context: Mapping[str, Any]) -> dict[str, Any]:
    return {key: render(each, context) if isinstance(each, Template) else each for key, each in values.items()}
