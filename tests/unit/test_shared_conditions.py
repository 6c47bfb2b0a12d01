"""What many rules ask alike is asked once, and each rule gets the answer to its own question."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import Moment, SharedTests, compile_condition, parse_condition
from backend.domain.event import Event
from backend.domain.profile import Profile
from tests.core_fixtures import START


def _question(number: int) -> dict[str, Any]:
    """One of several questions that are dear enough to be remembered: whether the number is this one, or greater."""
    return {
        "any": [
            {"field": "event.properties.n", "op": "eq", "value": number},
            {"field": "event.properties.n", "op": "gt", "value": number + 1},
        ]
    }


def _moment(number: int) -> Moment:
    event = Event(message_id="m", name="X", type="track", timestamp=START, received_at=START, properties={"n": number})
    return Moment(profile=Profile(id="v", site_id="s"), at=START, event=event)


def test_two_questions_that_two_rules_each_ask_do_not_answer_for_one_another() -> None:
    shared = SharedTests()
    first, second, first_again, second_again = (
        compile_condition(parse_condition(_question(number)), shared) for number in (1, 5, 1, 5)
    )
    moment = _moment(1)
    assert [test(moment) for test in (first, first_again, second, second_again)] == [True, True, False, False]


@settings(max_examples=200, deadline=None)
@given(asked=st.lists(st.integers(0, 6), max_size=20), number=st.integers(0, 8))
def test_shared_or_not_the_answers_are_the_same(asked: list[int], number: int) -> None:
    shared = SharedTests()
    conditions = [parse_condition(_question(each)) for each in asked]
    moment = _moment(number)
    together = [compile_condition(each, shared)(moment) for each in conditions]
    assert together == [compile_condition(each)(_moment(number)) for each in conditions]
