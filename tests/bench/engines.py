"""Other engines on the same rules and events, each in its own form."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rule_engine
import zen

from backend.domain.condition import Moment, compile_condition, parse_condition
from backend.domain.duration import parse_duration
from tests.bench import rules
from tests.bench.decisions import Case

Facts = dict[str, Any]


def facts_of(case: Case, asked: Sequence[dict[str, Any]]) -> Facts:
    """What other engines are given: the values by flat name, the answers to what they cannot ask, what just began."""
    event, profile = case.event, case.profile
    moment = Moment(profile=profile, at=event.timestamp, event=event, history=case.past)
    page = event.context.get("page")
    facts: Facts = {
        "name": event.name,
        "event_properties_brand": event.properties.get("brand"),
        "event_properties_category": event.properties.get("category"),
        "event_properties_price": event.properties.get("price"),
        "event_context_page_path": page.get("path") if isinstance(page, dict) else None,
        "profile_stage": profile.stage,
        "profile_sessions": profile.sessions,
        "profile_counts_product_viewed": profile.counts.get("Product Viewed"),
        "profile_cart_total": float(profile.cart.total),
        "profile_orders_count": profile.orders.count,
        "profile_traits_plan": profile.traits.get("plan"),
        "profile_traits_city": profile.traits.get("city"),
        "profile_device_locale": profile.device.locale,
        "entered_stage": profile.stage if profile.stage != case.before.stage else None,
        "session": ("returned" if profile.sessions > 1 else "started")
        if profile.sessions > case.before.sessions
        else None,
    }
    for question in asked:
        facts[rules.fact_of(question)] = _times(question, moment)
    return {name: value for name, value in facts.items() if value is not None}


def _times(question: dict[str, Any], moment: Moment) -> int:
    """How often this was done, counted by hand."""
    event = moment.event
    assert event is not None
    where = compile_condition(parse_condition(question["where"])) if "where" in question else None
    since = event.timestamp - parse_duration(question["within"]) if "within" in question else None
    return sum(
        1
        for each in moment.history.of(question["performed"])
        if (since is None or each.timestamp > since)
        and (where is None or where(Moment(profile=moment.profile, at=moment.at, event=each)))
    )


def _performed(condition: Any) -> Iterator[dict[str, Any]]:
    if isinstance(condition, dict):
        if "performed" in condition:
            yield condition
        for each in condition.values():
            yield from _performed(each)
    elif isinstance(condition, list):
        for each in condition:
            yield from _performed(each)


@dataclass(frozen=True, slots=True)
class Others:
    """The thousand rules as flat conditions, and the facts of some cases."""

    conditions: list[dict[str, Any]]
    facts: list[Facts]

    @property
    def missing(self) -> Facts:
        """Every fact that a rule names, without a value."""
        names = {name for each in self.conditions for name in _names(each)}
        return dict.fromkeys(sorted(names))


def others(chosen: Sequence[Case]) -> Others:
    """The same rules and events, in the words of others."""
    documents = rules.thousand()
    asked = {rules.fact_of(each): each for document in documents for each in _performed(document["audience"])}
    return Others([rules.flat(each) for each in documents], [facts_of(case, [*asked.values()]) for case in chosen])


def _names(condition: dict[str, Any]) -> Iterator[str]:
    if "fact" in condition:
        yield condition["fact"]
    for word in ("all", "any"):
        for each in condition.get(word, ()):
            yield from _names(each)
    if "not" in condition:
        yield from _names(condition["not"])


def json_rules_engine(given: Others) -> tuple[int, float]:
    """How many matches, and seconds; in node."""
    told = {"rules": given.conditions, "facts": given.facts, "missing": given.missing}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(told, file)
        file.flush()
        command = ["node", str(Path(__file__).parent / "js" / "decide.mjs"), file.name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return int(found["matches"]), float(found["seconds"])


def rule_engine_rules(given: Others) -> tuple[int, float]:
    """How many matches, and seconds."""
    context = rule_engine.Context(default_value=None)
    compiled = [rule_engine.Rule(_in_rule_engine(each), context=context) for each in given.conditions]
    facts = [given.missing | each for each in given.facts]
    started = time.perf_counter()
    matches = sum(1 for each in facts for rule in compiled if rule.matches(each))
    return matches, time.perf_counter() - started


def _in_rule_engine(asked: dict[str, Any]) -> str:
    for word, joined in (("all", " and "), ("any", " or ")):
        if word in asked:
            return "(" + joined.join(map(_in_rule_engine, asked[word])) + ")"
    if "not" in asked:
        return f"not {_in_rule_engine(asked['not'])}"
    name, value = asked["fact"], asked["value"]
    match asked["op"]:
        case "eq":
            return f"{name} == {_literal(value)}"
        case "in":
            return f"({' or '.join(f'{name} == {_literal(each)}' for each in value)})"
        case "gte":
            return f"({name} != null and {name} >= {_literal(value)})"
        case "between":
            return f"({name} != null and {name} >= {value[0]} and {name} <= {value[1]})"
        case "starts_with":
            return f"({name} != null and {name} =~~ {_literal('^' + value.replace('.', '[.]'))})"
        case _:
            return f"({name} != null and {_literal(value)} in {name})"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def zen_rules(given: Others) -> tuple[int, float]:
    """How many matches, and seconds: a decision table that collects, with a column for what starts a rule."""
    inputs = [{"id": "name", "field": "name", "name": "Event"}, {"id": "rest", "field": "", "name": "Condition"}]
    table = {
        "hitPolicy": "collect",
        "inputs": inputs,
        "outputs": [{"id": "rule", "field": "rule", "name": "Rule"}],
        "rules": [
            {"_id": str(place), "name": _zen_start(each), "rest": _in_zen(each), "rule": str(place)}
            for place, each in enumerate(given.conditions)
        ],
    }
    kinds = (("in", "inputNode", {}), ("table", "decisionTableNode", table), ("out", "outputNode", {}))
    nodes = [
        {"id": name, "type": kind, "name": name, "content": content, "position": {"x": 0, "y": 0}}
        for name, kind, content in kinds
    ]
    edges = [
        {"id": f"{a}-{b}", "type": "edge", "sourceId": a, "targetId": b} for a, b in (("in", "table"), ("table", "out"))
    ]
    decision = zen.ZenEngine().create_decision(json.dumps({"nodes": nodes, "edges": edges}))
    facts = [given.missing | each for each in given.facts]
    started = time.perf_counter()
    matches = sum(len(decision.evaluate(each)["result"] or ()) for each in facts)
    return matches, time.perf_counter() - started


def _zen_start(rule: dict[str, Any]) -> str:
    first = rule["all"][0]
    return _literal(first["value"]) if first["fact"] == "name" else ""


def _in_zen(asked: dict[str, Any]) -> str:
    for word, joined in (("all", " and "), ("any", " or ")):
        if word in asked:
            return "(" + joined.join(map(_in_zen, asked[word])) + ")"
    if "not" in asked:
        return f"not {_in_zen(asked['not'])}"
    name, value = asked["fact"], asked["value"]
    match asked["op"]:
        case "eq":
            return f"{name} == {_literal(value)}"
        case "in":
            return f"{name} in {_literal(value)}"
        case "gte":
            return f"({name} != null and {name} >= {_literal(value)})"
        case "between":
            return f"({name} != null and {name} >= {value[0]} and {name} <= {value[1]})"
        case "starts_with":
            return f"({name} != null and startsWith({name}, {_literal(value)}))"
        case _:
            return f"({name} != null and contains({name}, {_literal(value)}))"


ENGINES: dict[str, Callable[[Others], tuple[int, float]]] = {
    "json-rules-engine": json_rules_engine,
    "rule-engine": rule_engine_rules,
    "zen-engine": zen_rules,
}
