"""The rules that an event starts are found by look-up and by sets, and are those that trying each would find."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import HistoryNeeded, Moment, SharedTests, compile_condition, parse_condition
from backend.domain.condition.cost import DEAR, conjuncts, cost_of
from backend.domain.condition.source import Writer
from backend.domain.dispatch import Dispatch
from backend.domain.event import Event
from backend.domain.past import Past, by_name
from backend.domain.profile import Device, Profile
from backend.domain.rule import CompiledRule, Rule, compile_rule, parse_rule
from tests.core_fixtures import START, popup_rule

VALUES: list[Any] = ["acme", "ac", "other", 1, 1.0, 0, True, False, 2, 2.5, -1, "1", "", None, "2026-03-01T09:00:00Z"]
GIVEN = [value for value in VALUES if value is not None]
NUMBERS = [value for value in GIVEN if value.__class__ in (int, float)]
event_fields = st.sampled_from(
    ["event.properties.brand", "event.properties.price", "event.context.locale", "event.properties.deep.er"]
)
profile_fields = st.sampled_from(
    [
        "profile.traits.plan",
        "profile.stage",
        "profile.sessions",
        "profile.counts.X",
        "profile.cart.total",
        "profile.device.locale",
        "profile.orders.count",
        "profile.orders.revenue",
        "profile.user_id",
        "event.event",
    ]
)


def comparisons(fields: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    def asked(field: str, op: str, one: Any, number: float, several: list[Any]) -> dict[str, Any]:
        value: Any = one
        if op in ("in", "not_in"):
            value = several
        elif op in ("gte", "gt", "lte", "lt"):
            value = number
        elif op == "between":
            value = sorted((number, number + 1))
        elif op in ("starts_with", "contains", "ends_with", "glob"):
            value = str(one)
        elif op in ("is_set", "is_not_set"):
            return {"field": field, "op": op}
        return {"field": field, "op": op, "value": value}

    ops = ["eq", "eq", "eq", "ne", "in", "in", "not_in", "gte", "gt", "lte", "lt", "between", "starts_with", "contains"]
    return st.builds(
        asked,
        fields,
        st.sampled_from([*ops, "is_set", "is_not_set"]),
        st.sampled_from(GIVEN),
        st.sampled_from(NUMBERS),
        st.lists(st.sampled_from(GIVEN), min_size=1, max_size=3),
    )


def conditions(fields: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    one = comparisons(fields)
    did = st.sampled_from(
        [{"performed": "X"}, {"performed": "X", "within": "1h"}, {"performed": "Y", "count": {"op": "lt", "value": 1}}]
    )
    part = st.one_of(one, one, did, one.map(lambda each: {"not": each}))
    return st.one_of(
        st.none(),
        part,
        st.lists(part, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
        st.lists(part, min_size=1, max_size=2).map(lambda parts: {"any": parts}),
    )


optional = st.sampled_from(VALUES)
wheres = conditions(event_fields)
audiences = conditions(st.one_of(event_fields, profile_fields))


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    properties = {"brand": draw(optional), "price": draw(optional), "deep": {"er": draw(optional)}}
    locale = draw(optional)
    event = Event(
        message_id="m",
        name="X",
        type="track",
        timestamp=START,
        received_at=START,
        properties={key: value for key, value in properties.items() if value is not None},
        context={} if locale is None else {"locale": locale},
    )
    plan = draw(optional)
    profile = Profile(
        id="v",
        site_id="s",
        traits={} if plan is None else {"plan": plan},
        stage=draw(st.sampled_from(["new", "cart"])),
        sessions=draw(st.integers(0, 2)),
        counts={"X": draw(st.integers(1, 3))},
        last_at={"X": START},
        device=Device(locale=draw(st.sampled_from([None, "acme"]))),
    )
    return Moment(profile=profile, at=START, event=event, history=Past(by_name([event]), complete=True))


def compiled(number: int, where: Any, audience: Any = None, shared: SharedTests | None = None) -> CompiledRule:
    trigger = {"event": "X"} | ({"where": where} if where else {})
    document = popup_rule() | {"trigger": trigger} | ({"audience": audience} if audience else {})
    return compile_rule(Rule(id=f"r{number:02}", site_id="s", spec=parse_rule(document)), shared)


def started(rules: list[CompiledRule], moment: Moment) -> list[str]:
    dispatch = Dispatch(rules)
    assert moment.event is not None
    asked = dispatch.asked(dispatch.listening(moment.event), moment)
    return [rule.id for rule, tests in asked if all(test(moment) for test in tests)]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(wheres, audiences), max_size=12), moments())
def test_the_rules_that_start_are_those_that_hold_in_the_order_in_which_they_stand(
    drawn: list[tuple[Any, Any]], moment: Moment
) -> None:
    shared = SharedTests()
    rules = [compiled(number, where, audience, shared) for number, (where, audience) in enumerate(drawn)]
    expected = []
    for number, (where, audience) in enumerate(drawn):
        alone = compiled(number, where, audience)
        if alone.where(moment) and alone.audience(moment):
            expected.append(alone.id)
    assert started(rules, moment) == expected


@settings(max_examples=400, deadline=None)
@given(audiences, moments())
def test_a_condition_written_out_says_the_same_as_compiled(drawn: Any, moment: Moment) -> None:
    condition = parse_condition(drawn) if drawn else parse_condition({"all": []})
    test = compile_condition(condition)
    writer = Writer()
    text = writer.expression(condition, test)
    namespace = writer.bound
    exec(f"def asked(m):\n pr, ev = m.profile, m.event\n return bool({text})", namespace)
    assert namespace["asked"](moment) is bool(test(moment))


def test_the_text_holds_nothing_of_what_people_wrote() -> None:
    evil = "') or __import__('os').abort() or ('"
    condition = parse_condition(
        {
            "any": [
                {"field": f"profile.traits.{evil}", "op": "eq", "value": evil},
                {"field": f"event.properties.{evil}", "op": "in", "value": [evil]},
                {"field": "event.properties.x", "op": "starts_with", "value": evil},
            ]
        }
    )
    writer = Writer()
    text = writer.expression(condition, compile_condition(condition))
    assert "abort" not in text
    assert "import" not in text


def test_strange_values_of_an_event_find_what_asks_for_nothing() -> None:
    asks = {"field": "event.properties.brand", "op": "eq", "value": "acme"}
    floor = {"field": "event.properties.brand", "op": "gte", "value": 10**16}
    rules = [compiled(0, asks), compiled(1, None), compiled(2, floor)]
    for value in ([], {}, ["acme"], {"acme": 1}, float("nan"), 10**15, None):
        event = Event(
            message_id="m", name="X", type="track", timestamp=START, received_at=START, properties={"brand": value}
        )
        assert started(rules, Moment(profile=Profile(id="v", site_id="s"), at=START, event=event)) == ["r01"]


def test_of_an_event_that_nobody_listens_to_nothing_is_asked() -> None:
    dispatch = Dispatch([compiled(0, None)])
    event = Event(message_id="m", name="Other", type="track", timestamp=START, received_at=START)
    assert dispatch.listening(event) == 0


def test_what_is_dear_is_asked_only_of_whom_the_cheap_leaves() -> None:
    """The history is not fetched for a rule whose stage is wrong, wherever that stands in the rule."""
    dear = {"performed": "X", "where": {"field": "event.properties.price", "op": "gte", "value": 1}}
    cheap = {"field": "profile.stage", "op": "eq", "value": "cart"}
    rules = [compiled(number, None, {"all": [dear, cheap]}) for number in range(2)]
    profile = Profile(id="v", site_id="s", counts={"X": 1}, last_at={"X": START})
    event = Event(message_id="m", name="X", type="track", timestamp=START, received_at=START)
    assert started(rules, Moment(profile=profile, at=START, event=event)) == []


def test_what_cannot_be_answered_for_all_is_left_to_each_rule() -> None:
    dear = {"performed": "X", "where": {"field": "event.properties.price", "op": "gte", "value": 1}}
    rules = [compiled(0, None, dear), compiled(1, None, dear), compiled(2, None)]
    profile = Profile(id="v", site_id="s", counts={"X": 1}, last_at={"X": START})
    event = Event(message_id="m", name="X", type="track", timestamp=START, received_at=START)
    moment = Moment(profile=profile, at=START, event=event)
    dispatch = Dispatch(rules)
    asked = {rule.id: tests for rule, tests in dispatch.asked(dispatch.listening(event), moment)}
    assert list(asked) == ["r00", "r01", "r02"]
    with pytest.raises(HistoryNeeded):
        all(test(moment) for test in asked["r00"])
    assert all(test(moment) for test in asked["r02"])


def test_the_parts_of_a_condition_and_what_they_cost() -> None:
    cheap = {"field": "profile.stage", "op": "eq", "value": "cart"}
    dear = {"performed": "X", "within": "1h"}
    condition = parse_condition({"all": [{"all": [dear, cheap]}, {"not": dear}]})
    costs = [cost_of(part) for part in conjuncts(condition)]
    assert costs == [DEAR, 1, DEAR]
    assert list(conjuncts(None)) == []
