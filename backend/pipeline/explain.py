"""The step `explain`: every gate of a rule for one visitor, as of now, each with its verdict and why."""

from dataclasses import replace
from datetime import datetime

from backend.domain.condition import Moment
from backend.domain.condition.why import why_not
from backend.domain.decide import Gate, Setting, gates
from backend.domain.engine import denial_of
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, Rule, SiteLimits, compile_rule
from backend.domain.rule.compiled import SayOp
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.storage import contests, enrolments, events, visitors


def explain(rt: Runtime, site: Site, rule: Rule, profile: Profile) -> list[dict[str, object]]:
    """Each gate as `{"gate", "open", "reason", "detail"}`, in the order in which they are asked."""
    compiled = compile_rule(rule)
    now = rt.clock()
    members = visitors.members_of(profile)
    names = set(compiled.history) | ({compiled.event} if compiled.event else set())
    with rt.db.read() as connection:
        entered = [each for each in enrolments.of_visitors(connection, members) if each.rule_id == rule.id]
        past = Past(by_name((event for _, event in events.history(connection, members, names)), names))
        winners = contests.winners(connection, site.id).get(site.id, {})
    trigger = _trigger_gate(compiled, site, profile, past, now)
    waiting = [each for each in entered if each.waiting]
    event = waiting[-1].trigger if waiting else trigger[1] or (entered[-1].trigger if entered else None)
    moment = Moment(
        profile=profile,
        at=now,
        event=event,
        entered=event.moment if event is not None else None,
        history=past,
        zone_name=site.timezone,
    )
    verdicts = [trigger[0], _reentry_gate(compiled, entered, event, now)]
    op = _next_saying(compiled, waiting[-1].position if waiting else 0)
    setting = Setting(site=site, limits=SiteLimits.of(site.policy), winners=winners)
    asked = gates(setting, compiled, op, moment, event)
    verdicts.extend(_told(gate, rule, moment) for gate in asked if isinstance(gate, Gate))
    return [{"gate": each.name, "open": each.open, "reason": each.reason, "detail": each.detail} for each in verdicts]


def _next_saying(rule: CompiledRule, position: int) -> SayOp | None:
    """The message that comes next from this place in the program, as far as it can be told; else the last."""
    sayings = [(place, op) for place, op in enumerate(rule.program) if isinstance(op, SayOp)]
    following = [op for place, op in sayings if place >= position]
    return following[0] if following else sayings[-1][1] if sayings else None


def _told(gate: Gate, rule: Rule, moment: Moment) -> Gate:
    """The gate with the values that it read, where it is closed and they tell more than its reason."""
    if gate.open:
        return gate
    if gate.name == "audience" and rule.spec.audience is not None:
        return replace(gate, detail=" ".join(why_not(rule.spec.audience, moment)))
    if gate.name == "template" and moment.event is None:
        return replace(gate, detail=f"{gate.detail} The trigger has not happened, so nothing is known of its event.")
    return gate


def _trigger_gate(
    rule: CompiledRule, site: Site, profile: Profile, past: Past, now: datetime
) -> tuple[Gate, Event | None]:
    """Whether the trigger ever happened, and the last event that was one."""
    if rule.event is None:
        return _other_trigger(rule, site, profile, now), None
    for event in reversed(past.of(rule.event)):
        past.cut = event.moment
        moment = Moment(profile=profile, at=event.timestamp, event=event, entered=event.moment, history=past)
        fits = rule.where(moment)
        past.cut = None
        if fits:
            return Gate("trigger", True, None, f"{rule.event} happened last at {_written(event.timestamp)}."), event
    return Gate("trigger", False, None, f"{rule.event}, as the rule asks for it, has not happened."), None


def _other_trigger(rule: CompiledRule, site: Site, profile: Profile, now: datetime) -> Gate:
    if rule.stage is not None:
        told = f"The stage is {profile.stage}; the rule starts at {rule.stage}."
        return Gate("trigger", profile.stage == rule.stage, None, told)
    if rule.trait is not None:
        at = profile.trait_times.get(rule.trait)
        value = profile.traits.get(rule.trait)
        told = f"{rule.trait} is {value!r}, told at {_written(at)}." if at else f"{rule.trait} was never told."
        return Gate("trigger", at is not None, None, told)
    if rule.watch is not None:
        following = rule.watch.next(profile, profile.woken_at, site.timezone)
        told = f"It comes at {_written(following)}." if following else "No such moment lies ahead."
        return Gate("trigger", following is not None and following <= now, None, told)
    return Gate("trigger", profile.sessions > 0, None, f"{profile.sessions} sessions so far.")


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
        return Gate("reentry", False, denial, f"An enrolment waits until {_written(held.due_at)}{why}.")
    told = f"Entered {len(entered)} times; the last ended as {last.outcome}"
    told += f" ({last.reason})." if last.reason else "."
    return Gate("reentry", denial is None, denial, told)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
