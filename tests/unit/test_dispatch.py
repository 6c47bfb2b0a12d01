"""The rules that an event may trigger are found by look-up, and are those that trying each would find."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import Moment
from backend.domain.dispatch import Listeners
from backend.domain.event import Event
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, Rule, compile_rule, parse_rule
from tests.core_fixtures import START, popup_rule

VALUES: list[Any] = ["acme", "other", 1, 1.0, 0, True, False, 2, "1", "", None, "2026-03-01T09:00:00Z"]
scalars = st.sampled_from([value for value in VALUES if value is not None])
fields = st.sampled_from(
    ["event.properties.brand", "event.properties.price", "event.context.locale", "event.properties.deep.er"]
)
comparisons = st.builds(
    lambda field, op, value: {"field": field, "op": op, "value": value},
    fields,
    st.sampled_from(["eq", "eq", "ne"]),
    scalars,
)
wheres = st.one_of(
    st.none(),
    comparisons,
    st.lists(comparisons, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
    st.lists(comparisons, min_size=1, max_size=2).map(lambda parts: {"any": parts}),
    comparisons.map(lambda part: {"not": part}),
)
optional = st.sampled_from(VALUES)


def compiled(number: int, where: Any) -> CompiledRule:
    trigger = {"event": "X"} | ({"where": where} if where else {})
    return compile_rule(Rule(id=f"r{number:02}", site_id="s", spec=parse_rule(popup_rule() | {"trigger": trigger})))


@settings(max_examples=300, deadline=None)
@given(st.lists(wheres, max_size=12), optional, optional, optional, optional)
def test_the_rules_found_are_those_that_hold_in_the_order_in_which_they_stand(
    drawn: list[Any], brand: Any, price: Any, locale: Any, deep: Any
) -> None:
    rules = [compiled(number, where) for number, where in enumerate(drawn)]
    properties = {"brand": brand, "price": price, "deep": {"er": deep}}
    event = Event(
        message_id="m",
        name="X",
        type="track",
        timestamp=START,
        received_at=START,
        properties={key: value for key, value in properties.items() if value is not None},
        context={} if locale is None else {"locale": locale},
    )
    moment = Moment(profile=Profile(id="v", site_id="s"), at=START, event=event)
    found = list(Listeners(rules).to(event))
    assert [rule.id for rule in found if rule.where(moment)] == [rule.id for rule in rules if rule.where(moment)]
    assert [rule.id for rule in found] == sorted(rule.id for rule in found)


def test_strange_values_of_an_event_find_what_asks_for_nothing() -> None:
    rules = [compiled(0, {"field": "event.properties.brand", "op": "eq", "value": "acme"}), compiled(1, None)]
    for value in ([], {}, ["acme"], {"acme": 1}, float("inf"), 10**15):
        event = Event(
            message_id="m", name="X", type="track", timestamp=START, received_at=START, properties={"brand": value}
        )
        assert [rule.id for rule in Listeners(rules).to(event)] == ["r01"]
