"""What a rule must not hold is answered with a status, a path and a sentence; as JSON and as YAML, never by a 500."""

import json
import time
from copy import deepcopy
from typing import Any

import pytest

from tests.contract.conftest import RULE, Api

Change = dict[str, Any]


def asks(op: str, value: Any, field: str = "profile.traits.plan") -> Change:
    return {"audience": {"field": field, "op": op, "value": value}}


def says(**content: Any) -> Change:
    return {"message": {"channels": ["popup"], "variants": [{"name": "A", "content": content}]}}


def weighs(*weights: Any) -> Change:
    variants = [{"name": f"V{place}", "weight": each, "content": {"body": "x"}} for place, each in enumerate(weights)]
    return {"message": {"channels": ["popup"], "variants": variants}}


def splits(*arms: Any) -> Change:
    return {"message": None, "steps": [{"split": list(arms)}, {"emit": {"event": "x"}}]}


def did(**asked: Any) -> Change:
    return {"audience": {"performed": "Order Completed", **asked}}


def nested(depth: int, kind: str) -> str:
    """A whole rule as text: no library writes JSON that deep."""
    inner = '{"field":"profile.stage","op":"eq","value":"cart"}'
    opening, closing = ('{"not":', "}") if kind == "not" else (f'{{"{kind}":[', "]}")
    told = opening * depth + inner + closing * depth
    return json.dumps({**RULE, "audience": "@"}).replace('"@"', told)


MESSAGE = RULE["message"]
BODY = "message.variants.0.content.body"
DEEP = "Too deep: conditions nest at most 10 deep."
BAD: dict[str, tuple[Change, str, str]] = {
    # Patterns: RE2 is linear, so that what blows up elsewhere is fine, and what only can blow up is not there.
    "look ahead": (asks("regex", "a(?=b)"), "audience.value", "looking ahead and behind is not there"),
    "look behind": (asks("regex", "(?<!a)b"), "audience.value", "looking ahead and behind is not there"),
    "back-reference": (asks("regex", r"(a)\1"), "audience.value", "going back to what a group found is not there"),
    "a pattern too long": (asks("regex", "a" * 501), "audience.value", "A pattern is at most 500 characters long."),
    "repetition of repetition": (asks("regex", "((a{99}){99}){99}"), "audience.value", "invalid repetition size"),
    "half a pattern": (asks("regex", "(a"), "audience.value", "missing ): (a."),
    "no pattern": (asks("regex", ""), "audience.value", "Expected a pattern as text."),
    "glob": (asks("glob", "*" * 501), "audience.value", "A pattern is at most 500 characters long."),
    # Weights and shares.
    "weights of zero": (weighs(0, 0), "message.variants", "At least one variant needs a weight above 0."),
    "weight below zero": (weighs(1, -1), "message.variants.1.weight", "A weight is a number, 0 or more."),
    "weight as text": (weighs("1"), "message.variants.0.weight", "A weight is a number, 0 or more."),
    "weight as a flag": (weighs(True), "message.variants.0.weight", "A weight is a number, 0 or more."),
    "weight beyond all": (weighs(1e10), "message.variants.0.weight", "A weight is a number, 0 or more."),
    "holdout above all": (
        {"message": {**MESSAGE, "holdout": 101}},
        "message.holdout",
        "Expected a percentage from 0 to 100.",
    ),
    "ways of zero": (splits({"weight": 0}, {"weight": 0}), "steps.0.split", "At least one way needs a weight above 0."),
    "a way below zero": (splits({"weight": -1}, {}), "steps.0.split.0.weight", "A weight is a number, 0 or more."),
    "ways of one name": (splits({"name": "A"}, {"name": "A"}), "steps.0.split.1.name", 'Two ways are named "A".'),
    # Windows that contradict themselves.
    "until before since": (
        did(since="2026-03-02", until="2026-03-01"),
        "audience.until",
        "until is not later than since",
    ),
    "within and between": (
        did(within="1d", between={"from": "7d", "to": "2d"}),
        "audience.between",
        "Give within or between, not both.",
    ),
    "between turned round": (
        did(between={"from": "2d", "to": "7d"}),
        "audience.between.to",
        "to is not later than from",
    ),
    "first after last": (
        did(first={"op": "after", "value": {"ago": "1d"}}, last={"op": "before", "value": {"ago": "2d"}}),
        "audience.last",
        "The first would have to be after the last: nothing is.",
    ),
    "within nothing": (did(within="0s"), "audience.within", "The duration must be longer than nothing."),
    "count turned round": (
        did(count={"op": "between", "value": [5, 1]}),
        "audience.count.value",
        "nothing can lie between",
    ),
    "values turned round": (asks("between", [5, 1]), "audience.value", "nothing can lie between them."),
    "windows in the quiet hours": (
        {
            "quiet_hours": {"from": "21:00", "to": "09:00"},
            "send_windows": [{"from": "22:00", "to": "08:00"}],
        },
        "send_windows",
        "nothing would ever be sent.",
    ),
    "no window at all": ({"send_windows": []}, "send_windows", "without any, nothing is sent."),
    "an hour that is none": (
        {"quiet_hours": {"from": "25:00", "to": "09:00"}},
        "quiet_hours.from",
        "Expected a time of day",
    ),
    "expired before the next channel": (
        {"message": {**MESSAGE, "fallback_after": "2d", "expires_after": "1d"}},
        "message.fallback_after",
        "By then the message has expired",
    ),
    "a cap of two spans": ({"caps": [{"count": 1, "within": "1d", "per": "day"}]}, "caps.0", "either within"),
    "a cap of zero": ({"caps": [{"count": 0, "per": "day"}]}, "caps.0.count", "Expected a whole number from 1 to 100."),
    "at most without per": (
        {"reentry": {"policy": "every", "at_most": 1}},
        "reentry.per",
        "at_most needs per beside it",
    ),
    # Templates that loop, or read what they must not.
    "an endless range": (
        says(body="{% for i in (1..1000000000) %}x{% endfor %}"),
        BODY,
        "A range has at most 100 numbers.",
    ),
    "a range of unknown length": (
        says(body="{% for i in (1..n) %}x{% endfor %}"),
        BODY,
        "A range needs two whole numbers",
    ),
    "another template": (says(body="{% include 'secrets' %}"), BODY, "Unexpected tag 'include' (line 1)."),
    "no such tag": (says(body="{% asign x = 1 %}"), BODY, 'Did you mean "assign"?'),
    "no such filter": (says(body="{{ first_name | upcaze }}"), BODY, 'Did you mean "upcase"?'),
    "what is behind a value": (says(body="{{ ''.__class__.__mro__ }}"), BODY, "Expected end of expression"),
    "what is behind a name": (says(body="{{ profile.__class__ }}"), BODY, "is nothing that a message can tell."),
    "the secret key": (
        says(body="{{ site.secret_key }}"),
        BODY,
        '"site.secret_key" is nothing that a message can tell.',
    ),
    "ids that are secrets": (says(body="{{ profile.anonymous_ids }}"), BODY, "is nothing that a message can tell."),
    "a slip of the finger": (says(body="{{ cart.itms | size }}"), BODY, 'Did you mean "items"?'),
    "a fact that there is not": (
        says(body="{{ profile.facts.loyality }}"),
        BODY,
        '"profile.facts.loyality" is nothing that a message can tell. Did you mean "loyalty"?',
    ),
    "half a template": (says(body="Hello {{ first_name"), BODY, "Expected }} somewhere behind this (line 1)."),
    "a template too long": (says(body="x" * 900_000), BODY, "A template is at most 100 kB long."),
    "a link that is code": (
        says(body="x", button={"text": "x", "url": "javascript:alert(1)"}),
        "message.variants.0.content.button.url",
        "A link starts with http:",
    ),
    # Names that are not known.
    "unknown field": (asks("eq", 1, "profile.stagee"), "audience.field", 'Did you mean "stage"?'),
    "unknown root": (asks("eq", 1, "visitor.stage"), "audience.field", "a field starts with event., profile. or site."),
    "unknown operator": (asks("greater_than", 1), "audience.op", 'Did you mean "gt"?'),
    "unknown key": ({"audiense": {}}, "audiense", 'Did you mean "audience"?'),
    "unknown key below": ({"trigger": {"event": "x", "were": {}}}, "trigger.were", 'Did you mean "where"?'),
    "unknown policy": ({"reentry": {"policy": "evry"}}, "reentry.policy", 'Did you mean "every"?'),
    "unknown channel": (
        {"message": {**MESSAGE, "channels": ["popupp"]}},
        "message.channels.0",
        'Did you mean "popup"?',
    ),
    "unknown step": ({"message": None, "steps": [{"delai": "1h"}]}, "steps.0", 'Did you mean "delay"?'),
    "unknown content": (says(bodi="x", body="y"), "message.variants.0.content.bodi", 'Did you mean "body"?'),
    "unknown stage": ({"trigger": {"stage": "chekout"}}, "trigger.stage", 'Did you mean "checkout"?'),
    # Amounts and durations.
    "money that is none": (
        did(sum={"of": "properties.total", "op": "gte", "value": "much"}),
        "audience.sum.value",
        'Expected a number, such as 100 or "99.90".',
    ),
    "money as a flag": (asks("gte", True, "profile.cart.total"), "audience.value", "Expected a number"),
    "a week": ({"delay": "1w"}, "delay", "Not a duration. Write it like 30s, 15m, 2h or 7d."),
    "a thousand years": ({"delay": "999999d"}, "delay", "Too long: a duration is at most 3660d."),
    # Size.
    "a name of a megabyte": ({"name": "x" * 900_000}, "name", "A name is at most 200 characters long."),
    "a key of a megabyte": ({"x" * 900_000: 1}, "x" * 100, "Unknown key"),
    "a list of a megabyte": (asks("in", ["0123456789"] * 40_000), "audience.value", "A list has at most 1000 values."),
    "a field of a megabyte": (asks("eq", 1, "profile." + "x" * 900_000), "audience.field", "at most 500 characters"),
    "too many conditions": (
        {"audience": {"all": [asks("eq", 1)["audience"]] * 5_000}},
        "audience.all.99",
        "Too many conditions: one tree holds at most 100.",
    ),
    "too many steps": ({"message": None, "steps": [{"delay": "1h"}] * 5_000}, "steps.100", "at most 100 steps."),
}


def changed(change: Change) -> dict[str, Any]:
    told = deepcopy(RULE) | change
    return {name: value for name, value in told.items() if value is not None or name == "audience"}


def found_at(errors: Any, path: str) -> list[str]:
    for step in path.split("."):
        assert isinstance(errors, dict), errors
        assert step in errors, errors
        errors = errors[step]
    return list(errors["_schema"] if isinstance(errors, dict) else errors)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_rule_is_refused_with_its_path_and_a_sentence(api: Api, site: str, rule: str, case: str) -> None:
    change, path, sentence = BAD[case]
    body = changed(change)
    for method, address, prefix in (
        ("POST", f"/sites/{site}/rules", ""),
        ("PUT", f"/sites/{site}/rules/{rule}", ""),
        ("POST", f"/sites/{site}/rules/import", "rules.0."),
        ("POST", f"/sites/{site}/simulations", "rule."),
    ):
        sent = {"rules/import": {"rules": [body]}, "simulations": {"rule": body}}
        answer = api(method, address, next((sent[end] for end in sent if address.endswith(end)), body))
        assert answer.status_code == 422, answer.text[:500]
        assert answer.json["code"] == "invalid"
        assert any(sentence in told for told in found_at(answer.json["errors"], prefix + path)), answer.text[:500]
        assert len(answer.data) < 100_000, "the answer to nonsense is not nonsense of its size"
    assert len(api.get(f"/sites/{site}/rules").json["items"]) == 1


@pytest.mark.parametrize("case", BAD)
def test_and_as_yaml_with_the_line_beside(api: Api, site: str, case: str) -> None:
    from backend.schemas.rule_yaml import dump_rule

    change, path, sentence = BAD[case]
    text = "# a rule\n" + dump_rule(changed(change))
    answer = api.post(f"/sites/{site}/simulations", {"yaml": [text]})
    assert answer.status_code == 422, answer.text[:500]
    (told, *_) = [each for each in found_at(answer.json["errors"], f"yaml.0.0.{path}") if sentence in each]
    line = int(told.rpartition("(line ")[2].removesuffix(")"))
    assert 1 < line <= text.count("\n") + 1


@pytest.mark.parametrize("kind", ["not", "all", "any"])
@pytest.mark.parametrize("depth", [10, 30, 1_000, 50_000])
def test_conditions_nested_however_deep_are_answered(api: Api, site: str, kind: str, depth: int) -> None:
    text = nested(depth, kind)
    answer = api("POST", f"/sites/{site}/rules", data=text, headers={"Content-Type": "application/json"})
    if depth <= 30:
        assert answer.status_code == 422
        assert DEEP in answer.text
        return
    assert answer.status_code == 400
    assert answer.json["message"] == "The JSON nests too deep."
    yaml = api.post(f"/sites/{site}/simulations", {"yaml": [text]})
    assert yaml.json["errors"]["yaml"]["0"] == ["The YAML nests deeper than 64 levels (line 1)."]


@pytest.mark.parametrize(
    ("written", "sentence", "as_yaml"),
    [
        ("NaN", "NaN is no JSON number.", None),
        ("Infinity", "Infinity is no JSON number.", None),
        ("-Infinity", "-Infinity is no JSON number.", None),
        (".nan", "The body is not JSON", None),
        ("1e999", "A number is too large.", "A number is too large (line 1)."),
        ("1" * 30, "A whole number lies beyond 2^53", "A whole number lies beyond 2^53: put it into quotes (line 1)."),
    ],
)
@pytest.mark.parametrize("place", ["weight", "priority", "holdout", "value", "count"])
def test_numbers_that_are_none_are_refused_wherever_they_stand(
    api: Api, site: str, written: str, sentence: str, as_yaml: str | None, place: str
) -> None:
    body: dict[str, Any] = {
        "weight": weighs("@"),
        "priority": {"priority": "@"},
        "holdout": {"message": {**MESSAGE, "holdout": "@"}},
        "value": asks("gte", "@"),
        "count": did(count={"op": "gte", "value": "@"}),
    }[place]
    text = json.dumps(changed(body)).replace('"@"', written)
    answer = api("POST", f"/sites/{site}/rules", data=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json["message"].startswith(sentence)
    yaml = api.post(f"/sites/{site}/simulations", {"yaml": [text]})
    # In YAML a word that is no number is text: fine where text may stand, refused where it may not.
    assert yaml.status_code == (200 if as_yaml is None and place == "value" else 422), yaml.text
    if as_yaml is not None:
        assert yaml.json["errors"]["yaml"]["0"] == [as_yaml]


def test_a_body_above_a_megabyte_is_refused(api: Api, site: str) -> None:
    answer = api.post(f"/sites/{site}/rules", changed(says(body="x" * 1_100_000)))
    assert (answer.status_code, answer.json["message"]) == (413, "The request body is too large.")


def test_a_pattern_that_blows_up_elsewhere_is_asked_in_linear_time(api: Api, site: str) -> None:
    evil = [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}$", r"^(([a-z])+.)+[A-Z]([a-z])+$"]
    rules = [changed({**asks("regex", pattern, "event.properties.text"), "delay": "0s"}) for pattern in evil]
    rules = [each | {"name": f"Rule {place}", "trigger": {"event": "Said"}} for place, each in enumerate(rules)]
    when = "2026-03-01T10:00:00Z"
    event = {"type": "track", "event": "Said", "anonymousId": "ann", "properties": {"text": "a" * 8_000 + "!"}}
    began = time.process_time()
    answer = api.post(
        f"/sites/{site}/simulations",
        {"rules": rules, "events": [{**event, "timestamp": when} for _ in range(20)], "until": "2026-03-02T00:00:00Z"},
    )
    assert answer.status_code == 200, answer.text
    assert time.process_time() - began < 20, "backtracking would take longer than the universe is old"
    assert answer.json["summary"]["entered"] == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Hello {{ first_name }}", "missing_value"),
        ("Hello {{ profile.traits.first_name }}", "missing_value"),
        ("{{ product.name | upcase }}", "missing_value"),
        ("{{ cart.items[7].name }}", "missing_value"),
        (
            "{% assign x = 'aaaaaaaaaa' %}{% for i in (1..100) %}{% assign x = x | append: x %}{% endfor %}{{ x }}",
            "missing_value",
        ),
        ("Hello {{ first_name | default: 'friend' }}", None),
        ("Hello{% if first_name %}, {{ first_name }}{% endif %}", None),
        ("{{ cart.total }}", None),
    ],
)
def test_a_template_without_a_value_is_not_sent_rather_than_sent_unrendered(
    api: Api, site: str, source: str, reason: str | None
) -> None:
    rule = changed({**says(body=source), "trigger": {"event": "Product Added"}, "audience": None, "delay": "0s"})
    event = {"type": "track", "event": "Product Added", "anonymousId": "ann", "timestamp": "2026-03-01T10:00:00Z"}
    properties = {"product_id": "kettle", "price": 0.1, "quantity": 3}
    body = {"rule": rule, "events": [{**event, "properties": properties}], "until": "2026-03-02T00:00:00Z"}
    (item,) = api.post(f"/sites/{site}/simulations", body).json["items"]
    if reason is None:
        assert item["outcome"] == "sent"
        assert "{" not in item["messages"][0]["content"]["body"]
    else:
        assert item["outcome"] == "skipped"
        assert reason in item["reason"]
        assert item["messages"] == []


@pytest.mark.parametrize(
    ("op", "value", "holds"),
    [
        ("eq", 0.3, True),
        ("gte", 0.3, True),
        ("lt", 0.3, False),
        ("eq", 0.30000000000000004, False),
        ("gte", "0.3", False),
    ],
)
def test_money_as_floats_adds_up_as_money(api: Api, site: str, op: str, value: Any, holds: bool) -> None:
    """0.1 + 0.2 is 0.3 in a cart; text is never taken for a number."""
    rule = changed({**asks(op, value, "profile.cart.total"), "trigger": {"event": "Cart Viewed"}, "delay": "0s"})
    told = {"type": "track", "anonymousId": "ann", "timestamp": "2026-03-01T10:00:00Z"}
    events = [
        {**told, "event": "Product Added", "properties": {"product_id": "a", "price": 0.1}},
        {**told, "event": "Product Added", "properties": {"product_id": "b", "price": 0.2}},
        {**told, "event": "Cart Viewed", "properties": {}},
    ]
    answer = api.post(f"/sites/{site}/simulations", {"rule": rule, "events": events, "until": "2026-03-02T00:00:00Z"})
    assert answer.json["summary"]["sent"] == (1 if holds else 0)


@pytest.mark.parametrize("zone", ["Mars/Phobos", "Europe/Wien", "", "../../etc/passwd", "UTC\0", "X" * 9_000])
def test_a_time_zone_that_does_not_exist_is_refused_on_a_site_and_passed_over_in_an_event(
    api: Api, site: str, zone: str
) -> None:
    answer = api("PATCH", f"/sites/{site}", {"timezone": zone})
    assert answer.status_code in (400, 422), answer.text
    if answer.status_code == 422:
        assert "IANA name of a time zone" in answer.json["errors"]["timezone"][0]
    quiet = {"from": "21:00", "to": "09:00", "then": "abort", "channels": ["popup"]}
    rule = changed({"audience": None, "delay": "0s", "quiet_hours": quiet})
    event = {"type": "track", "event": "Product Added", "anonymousId": "ann", "timestamp": "2026-03-01T22:00:00Z"}
    body = {
        "rule": rule,
        "events": [{**event, "context": {"timezone": zone.replace("\0", "")[:8_000]}}],
        "until": "2026-03-02T23:00:00Z",
    }
    told = api.post(f"/sites/{site}/simulations", body)
    assert told.status_code == 200, told.text


def test_a_near_name_of_a_time_zone_is_told(api: Api, site: str) -> None:
    told = api("PATCH", f"/sites/{site}", {"timezone": "Europe/Viena"}).json["errors"]["timezone"][0]
    assert 'Did you mean "Europe/Vienna"?' in told


@pytest.mark.parametrize(
    ("change", "path", "sentence"),
    [
        ({"events": [{"event": "x", "anonymousId": "a"}]}, "events.0", "A given event needs its timestamp"),
        ({"events": [{"event": "x", "timestamp": "2026-03-01T10:00:00Z"}]}, "events.0", "is required"),
        ({"events": ["x"]}, "events.0", "An event is an object"),
        ({"events": [{"type": "tracc", "anonymousId": "a"}]}, "events.0", "`type` must be one of"),
        (
            {"events": [{"event": "x", "anonymousId": "a", "timestamp": "1999-01-01T00:00:00Z"}]},
            "events.0",
            "lies outside",
        ),
        ({"events": [{"event": "x", "anonymousId": "a", "timestamp": "soon"}]}, "events.0", "Expected a date and time"),
        ({"events": [{}] * 10_001}, "events", "At most 10000 events at a time."),
        ({"events": "x"}, "events", "Not a valid list."),
        ({"yaml": ["a: ["]}, "rule", "Give a rule, or several as rules, or as yaml."),
    ],
)
def test_a_history_that_cannot_be_is_refused_with_its_place(
    api: Api, site: str, change: dict[str, Any], path: str, sentence: str
) -> None:
    answer = api.post(f"/sites/{site}/simulations", {"rule": RULE, **change})
    assert answer.status_code == 422, answer.text
    assert sentence in found_at(answer.json["errors"], path)[0]
