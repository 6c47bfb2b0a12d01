"""Rules: read with their defaults, compiled, or refused with the path of every mistake."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.domain.condition import Moment
from backend.domain.event import Event
from backend.domain.mistakes import RuleErrors
from backend.domain.profile import Profile
from backend.domain.rule import (
    EventTrigger,
    Reentry,
    Rule,
    RuleSpec,
    StageTrigger,
    compile_rule,
    messages_of,
    parse_rule,
)
from backend.domain.rule.compile import key_text
from backend.domain.rule.model import Goal
from backend.schemas.rule import RuleOut
from backend.schemas.rule_example import EXAMPLE

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SMALL: dict[str, Any] = {
    "name": "Small",
    "trigger": {"event": "Product Added"},
    "message": {"channels": ["popup"], "variants": [{"content": {"body": "Hello"}}]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    doc = deepcopy(EXAMPLE)
    *way, last = path.split(".")
    place: Any = doc
    for key in way:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return doc


def mistakes(doc: object) -> dict[str, Any]:
    with pytest.raises(RuleErrors) as caught:
        parse_rule(doc)
    errors: dict[str, Any] = caught.value.errors
    return errors


def event(**facts: Any) -> Event:
    usual: dict[str, Any] = {"message_id": "m", "name": "Product Added", "type": "track"}
    return Event(**{**usual, "timestamp": NOON, "received_at": NOON, **facts})


def compiled(**parts: Any) -> Any:
    spec = parse_rule({**SMALL, **parts})
    return compile_rule(Rule(id="r", site_id="s", spec=spec))


def test_the_contract_s_example_reads_as_it_says() -> None:
    spec = parse_rule(EXAMPLE)
    assert spec.priority == 10
    assert spec.delay == timedelta(minutes=30)
    assert spec.reentry == Reentry(policy="every", at_most=1, per=timedelta(days=7))
    [saying] = messages_of(spec.steps)
    assert saying.message.holdout == 10
    assert saying.message.channels == ("popup", "email")
    assert saying.message.expires_after == timedelta(days=7)
    assert spec.goal == Goal(event="Order Completed", within=timedelta(days=3))


def test_what_is_left_out_gets_its_default() -> None:
    spec = parse_rule(SMALL)
    assert isinstance(spec.trigger, EventTrigger)
    assert (spec.priority, spec.category, spec.delay, spec.cancel) == (0, "promotional", timedelta(0), ())
    assert spec.reentry == Reentry(policy="once")
    [saying] = messages_of(spec.steps)
    variant = saying.message.variants[0]
    assert (variant.name, variant.weight) == ("A", 1)
    assert spec.document["delay"] == "0s"
    assert spec.document["reentry"] == {"policy": "once"}


def test_what_was_read_reads_the_same_again() -> None:
    for doc in (SMALL, EXAMPLE):
        spec = parse_rule(doc)
        assert parse_rule(json.loads(json.dumps(spec.document))) == spec


def test_what_the_api_adds_to_a_rule_can_be_sent_back() -> None:
    spec = parse_rule(EXAMPLE)
    shown = {**spec.document, "id": "r", "version": 3, "status": "active", "created_at": NOON, "updated_at": NOON}
    assert parse_rule(RuleOut().dump(shown)) == spec


def test_null_is_as_good_as_left_out() -> None:
    empty = dict.fromkeys(("priority", "category", "audience", "delay", "cancel", "reentry", "goal"))
    assert parse_rule({**SMALL, **empty}) == parse_rule(SMALL)


def test_a_rule_that_is_only_tried_out_needs_neither_name_nor_message() -> None:
    spec = parse_rule({"trigger": {"stage": "cart"}}, simulated=True)
    assert spec.trigger == StageTrigger(stage="cart")
    assert [saying.message.variants for saying in messages_of(spec.steps)]
    assert compile_rule(Rule(id="r", site_id="s", spec=spec)).saying("").templates
    with pytest.raises(RuleErrors):
        parse_rule({"trigger": {"stage": "crat"}}, simulated=True)


@pytest.mark.parametrize(
    ("path", "value", "where", "sentence"),
    [
        ("name", "", "name", "Expected a name"),
        ("name", 5, "name", "Expected a name"),
        ("name", "x" * 201, "name", "at most 200"),
        ("nmae", "x", "nmae", 'Did you mean "name"?'),
        ("priority", 1.5, "priority", "whole number"),
        ("priority", True, "priority", "whole number"),
        ("priority", 10**9, "priority", "to 1000000"),
        ("delay", {"days": 1}, "delay", "A delay by the clock is a step"),
        ("quiet_hours", {"else": "abort"}, "quiet_hours.else", 'Unknown key "else".'),
        ("category", "promo", "category", "promotional"),
        ("trigger", "Product Added", "trigger", "is an object"),
        ("trigger", {"evnt": "A"}, "trigger", 'Did you mean "event"?'),
        ("trigger", {"event": "A", "stage": "cart"}, "trigger", "not several"),
        ("trigger", {"segment": ""}, "trigger.segment", "Expected the id or the name of a segment."),
        ("trigger", {"stage": "basket"}, "trigger.stage", "Unknown stage"),
        ("trigger", {"stage": ["cart"]}, "trigger.stage", "Unknown stage"),
        ("trigger", {"stage": "cart", "where": {}}, "trigger.where", "audience"),
        ("trigger.event", "", "trigger.event", "name of an event"),
        ("trigger.where.op", "gt=", "trigger.where.op", "Unknown operator"),
        ("trigger.where", {"performed": "A", "since": "entry"}, "trigger.where.since", "no entry yet"),
        ("audience.all.1.not.performed", 1, "audience.all.1.not.performed", "name of an event"),
        ("audience", [], "audience", "A condition is an object"),
        ("delay", 30, "delay", "Not a duration"),
        ("delay", "-5m", "delay", "Not a duration"),
        ("cancel", {"event": "A"}, "cancel", "Expected a list"),
        ("cancel", [{"event": "A"}] * 21, "cancel", "At most 20"),
        ("cancel.0", "Order Completed", "cancel.0", "Expected an object"),
        ("cancel.0", {}, "cancel.0.event", "name of an event"),
        ("cancel.0", {"event": "A", "same": "cart_id"}, "cancel.0.same", "Unknown field"),
        ("cancel.0", {"event": "A", "where": {"any": []}}, "cancel.0.where.any", "never true"),
        ("reentry.policy", "always", "reentry.policy", "Unknown policy"),
        ("reentry.at_most", 0, "reentry.at_most", "1 or more"),
        ("reentry", {"policy": "every", "at_most": 1}, "reentry.per", "needs per beside it"),
        ("reentry", {"policy": "every", "per": "1d"}, "reentry.at_most", "needs at_most beside it"),
        ("reentry", {"policy": "once", "at_most": 1, "per": "1d"}, "reentry.at_most", 'Only the policy "every"'),
        ("reentry", {"policy": "per_key"}, "reentry.key", "needs a key"),
        ("reentry", {"policy": "per_key", "key": "cart_id"}, "reentry.key", "Unknown field"),
        ("reentry", {"policy": "every", "key": "properties.x"}, "reentry.key", 'Only the policy "per_key"'),
        ("message", [], "message", "is an object"),
        ("message.channels", [], "message.channels", "Expected a list"),
        ("message.channels.0", "webpush", "message.channels.0", "is not available yet."),
        ("message.channels.1", "mail", "message.channels.1", 'Did you mean "email"?'),
        ("message.channels.1", "popup", "message.channels.1", "twice"),
        ("message.holdout", 101, "message.holdout", "0 to 100"),
        ("message.holdout", True, "message.holdout", "0 to 100"),
        ("message.holdout", "10", "message.holdout", "0 to 100"),
        ("message.fallback_after", "soon", "message.fallback_after", "Not a duration"),
        ("message.variants", [], "message.variants", "at least one variant"),
        ("message.variants.0.weight", 0, "message.variants", "a weight above 0"),
        ("message.variants.0.weight", -1, "message.variants.0.weight", "0 or more"),
        ("message.variants.0.weight", float("inf"), "message.variants.0.weight", "0 or more"),
        ("message.variants.0.name", "", "message.variants.0.name", "Expected a name"),
        ("message.variants.0.content", None, "message.variants.0.content", "is an object"),
        ("message.variants.0.content.subject", None, "message.variants.0.content.subject", "needs a subject"),
        ("message.variants.0.content.subject", " ", "message.variants.0.content.subject", "needs a subject"),
        ("message.variants.0.content.body", None, "message.variants.0.content.body", "needs a body"),
        ("message.variants.0.content.titel", "x", "message.variants.0.content.titel", 'Did you mean "title"?'),
        ("message.variants.0.content.title", 5, "message.variants.0.content.title", "Expected text"),
        ("message.variants.0.content.title", "{{ a", "message.variants.0.content.title", "line 1"),
        ("message.variants.0.content.body", "{{ a | shout }}", "message.variants.0.content.body", "shout"),
        ("message.variants.0.content.body", "a" * 100_001, "message.variants.0.content.body", "100 kB"),
        ("message.variants.0.content.button", "Buy", "message.variants.0.content.button", "is an object"),
        ("message.variants.0.content.button", {"text": "x"}, "message.variants.0.content.button.url", "needs a url"),
        ("message.variants.0.content.button.url", "javascript:x", "message.variants.0.content.button.url", "http:"),
        ("message.variants.0.content.button.url", "java\tscript:x", "message.variants.0.content.button.url", "http:"),
        ("message.variants.0.content.image", "data:image/png;base64,", "message.variants.0.content.image", "http:"),
        ("goal", {"event": "A", "within": "x"}, "goal.within", "Not a duration"),
        ("goal", {"within": "1d"}, "goal.event", "name of an event"),
        ("goal", {"event": "A", "value": 1}, "goal.value", "path"),
        ("goal", {"event": "A", "from": "seen"}, "goal.from", "Expected sent, shown or clicked"),
        ("goal", {"event": "A", "prize": 1}, "goal.prize", "Unknown key"),
        ("caps", {"per_day": 1}, "caps", "Expected a list such as"),
        ("caps", [{"count": 0, "per": "day"}], "caps.0.count", "whole number from 1"),
        ("caps", [{"count": 1}], "caps.0", "either within"),
        ("caps", [{"count": 1, "per": "dya"}], "caps.0.per", 'Did you mean "day"?'),
        ("caps", [{"count": 1, "per": "day", "category": "transactional"}], "caps.0.category", "never held back"),
        ("quiet_hours", 7, "quiet_hours", "Expected"),
        ("overflow", "defre", "overflow", 'Did you mean "defer"?'),
        ("exit", {"goal": 1}, "exit.goal", "true or false"),
        ("steps", [], "steps", "not both"),
        ("experiment", [], "experiment", "is not available yet."),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_place_of_the_mistake(
    path: str, value: Any, where: str, sentence: str
) -> None:
    found: Any = mistakes(changed(path, value))
    for key in where.split("."):
        found = found[key]
    assert len(found) == 1
    assert sentence in found[0]


def test_every_mistake_of_a_rule_is_told_at_once() -> None:
    found = mistakes({"nme": "x", "priority": "high", "trigger": {"stage": "x"}, "delay": "x", "message": {}})
    assert sorted(found) == ["delay", "message", "name", "nme", "priority", "trigger"]
    assert sorted(found["message"]) == ["channels", "variants"]


@pytest.mark.parametrize("doc", [None, [], "rule", 5])
def test_what_is_no_object_is_no_rule(doc: object) -> None:
    assert mistakes(doc) == {"_schema": ["A rule is an object with name, trigger, message and so on."]}


def test_two_variants_cannot_share_a_name() -> None:
    variant = {"name": "A", "content": {"body": "x"}}
    found = mistakes({**SMALL, "message": {"channels": ["popup"], "variants": [variant, variant]}})
    assert "Two variants" in found["message"]["variants"]["1"]["name"][0]


def test_a_variant_with_weight_zero_may_stand_beside_another() -> None:
    variants = [{"weight": 0, "content": {"body": "x"}}, {"weight": 0.5, "content": {"body": "y"}}]
    spec = parse_rule({**SMALL, "message": {"channels": ["chat"], "variants": variants}})
    [saying] = messages_of(spec.steps)
    assert [variant.name for variant in saying.message.variants] == ["A", "B"]


def test_a_compiled_rule_knows_what_it_listens_to() -> None:
    rule = compile_rule(Rule(id="r", site_id="s", spec=parse_rule(EXAMPLE)))
    assert (rule.event, rule.stage) == ("Product Added", None)
    assert rule.history == {"Order Completed"}
    moment = Moment(profile=Profile(id="v", site_id="s", stage="cart"), at=NOON, event=event(properties={"price": 100}))
    assert rule.where(moment)
    assert rule.audience(moment)
    assert not rule.where(Moment(profile=moment.profile, at=NOON, event=event(properties={"price": 99})))
    staged = compiled(trigger={"stage": "checkout"})
    assert (staged.event, staged.stage) == (None, "checkout")
    assert staged.where(moment)
    assert staged.audience(moment)


@pytest.mark.parametrize(
    ("here", "there", "hits"),
    [(5, 5, True), (5, 5.0, True), ("5", 5, False), (1, True, False), (None, None, False), ("a", "b", False)],
)
def test_same_asks_that_both_events_carry_equal_values(here: Any, there: Any, hits: bool) -> None:
    rule = compiled(cancel=[{"event": "Order Completed", "same": "properties.cart_id"}])
    (cancel,) = rule.cancels["Order Completed"]
    order = event(name="Order Completed", properties={"cart_id": here})
    moment = Moment(profile=Profile(id="v", site_id="s"), at=NOON, event=order)
    assert cancel.hits(moment, event(properties={"cart_id": there})) is hits
    assert not cancel.hits(moment, None)


def test_a_cancel_reads_the_event_that_cancels() -> None:
    where = {"field": "event.properties.total", "op": "gt", "value": 10}
    rule = compiled(cancel=[{"event": "A", "where": where}, {"event": "A", "where": {"not": where}}, {"event": "B"}])
    moment = Moment(profile=Profile(id="v", site_id="s"), at=NOON, event=event(name="A", properties={"total": 11}))
    assert [cancel.hits(moment, None) for cancel in rule.cancels["A"]] == [True, False]
    assert len(rule.cancels["B"]) == 1


@pytest.mark.parametrize("path", ["properties.cart.id", "event.properties.cart.id"])
def test_the_key_of_a_trigger_is_text_or_nothing(path: str) -> None:
    rule = compiled(reentry={"policy": "per_key", "key": path})
    assert rule.key_of(event(properties={"cart": {"id": "c1"}})) == "c1"
    assert rule.key_of(event(properties={"cart": {"id": 7}})) == "7"
    assert rule.key_of(event(properties={"cart": {"id": None}})) is None
    assert rule.key_of(event(properties={"cart": "c1"})) is None
    assert compiled().key_of(event()) == ""


def test_a_long_key_is_cut_and_stays_its_own() -> None:
    one, other = key_text("x" * 5000 + "1"), key_text("x" * 5000 + "2")
    assert one is not None
    assert other is not None
    assert one != other
    assert len(one) <= 100
    assert (key_text(5.0), key_text(True), key_text([1])) == ("5", "true", None)


def test_a_spec_is_equal_to_one_read_from_equal_json() -> None:
    one: RuleSpec = parse_rule(deepcopy(EXAMPLE))
    assert one == parse_rule(EXAMPLE)
