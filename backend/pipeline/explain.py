"""The step `explain`: every gate of a rule for one visitor, as of now, each with its verdict and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backend.domain.calendar import written
from backend.domain.condition import Moment
from backend.domain.decide import Gate, Setting, gates
from backend.domain.engine import denial_of
from backend.domain.engine.move import move
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.fact import Standards
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.profile import Standing as SegmentStanding
from backend.domain.reach import reach
from backend.domain.rule import CompiledRule, Rule, SiteLimits, compile_rule
from backend.domain.rule.compiled import SayOp
from backend.domain.shelf import Shelf
from backend.domain.site import Site
from backend.domain.standing import Standing, standing
from backend.domain.telling import Telling
from backend.domain.unsubscribe import Subscription
from backend.pipeline.desk import Watch
from backend.pipeline.rulesets import former
from backend.pipeline.shelve import asking_products
from backend.runtime import Runtime
from backend.storage import contests, enrolments, events, intervals, unsubscribes, visitors
from backend.storage.database import Connection
from backend.storage.vault import Vault


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Every gate in order, of the version in which the visitor is; their latest enrolment, and where it stands.

    `denied` is the last trigger and the reason of re-entry, where it started nothing.
    """

    gates: Sequence[Gate]
    rule_version: int
    enrolment: Enrolment | None
    standing: Standing | None
    denied: tuple[Event, str | None] | None


def explain(rt: Runtime, site: Site, rule: Rule, profile: Profile) -> Explanation:
    """Why the rule would say something to this visitor now, or would not."""
    now = rt.clock()
    members = visitors.members_of(profile)
    with rt.db.read() as connection:
        entered = [each for each in enrolments.of_visitors(connection, members) if each.rule_id == rule.id]
        alive = next((each for each in reversed(entered) if each.waiting), None)
        compiled, waiting = _as_it_goes_on(connection, rule, alive, now)
        names = set(compiled.history) | ({compiled.event} if compiled.event else set())
        past = Past(by_name((event for _, event in events.history(connection, members, names)), names))
        winners = contests.winners(connection, site.id).get(site.id, {})
        standards = Standards.of(site.policy, intervals.of_site(connection, site.id))
    triggered, trigger = _trigger_gate(compiled, site, profile, past, now, standards)
    event = waiting.trigger if waiting else trigger or (entered[-1].trigger if entered else None)
    moment = Moment(
        profile=profile,
        at=now,
        event=event,
        entered=event.moment if event is not None else None,
        history=past,
        zone_name=site.timezone,
        standards=standards,
        somebody=Watch(rt).somebody(site.id),
    )
    verdicts = [triggered, _reentry_gate(compiled, entered, event, now)]
    op = _next_saying(compiled, waiting.position if waiting else 0)
    limits = SiteLimits.of(site.policy)
    told = Telling(site=site, limits=limits, rule=compiled, op=op, moment=moment)
    setting = Setting(site=site, limits=limits, winners=winners, shelf=Shelf())
    with rt.db.read() as connection:
        asked = asking_products(
            connection, site.id, setting.shelf, lambda: [*gates(setting, compiled, op, moment, event)]
        )
    verdicts.extend(told.of(gate) for gate in asked if isinstance(gate, Gate))
    with rt.db.read() as connection:
        verdicts.extend(_refusals(connection, rt.sites.vault, site, profile, op))
    last = waiting or (entered[-1] if entered else None)
    return Explanation(
        gates=verdicts,
        rule_version=compiled.rule.version,
        enrolment=last,
        standing=standing(compiled, waiting) if waiting else None,
        denied=_denied(compiled, entered, trigger),
    )


def _as_it_goes_on(
    connection: Connection, rule: Rule, waiting: Enrolment | None, now: datetime
) -> tuple[CompiledRule, Enrolment | None]:
    """The version by which somebody who is in the rule goes on, and where; nowhere where nothing follows."""
    present = compile_rule(rule)
    if waiting is None:
        return present, None
    own, later = (
        present if version == rule.version else former(connection, rule, version)
        for version in (waiting.rule_version, max(waiting.rule_version, rule.moved_to))
    )
    if own is None or later is None:
        return present, None
    return later, waiting if own.rule.version == later.rule.version else move(waiting, own, later, now)


def _denied(rule: CompiledRule, entered: Sequence[Enrolment], trigger: Event | None) -> tuple[Event, str | None] | None:
    """The last trigger, if it started nothing, and why not, as far as re-entry tells."""
    if trigger is None or any(each.trigger.message_id == trigger.message_id for each in entered):
        return None
    key = rule.key_of(trigger)
    if key is None:
        return trigger, "per_key"
    then = [
        replace(each, outcome=None) if each.at is None or each.at > trigger.timestamp else each
        for each in entered
        if each.entered_at <= trigger.timestamp
    ]
    return trigger, denial_of(rule.rule.spec.reentry, then, key, trigger.timestamp)


def _refusals(connection: Connection, vault: Vault, site: Site, profile: Profile, op: SayOp | None) -> Iterator[Gate]:
    """An address that took its leave, or does not exist: asked only when a mail is about to leave."""
    way = reach(profile, op.message.channels, site.policy) if op is not None else "no_address"
    if isinstance(way, str) or way.channel != "email" or way.address is None:
        return
    reason = unsubscribes.reason(connection, Subscription.email(site.id, way.address), vault)
    if reason is not None:
        yield Gate("address", False, "unsubscribed", f"{way.address} is not written to: {reason}.")


def _next_saying(rule: CompiledRule, position: int) -> SayOp | None:
    """The message that comes next from this place in the program, as far as it can be told; else the last."""
    sayings = [(place, op) for place, op in enumerate(rule.program) if isinstance(op, SayOp)]
    following = [op for place, op in sayings if place >= position]
    return following[0] if following else sayings[-1][1] if sayings else None


def _trigger_gate(
    rule: CompiledRule, site: Site, profile: Profile, past: Past, now: datetime, standards: Standards
) -> tuple[Gate, Event | None]:
    """Whether the trigger ever happened, and the last event that was one."""
    if rule.event is None:
        return _other_trigger(rule, site, profile, now, standards), None
    for event in reversed(past.of(rule.event)):
        past.cut = event.moment
        moment = Moment(
            profile=profile,
            at=event.timestamp,
            event=event,
            entered=event.moment,
            history=past,
            zone_name=site.timezone,
            standards=standards,
        )
        fits = rule.where(moment)
        past.cut = None
        if fits:
            return Gate("trigger", True, None, f"{rule.event} happened last at {written(event.timestamp)}."), event
    return Gate("trigger", False, None, f"{rule.event}, as the rule asks for it, has not happened."), None


def _other_trigger(rule: CompiledRule, site: Site, profile: Profile, now: datetime, standards: Standards) -> Gate:
    if rule.stage is not None:
        told = f"The stage is {profile.stage}; the rule starts at {rule.stage}."
        return Gate("trigger", profile.stage == rule.stage, None, told)
    if rule.segment is not None:
        return _segment_gate(profile, *rule.segment)
    if rule.trait is not None:
        at = profile.trait_times.get(rule.trait)
        value = profile.traits.get(rule.trait)
        told = f"{rule.trait} is {value!r}, told at {written(at)}." if at else f"{rule.trait} was never told."
        return Gate("trigger", at is not None, None, told)
    if rule.watch is not None:
        following = rule.watch.next(profile, profile.woken_at, site.timezone, standards)
        told = f"It comes at {written(following)}." if following else "No such moment lies ahead."
        return Gate("trigger", following is not None and following <= now, None, told)
    return Gate("trigger", profile.sessions > 0, None, f"{profile.sessions} sessions so far.")


def _segment_gate(profile: Profile, segment_id: str, entered: bool) -> Gate:
    standing = profile.segments.get(segment_id, SegmentStanding())
    if standing.entered_at is not None:
        told = f"Member since {written(standing.entered_at)}."
    else:
        told = f"Left at {written(standing.left_at)}." if standing.left_at is not None else "Never was a member."
    return Gate("trigger", (standing.entered_at if entered else standing.left_at) is not None, None, told)


def _reentry_gate(rule: CompiledRule, entered: list[Enrolment], trigger: Event | None, now: datetime) -> Gate:
    """What became of this visitor's enrolments, and whether the policy would let another begin now."""
    key = rule.key_of(trigger) if trigger is not None else ""
    if key is None:
        return Gate("reentry", False, "per_key", "The trigger does not carry the key.")
    if not entered:
        return Gate("reentry", True, None, "Never entered.")
    last = entered[-1]
    denial = denial_of(rule.rule.spec.reentry, entered, key, now)
    if denial == "live":
        held = next(each for each in entered if each.waiting and each.key == key)
        why = f" ({held.deferred})" if held.deferred else ""
        return Gate("reentry", False, denial, f"An enrolment waits until {written(held.due_at)}{why}.")
    times = "Entered once; it" if len(entered) == 1 else f"Entered {len(entered)} times; the last"
    told = f"{times} ended as {last.outcome}"
    told += f" ({last.reason})." if last.reason else "."
    return Gate("reentry", denial is None, denial, told)
