"""Which rules start one another in a circle? By their messages, the events that they report and the traits they set."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from backend.domain.condition.fields import dig_event
from backend.domain.condition.values import same
from backend.domain.event import Event
from backend.domain.message import ON_SITE
from backend.domain.rule.acts import Act, acts_of
from backend.domain.rule.compile import REPORTS, SENT, key_text
from backend.domain.rule.model import ZERO, Emit, Rule, Say, SetTrait
from backend.domain.rule.surely import UNKNOWN, may_hold, unknown
from backend.domain.rule.trigger import (
    ANY_VALUE,
    DateTrigger,
    EventTrigger,
    InactiveTrigger,
    MessageTrigger,
    SessionTrigger,
    TraitTrigger,
)
from backend.domain.session import GAP

SHORTEST = timedelta(seconds=30)
"""A circle that may come round in less time is refused, however often the rules let somebody enter."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_BY_HAND = frozenset({"clicked", "replied", "dismissed", "answered"})
"""What becomes of a message only where a person does something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One rule starts another: `how` in words, at the earliest so long after its own start.

    `free`: nothing but the rules themselves is needed for it to happen again and again; no person who clicks, no other
    value of a trait, no key that was not there before.
    """

    source: str
    target: str
    how: str
    after: timedelta
    free: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Cycle:
    """A circle of rules, in order, the first one again at the end; `endless`: nothing in it ends it soon."""

    names: tuple[str, ...]
    hows: tuple[str, ...]
    takes: timedelta
    endless: bool
    why: str

    def __str__(self) -> str:
        way = f'"{self.names[0]}"'
        for how, name in zip(self.hows, self.names[1:], strict=True):
            way += f' → ({how}) "{name}"'
        return f"{way}. {self.why}"


Links: TypeAlias = Mapping[str, Sequence[Link]]


def find_cycle(rule: Rule, others: Iterable[Rule]) -> Cycle | None:
    """The worst circle through this rule among those that are active beside it; None where there is none.

    Endless is one in which no rule lets a person enter only once, and which may come round in under 30 s or has no
    rule that caps its entries. Others are slow, capped or end by themselves.
    """
    rules = {each.id: each for each in others if each.status == "active" and each.id != rule.id} | {rule.id: rule}
    links = links_of(rules.values())
    repeating = {each.id for each in rules.values() if each.spec.reentry.policy != "once"}
    free = _among(links, repeating, free=True)
    way = _shortest(free, rule.id)
    if way is not None and _takes(way) < SHORTEST:
        why = f"It comes round within {int(_takes(way).total_seconds())} s and nothing ends it."
        return _cycle(way, rules, endless=True, why=why)
    uncapped = {each for each in repeating if rules[each].spec.reentry.at_most is None}
    endless = _shortest(_among(links, uncapped, free=True), rule.id)
    if endless is not None:
        return _cycle(endless, rules, endless=True, why="None of them caps how often it may be entered.")
    way = way or _shortest(links, rule.id)
    return None if way is None else _cycle(way, rules, endless=False, why=_why(way, rules))


def links_of(rules: Iterable[Rule]) -> dict[str, list[Link]]:
    """Who may start whom: the quickest way of each pair, and the quickest free one."""
    told = list(rules)
    acts = {rule.id: acts_of(rule.spec) for rule in told}
    written = _written(act for found in acts.values() for act in found)
    listening = _listening(told)
    links: dict[str, list[Link]] = {}
    for source in told:
        best: dict[tuple[str, bool], Link] = {}
        for act in acts[source.id]:
            for target in {rule.id: rule for key in _heard(source, act.step) for rule in listening[key]}.values():
                for link in _links(source, act, target, written):
                    known = best.get((link.target, link.free))
                    if known is None or link.after < known.after:
                        best[link.target, link.free] = link
        links[source.id] = list(best.values())
    return links


def _listening(rules: Iterable[Rule]) -> dict[tuple[str, str], list[Rule]]:
    """The rules by what starts them, so that nobody is asked who cannot be meant."""
    found: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in rules:
        match rule.spec.trigger:
            case MessageTrigger(rule_id=name):
                found["message", name].append(rule)
            case TraitTrigger(trait=name) | DateTrigger(trait=name):
                found["trait", name].append(rule)
            case InactiveTrigger() | SessionTrigger():
                found["any", ""].append(rule)
            case EventTrigger(event=name):
                found["event", name].append(rule)
    return found


def _heard(source: Rule, step: object) -> Iterable[tuple[str, str]]:
    """By what others may notice this step."""
    match step:
        case Say():
            yield "message", source.id
            yield from (("event", name) for name in (SENT, *REPORTS.values()))
        case Emit(event=name):
            yield from (("event", name), ("any", ""))
        case SetTrait(traits=traits):
            yield from (("trait", name) for name in traits)
            yield from (("event", "Identify"), ("any", ""))


def _written(acts: Iterable[Act]) -> dict[str, list[Any]]:
    """The values that rules give to each trait, UNKNOWN for a template."""
    found: dict[str, list[Any]] = defaultdict(list)
    for act in acts:
        if isinstance(act.step, SetTrait):
            for name, value in act.step.traits.items():
                found[name].append(constant(value))
    return found


def constant(value: Any) -> Any:
    """A value that a rule writes, or UNKNOWN where it is a template that gives another each time."""
    return UNKNOWN if isinstance(value, str) and ("{{" in value or "{%" in value) else value


def _links(source: Rule, act: Act, target: Rule, written: Mapping[str, list[Any]]) -> Iterable[Link]:
    step, trigger = act.step, target.spec.trigger
    found: list[tuple[str, timedelta, bool]] = []
    match trigger:
        case MessageTrigger(rule_id=source.id) if isinstance(step, Say):
            found += _by_message(step, trigger)
        case TraitTrigger() if isinstance(step, SetTrait):
            found += _by_trait(step, trigger, written[trigger.trait])
        case DateTrigger() if isinstance(step, SetTrait):
            found.append((f"sets the date {trigger.trait}", ZERO, False))
        case InactiveTrigger() if isinstance(step, Emit | SetTrait):
            found.append((f"{_reports(step)}, after which a pause begins anew", trigger.span, True))
        case SessionTrigger() if isinstance(step, Emit | SetTrait) and act.after >= GAP:
            found.append((f"{_reports(step)}, which begins a session", ZERO, True))
        case EventTrigger():
            found += _by_event(source, step, target, trigger)
    for how, later, free in found:
        yield Link(source=source.id, target=target.id, how=how, after=act.after + later, free=free)


def _by_message(step: Say, trigger: MessageTrigger) -> list[tuple[str, timedelta, bool]]:
    if trigger.moment not in {"sent", "not_shown"} and not ON_SITE & set(step.message.channels):
        return []
    how = f"its message {trigger.moment.replace('_', ' ')}"
    return [(how, trigger.within or ZERO, trigger.moment not in _BY_HAND)]


def _by_trait(step: SetTrait, trigger: TraitTrigger, written: list[Any]) -> list[tuple[str, timedelta, bool]]:
    value = constant(step.traits[trigger.trait])
    if value is not UNKNOWN and trigger.to is not ANY_VALUE and not (value is trigger.to or same(value, trigger.to)):
        return []
    # The same value again is no change: a trait that all rules set alike starts nothing a second time.
    settles = value is not UNKNOWN and all(each is not UNKNOWN and _equal(each, value) for each in written)
    return [(f"sets the trait {trigger.trait}", ZERO, not settles)]


def _equal(a: Any, b: Any) -> bool:
    return a is b or same(a, b)


def _by_event(source: Rule, step: object, target: Rule, trigger: EventTrigger) -> list[tuple[str, timedelta, bool]]:
    if isinstance(step, Say):
        return _by_report(source, step, target, trigger)
    if isinstance(step, Emit) and step.event == trigger.event:
        told = {key: constant(value) for key, value in step.properties.items()}
        event = _event(step.event, "track", properties=told)
    elif isinstance(step, SetTrait) and trigger.event == "Identify":
        event = _event("Identify", "identify", traits={key: constant(each) for key, each in step.traits.items()})
    else:
        return []
    return _heard_by(target, trigger, event, _reports(step), free=True)


def _heard_by(
    target: Rule, trigger: EventTrigger, event: Event, how: str, *, free: bool
) -> list[tuple[str, timedelta, bool]]:
    """Whether this event may start the rule."""
    if not may_hold(trigger.where, event) or not may_hold(target.spec.audience, event):
        return []
    path = target.spec.reentry.key
    if path is not None and not unknown(event, path):
        if key_text(dig_event(event, path)) is None:
            return []  # a trigger without the key starts nothing
        free = False  # the same key a second time neither
    return [(how, ZERO, free)]


def _by_report(source: Rule, step: Say, target: Rule, trigger: EventTrigger) -> list[tuple[str, timedelta, bool]]:
    """What the page or the engine itself reports of a message, to a rule that listens to that event."""
    if trigger.event == SENT:
        told: Any = {"rule_id": source.id, "message_id": UNKNOWN, "channel": UNKNOWN}
        free = True
    else:
        moment = next((each for each, name in REPORTS.items() if name == trigger.event), None)
        if moment is None or not ON_SITE & set(step.message.channels):
            return []
        told, free = UNKNOWN, moment not in _BY_HAND
    how = f"its message is told of as {trigger.event}"
    return _heard_by(target, trigger, _event(trigger.event, "", properties=told), how, free=free)


def _event(name: str, kind: str, **facts: Any) -> Event:
    return Event(message_id="", name=name, type=kind, timestamp=_NEVER, received_at=_NEVER, **facts)


def _reports(step: object) -> str:
    return f"reports {step.event}" if isinstance(step, Emit) else "sets traits"


def _among(links: Links, nodes: set[str], *, free: bool) -> dict[str, list[Link]]:
    return {
        source: [link for link in found if link.target in nodes and (link.free or not free)]
        for source, found in links.items()
        if source in nodes
    }


def _shortest(links: Links, start: str) -> list[Link] | None:
    """The quickest way from a rule back to itself."""
    queue: list[tuple[timedelta, int, str, tuple[Link, ...]]] = [(ZERO, 0, start, ())]
    done: set[str] = set()
    count = 0
    while queue:
        after, _, node, way = heapq.heappop(queue)
        if node == start and way:
            return list(way)
        if node in done:
            continue
        done.add(node)
        for link in links.get(node, ()):
            count += 1
            heapq.heappush(queue, (after + link.after, count, link.target, (*way, link)))
        if not way:
            done.discard(start)  # the way back is what is looked for
    return None


def _takes(way: Sequence[Link]) -> timedelta:
    return sum((link.after for link in way), ZERO)


def _cycle(way: Sequence[Link], rules: Mapping[str, Rule], *, endless: bool, why: str) -> Cycle:
    assert all(one.target == other.source for one, other in pairwise(way))
    names = (rules[way[0].source].spec.name, *(rules[link.target].spec.name for link in way))
    return Cycle(names=names, hows=tuple(link.how for link in way), takes=_takes(way), endless=endless, why=why)


def _why(way: Sequence[Link], rules: Mapping[str, Rule]) -> str:
    once = next((rules[link.target] for link in way if rules[link.target].spec.reentry.policy == "once"), None)
    if once is not None:
        return f'It ends, since "{once.spec.name}" may be entered only once.'
    capped = next((rules[link.target] for link in way if rules[link.target].spec.reentry.at_most is not None), None)
    if not all(link.free for link in way):
        return "It goes on only while a person, or another value, lets it."
    assert capped is not None
    return f'It comes round again and again, as often as "{capped.spec.name}" lets it.'
