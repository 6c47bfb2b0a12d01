"""From a rule to something that runs: conditions become functions, steps a program, triggers names to listen to."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from backend.domain.calendar import next_occurrence, zone_of
from backend.domain.condition import Condition, Moment, SharedTests, lookback, needed_history
from backend.domain.condition.compile import always
from backend.domain.condition.cost import conjuncts, cost_of
from backend.domain.condition.fields import dig_event
from backend.domain.condition.values import same
from backend.domain.event import SIGNAL, Event
from backend.domain.fact import FACTS, Standards
from backend.domain.profile import NAME_LIMIT, Profile
from backend.domain.rule.compiled import (
    CallOutOp,
    CompiledGoal,
    CompiledRule,
    EmitOp,
    Part,
    Program,
    SayOp,
    Test,
    Watch,
)
from backend.domain.rule.model import Branch, Cancel, Goal, Rule, RuleSpec, Split, Steps, Wait
from backend.domain.rule.program import compile_cancels, compile_program, compile_test
from backend.domain.rule.replenish import replenishment_watch
from backend.domain.rule.trigger import (
    ANY_VALUE,
    ApiTrigger,
    BroadcastTrigger,
    DateTrigger,
    EventTrigger,
    InactiveTrigger,
    MessageTrigger,
    ProductTrigger,
    ReplenishmentTrigger,
    SegmentTrigger,
    SessionTrigger,
    StageTrigger,
    TraitTrigger,
)
from backend.domain.shopping import EVENT_OF, concerns

LONGEST_KEY = 100
REPORTS = {
    "shown": "Message Shown",
    "clicked": "Message Clicked",
    "replied": "Message Replied",
    "dismissed": "Message Dismissed",
    "answered": "Message Answered",
}
"""What became of a message, and the event by which the page reports it."""

SENT = "Message Sent"
TRIGGERED = "Rule Triggered"
BROADCAST = "Broadcast"
OF_PRODUCTS = {"price_dropped": "Price Dropped", "back_in_stock": "Back In Stock", "low_stock": "Low Stock"}
"""What became of a product, and the signal by which a visitor with an interest in it is told."""


def compile_rule(rule: Rule, shared: SharedTests | None = None) -> CompiledRule:
    """Make a rule ready to run; a rule that parsed always compiles.

    With `shared`, what many rules of a site ask alike is asked once for each event.
    """
    spec = rule.spec
    conditions = list(_conditions(spec))
    trigger = _trigger(rule, shared)
    program, starts = compile_program(spec)
    return CompiledRule(
        rule=rule,
        **trigger,
        audience=compile_test(spec.audience, shared),
        parts=tuple(_parts(spec, trigger["where"], shared)),
        cancels=compile_cancels(_cancels(spec)),
        key_of=_key(spec),
        program=program,
        starts=starts,
        goal=_goal(spec.goal),
        **_history(conditions, spec, program),
    )


def _history(conditions: list[Condition | None], spec: RuleSpec, program: Program) -> dict[str, Any]:
    """What the rule may ask of the past, as fields of `CompiledRule`: by its conditions, its trigger, and its texts."""
    names, spans = frozenset().union(*map(needed_history, conditions)), dict(lookback(conditions))
    trigger = spec.trigger
    if isinstance(trigger, ProductTrigger):
        for name in _shown_by(trigger):
            if name not in names or name in spans:
                spans[name] = max(trigger.within, spans.get(name, timedelta(0)))
        names |= _shown_by(trigger)
    for name, span in _asked_by_texts(program).items():
        if name not in names or name in spans:
            spans[name] = max(span, spans.get(name, span))
        names |= {name}
    return {"history": names, "lookback": spans}


def _asked_by_texts(program: Program) -> Mapping[str, timedelta]:
    """The events that facts in texts are made of, and how far back."""
    facts = {fact for op in program if isinstance(op, SayOp | EmitOp | CallOutOp) for fact in op.facts}
    found: dict[str, timedelta] = {}
    for fact in facts & FACTS.keys():
        for name, span in FACTS[fact].asks.items():
            found[name] = max(span, found.get(name, span))
    return found


def _goal(goal: Goal | None) -> CompiledGoal | None:
    if goal is None:
        return None
    return CompiledGoal(
        event=goal.event, where=compile_test(goal.where), within=goal.within, basis=goal.basis, value=goal.value
    )


def key_text(value: object) -> str | None:
    """A key as text: `5` and `"5"` are one key; None for what is no single value. Long ones are cut and hashed."""
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > LONGEST_KEY:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{text[: LONGEST_KEY - 33]}~{digest}"
    return text


def _trigger(rule: Rule, shared: SharedTests | None) -> dict[str, Any]:
    """What the rule listens to, as the fields of `CompiledRule`."""
    trigger = rule.spec.trigger
    match trigger:
        case EventTrigger():
            return {"event": trigger.event, "where": compile_test(trigger.where, shared)}
        case StageTrigger():
            return {"stage": trigger.stage, "where": always}
        case SegmentTrigger():
            return {"segment": (trigger.segment, trigger.entered), "where": always}
        case TraitTrigger():
            return {"trait": trigger.trait, "where": always, "change": _change(trigger)}
        case SessionTrigger():
            return {"session": True, "where": _returning if trigger.returning else always}
        case InactiveTrigger():
            return {"watch": _pause(trigger), "where": always}
        case DateTrigger():
            return {"watch": _date(trigger), "where": always}
        case ReplenishmentTrigger():
            return {"watch": replenishment_watch(trigger), "where": always}
        case MessageTrigger(moment="sent" | "not_shown"):
            return {"event": SENT, "where": _own_signal(trigger.rule_id)}
        case MessageTrigger():
            return {"event": REPORTS[trigger.moment], "where": _report_on(trigger.rule_id)}
        case ProductTrigger():
            return {"event": OF_PRODUCTS[trigger.change], "where": _interested(trigger, _own_signal(rule.id))}
        case ApiTrigger():
            return {"event": TRIGGERED, "where": _own_signal(rule.id)}
        case BroadcastTrigger():
            return {"event": BROADCAST, "where": _to_members(_own_signal(rule.id), trigger.segment)}


def _parts(spec: RuleSpec, where: Test, shared: SharedTests | None) -> Iterator[Part]:
    """What must hold for the rule to start, each part by itself."""
    if isinstance(spec.trigger, EventTrigger):
        for part in conjuncts(spec.trigger.where):
            yield _part(part, shared, of_trigger=True)
    elif where is not always:
        yield Part(test=where, cost=1)
    for part in conjuncts(spec.audience):
        yield _part(part, shared)


def _part(condition: Condition, shared: SharedTests | None, *, of_trigger: bool = False) -> Part:
    """One part; whoever asks it asks it once a moment, so that nothing need remember the answer."""
    return Part(
        test=compile_test(condition) if shared is None else shared.plain(condition, compile_test),
        cost=cost_of(condition),
        key=repr(condition),  # not the condition itself: true equals 1 there
        condition=condition,
        of_trigger=of_trigger,
    )


def _own_signal(rule_id: str) -> Test:
    """Only what the engine itself said of this rule: a page may report events of any name."""

    def test(m: Moment) -> bool:
        event = m.event
        return event is not None and event.type == SIGNAL and event.properties.get("rule_id") == rule_id

    return test


def _to_members(told: Test, segment: str | None) -> Test:
    """Only of members, where a segment is named."""
    return told if segment is None else lambda m: told(m) and m.profile.is_in(segment)


def _shown_by(trigger: ProductTrigger) -> frozenset[str]:
    """The events that tell whether somebody has this interest in a product, and whether it is satisfied."""
    return frozenset({*(EVENT_OF[each] for each in trigger.interests), EVENT_OF["bought"]})


def _interested(trigger: ProductTrigger, told: Test) -> Test:
    """Only those who showed that interest lately, and have not bought it since."""
    showing = [EVENT_OF[each] for each in trigger.interests]

    def last(m: Moment, name: str, product_id: str) -> datetime | None:
        counts, known, since = m.profile.counts, m.profile.last_at.get(name), m.at - trigger.within
        if (name not in counts and len(counts) < NAME_LIMIT) or (known is not None and known <= since):
            return None
        found = reversed(m.history.of(name, since))
        return next((each.timestamp for each in found if each.timestamp > since and concerns(each, product_id)), None)

    def test(m: Moment) -> bool:
        if not told(m) or m.event is None:
            return False
        product_id = str(m.event.properties.get("product_id"))
        shown = max(filter(None, (last(m, name, product_id) for name in showing)), default=None)
        if shown is None:
            return False
        bought = last(m, EVENT_OF["bought"], product_id)
        return bought is None or bought < shown

    return test


def _report_on(rule_id: str) -> Test:
    """Whether the report is about a message of this rule."""

    def test(m: Moment) -> bool:
        told = m.event.properties.get("message_id") if m.event is not None else None
        return any(each.message_id == told and each.rule_id == rule_id for each in m.profile.contacts)

    return test


def _returning(m: Moment) -> bool:
    return m.profile.sessions > 1


def _change(trigger: TraitTrigger) -> Callable[[Any, Any], bool]:
    def fits(before: Any, after: Any) -> bool:
        return (trigger.to is ANY_VALUE or same(after, trigger.to) or (trigger.to is None and after is None)) and (
            trigger.before is ANY_VALUE or same(before, trigger.before) or (trigger.before is None and before is None)
        )

    return fits


def _pause(trigger: InactiveTrigger) -> Watch:
    def following(profile: Profile, after: datetime | None, _zone: str, _: Standards) -> datetime | None:
        if profile.last_seen is None:
            return None
        moment = profile.last_seen + trigger.span
        return moment if after is None or moment > after else None

    return Watch(name="Inactive", next=following)


def _date(trigger: DateTrigger) -> Watch:
    def following(profile: Profile, after: datetime | None, zone: str, _: Standards) -> datetime | None:
        told, since = profile.traits.get(trigger.trait), after or profile.first_seen
        if told is None or since is None:
            return None
        here = zone_of(profile.device.timezone, zone)
        return next_occurrence(told, trigger.offset_days, trigger.at, trigger.yearly, since, here)

    return Watch(name="Date Reached", next=following)


def _cancels(spec: RuleSpec) -> tuple[Cancel, ...]:
    """What ends an enrolment; where it waits to see that a message is not shown, that it was."""
    trigger = spec.trigger
    if isinstance(trigger, MessageTrigger) and trigger.moment == "not_shown":
        seen = (Cancel(event=name, same=("properties", "message_id")) for name in ("Message Shown", "Message Clicked"))
        return (*spec.cancel, *seen)
    return spec.cancel


def _conditions(spec: RuleSpec) -> Iterator[Condition | None]:
    if isinstance(spec.trigger, EventTrigger):
        yield spec.trigger.where
    yield spec.audience
    yield from (cancel.where for cancel in spec.cancel)
    yield spec.goal.where if spec.goal is not None else None
    yield from _step_conditions(spec.steps)


def _step_conditions(steps: Steps) -> Iterator[Condition | None]:
    for step in steps:
        match step:
            case Wait():
                yield step.until
                yield from (event.where for event in step.events)
                yield from _step_conditions((*step.then, *step.otherwise))
            case Branch():
                yield step.condition
                yield from _step_conditions((*step.then, *step.otherwise))
            case Split():
                for arm in step.arms:
                    yield from _step_conditions(arm.steps)


def _key(spec: RuleSpec) -> Callable[[Event], str | None]:
    """By what enrolments are told apart: what the rule says, and each product by itself where the trigger is one."""
    path = spec.reentry.key
    if path is None and isinstance(spec.trigger, ProductTrigger):
        path = ("properties", "product_id")
    if path is None:
        return lambda _event: ""
    return lambda event: key_text(dig_event(event, path))
