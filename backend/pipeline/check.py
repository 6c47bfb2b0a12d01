"""The step `check`: what speaks against a rule before it is saved: mistakes that others take part in, and warnings."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend.domain.condition.never import never_holds
from backend.domain.mistakes import RuleErrors, quoted
from backend.domain.rule import Rule, RuleSpec
from backend.domain.rule.compile import REPORTS, SENT
from backend.domain.rule.cycles import find_cycle
from backend.domain.rule.names import Seen, mistyped, stages_asked, unknown_stages, unseen, uses_of
from backend.domain.rule.trigger import MessageTrigger
from backend.domain.site import Site
from backend.domain.vocabulary import EVENT, TRAIT
from backend.storage import desks, events, rules, segments, visitor_lists, visitors, vocabularies
from backend.storage.database import Connection
from backend.storage.rules import StoredRule

SAMPLE = 200
"""Visitors, the last seen ones, whose events and traits are known names."""

CLOSER = 50
LATEST_EVENTS = 1_000
"""Of the last `CLOSER` of them so many events are looked at, for the names of properties."""

MOST_WARNINGS = 50


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that is no mistake, and hardly meant: the path in the rule, and a sentence."""

    path: str
    message: str


def doubts(connection: Connection, site: Site, spec: RuleSpec, seen: Seen | None = None) -> list[Warned]:
    """What in a rule can never hold, and which of its names the site has not seen; at most `MOST_WARNINGS`.

    `seen` is what `sample` gave, where several rules are asked about.
    """
    found = list(_unknown_rule(connection, site, spec))
    found.extend(_of_operators(connection, site, spec))
    found.extend(_told(each) for each in _never(spec.document))
    found.extend(_told(each) for each in unknown_stages(spec.document, site.funnel.names))
    found.extend(_doubtful_names(connection, site, spec.document, seen))
    return found[:MOST_WARNINGS]


def doubts_of_segment(connection: Connection, site: Site, document: Mapping[str, Any]) -> list[Warned]:
    """The same of a segment: what in its condition can never hold, and which names and types were never seen."""
    if document.get("condition") is None:
        return []
    found = [_told(each) for each in never_holds((("condition",), document["condition"]))]
    asked = {"condition": document["condition"]}
    found.extend(_told(each) for each in unknown_stages(asked, site.funnel.names))
    found.extend(_doubtful_names(connection, site, asked))
    return found[:MOST_WARNINGS]


def doubts_of_stages(connection: Connection, site: Site, before: Collection[str]) -> list[Warned]:
    """Which rules and segments ask for stages that the site had `before`, and has no more."""
    lost = [each for each in before if each not in site.funnel.names]
    if not lost:
        return []
    documents = [
        *((f"The rule {quoted(each.document['name'])}", each.document) for each in _living(connection, site)),
        *((f"The segment {quoted(each.name)}", each.document) for each in segments.list_segments(connection, site.id)),
    ]
    found: list[Warned] = []
    for who, document in documents:
        asked = {name for _, name in stages_asked(document)}
        told = [quoted(each) for each in lost if each in asked]
        if told:
            found.append(Warned("stages", f"{who} asks for {' and '.join(told)}, which is no stage any more."))
    return found[:MOST_WARNINGS]


def _living(connection: Connection, site: Site) -> Iterator[StoredRule]:
    found = rules.list_rules(connection, site.id, limit=100_000)
    return (each for each in found if each.status != "archived")


def _doubtful_names(
    connection: Connection, site: Site, document: Mapping[str, Any], seen: Seen | None = None
) -> Iterator[Warned]:
    seen = seen or sample(connection, site)
    used = {use.of or use.name for use in uses_of(document)}
    for name, known in vocabularies.about(connection, site.id, used).items():
        if name.kind == EVENT:
            seen.events[name.name] = max(known.count, seen.events.get(name.name, 0))
        elif name.kind == TRAIT:
            seen.traits.add(name.name)
        else:
            seen.properties.setdefault(name.of, {})[name.name] = known.count
        seen.types[name] = known.types
    for each in (*unseen(document, seen), *mistyped(document, seen)):
        yield _told(each)


def _told(found: tuple[tuple[str | int, ...], str]) -> Warned:
    path, sentence = found
    return Warned(".".join(map(str, path)), sentence)


def circles(connection: Connection, site: Site, rule: Rule) -> list[Warned]:
    """The circle in which this rule and active ones of the site would start one another, if there is one.

    Raises `RuleErrors` where that has no end and the rule is active.
    """
    cycle = find_cycle(rule, _linked(connection, site, rule))
    if cycle is None:
        return []
    if not cycle.endless:
        return [Warned("trigger", f"These rules start one another in a circle: {cycle}")]
    sentence = f"These rules would start one another without end: {cycle}"
    if rule.status == "active":
        raise RuleErrors({"trigger": [sentence]})
    return [Warned("trigger", f"{sentence} It cannot be activated so.")]


def endless_circles(connection: Connection, site: Site, edited: Mapping[str, Rule]) -> Iterator[tuple[str, str]]:
    """Of these active rules, which are stored already: the id of each that goes round without end, and how."""
    linked = list(_starting([], rules.active_rules(connection, site.id))) if edited else []
    for rule in edited.values() if linked else ():
        cycle = find_cycle(rule, [each for each in linked if each.id != rule.id])
        if cycle is not None and cycle.endless:
            yield rule.id, f"These rules would start one another without end: {cycle}"


def _linked(connection: Connection, site: Site, rule: Rule) -> Iterator[Rule]:
    """The active rules of the site, but this one, that may start others."""
    stored = [each for each in rules.active_rules(connection, site.id) if each.id != rule.id]
    return _starting([rule.spec.document.get("trigger") or {}], stored)


def _starting(more: list[Any], stored: list[StoredRule]) -> Iterator[Rule]:
    """Those that may start others at all: only they are worth reading. `more` are triggers beside theirs."""
    triggers = [each.document.get("trigger") or {} for each in stored] + more
    listened = {each["rule"] for each in triggers if isinstance(each.get("rule"), str)}
    reported = any(each.get("event") in {SENT, *REPORTS.values()} for each in triggers)
    for each in stored:
        if reported or each.id in listened or _acts(each):
            try:
                yield each.rule()
            except RuleErrors:
                continue  # it does nothing; the log tells of it


def _acts(stored: StoredRule) -> bool:
    text = json.dumps(stored.document.get("steps"))
    return '"emit"' in text or '"set_trait"' in text


def _unknown_rule(connection: Connection, site: Site, spec: RuleSpec) -> Iterator[Warned]:
    trigger = spec.trigger
    if isinstance(trigger, MessageTrigger) and rules.get_rule(connection, site.id, trigger.rule_id) is None:
        yield Warned("trigger.rule", "There is no rule with this id, so nothing starts this one.")


def _of_operators(connection: Connection, site: Site, spec: RuleSpec) -> Iterator[Warned]:
    """What asks for an operator on a site that has none."""
    asking = [path for path, message in _messages(spec.document, ()) if message.get("requires_operator")]
    if not asking or desks.seats(connection, site.id):
        return
    for path in asking:
        place = ".".join(map(str, (*path, "requires_operator")))
        yield Warned(place, "This site has no operators, so this is never sent.")


def _messages(node: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Every message of a rule's document, and its path."""
    below = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, Mapping) else ()
    for key, each in below:
        if key == "message" and isinstance(each, Mapping):
            yield (*path, key), each
        elif key not in {"where", "if", "until", "audience"}:
            yield from _messages(each, (*path, key))


def _never(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Conditions of the rule that can never hold; the trigger's and the audience must hold together."""
    trigger = document.get("trigger") or {}
    yield from never_holds((("trigger", "where"), trigger.get("where")), (("audience",), document.get("audience")))
    for index, cancel in enumerate(document.get("cancel") or ()):
        yield from never_holds((("cancel", index, "where"), cancel.get("where")))
    goal = document.get("goal") or {}
    yield from never_holds((("goal", "where"), goal.get("where")))
    yield from _never_in_steps(document.get("steps") or [], ("steps",))


def _never_in_steps(node: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _never_in_steps(each, (*path, index))
            if isinstance(each, Mapping) and each.get("stop") and index + 1 < len(node):
                yield (*path, index + 1), "This is never reached: the step before it stops the journey."
    elif isinstance(node, Mapping):
        for key, each in node.items():
            if key in {"if", "until", "where"}:
                yield from never_holds(((*path, key), each))
            elif key not in {"message", "emit", "set_trait"}:
                yield from _never_in_steps(each, (*path, key))


def sample(connection: Connection, site: Site) -> Seen:
    """A sample of what the site reported lately, of bounded size."""
    profiles = visitor_lists.find(connection, site.id, limit=SAMPLE)
    seen = Seen(visitors=len(profiles))
    counts: Counter[str] = Counter()
    for profile in profiles:
        counts.update(profile.counts)
        seen.traits.update(profile.traits)
    # Nobody's properties are judged by less than a few events: see ENOUGH.
    looked_at: Counter[str] = Counter()
    members = [member for profile in profiles[:CLOSER] for member in visitors.members_of(profile)]
    for event in events.list_events(connection, members, LATEST_EVENTS) if members else ():
        looked_at[event.name] += 1
        known = seen.properties.setdefault(event.name, {})
        for name in event.properties:
            known[name] = known.get(name, 0) + 1
    seen.events = dict.fromkeys(counts, 0) | dict(looked_at)
    return seen
