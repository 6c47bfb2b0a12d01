"""Answers under a message: how they are written, and that a press sets the trait that the message names."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.answer import Answers
from backend.domain.attention import Contact, merged
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.rule import parse_rule
from backend.domain.template import MissingValue, parse_content, read_content, render_content
from backend.schemas.documents import decode_profile, encode_profile
from tests.story import NOON, Story, rule, sent

WHY = {"trait": "why_not_bought", "options": ["Too dear", {"text": "Shipping", "value": "shipping"}, "Just looking"]}


def asking(answers: Any = WHY, channel: str = "popup") -> dict[str, Any]:
    return {"channels": [channel], "variants": [{"content": {"title": "Why?", "body": "…", "answers": answers}}]}


def mistakes_in(answers: Any) -> dict[str, Any]:
    mistakes = Mistakes()
    read_content({"title": "Why?", "answers": answers}, ["popup"], (), mistakes)
    found: dict[str, Any] = mistakes.errors.get("answers", {})
    return found


def test_a_plain_text_is_its_own_value_and_texts_are_liquid() -> None:
    mistakes = Mistakes()
    told = {"trait": "why", "options": ["Too dear", {"text": "Not for {{ first_name }}", "value": 3}]}
    content = read_content({"title": "Why?", "answers": told}, ["popup", "chat"], (), mistakes)
    assert not mistakes
    templates = parse_content(content, mail=False)
    assert render_content(templates, {"first_name": "Zoë"})["answers"] == {
        "trait": "why",
        "options": [{"text": "Too dear", "value": "Too dear"}, {"text": "Not for Zoë", "value": 3}],
    }
    with pytest.raises(MissingValue):
        render_content(templates, {})


def test_an_answer_whose_text_turns_out_empty_keeps_the_variant_from_being_sent() -> None:
    told = {"trait": "why", "options": [{"text": "{% if vip %}Yes{% endif %}", "value": "yes"}]}
    templates = parse_content(read_content({"title": "?", "answers": told}, ["popup"], (), Mistakes()), mail=False)
    assert render_content(templates, {"vip": True})["answers"]["options"] == [{"text": "Yes", "value": "yes"}]
    with pytest.raises(MissingValue, match="no text"):
        render_content(templates, {"vip": False})


@pytest.mark.parametrize(
    ("answers", "path", "sentence"),
    [
        ([], (), "Answers are an object"),
        ("why", (), "Answers are an object"),
        ({"options": ["a"]}, ("trait",), "name of a trait"),
        ({**WHY, "trait": "{{ first_name }}"}, ("trait",), "no Liquid"),
        ({**WHY, "trait": "Email"}, ("trait",), "address"),
        ({**WHY, "trait": "x" * 101}, ("trait",), "1 to 100"),
        ({**WHY, "trait": "a\nb"}, ("trait",), "name of a trait"),
        ({**WHY, "trait": 7}, ("trait",), "name of a trait"),
        ({"trait": "why"}, ("options",), "1 to 6"),
        ({**WHY, "options": []}, ("options",), "1 to 6"),
        ({**WHY, "options": list("abcdefg")}, ("options",), "1 to 6"),
        ({**WHY, "options": {"a": "b"}}, ("options",), "1 to 6"),
        ({**WHY, "options": ["a", "a"]}, ("options", "1"), "Two answers"),
        ({**WHY, "options": ["a", {"text": "b", "value": "a"}]}, ("options", "1"), "Two answers"),
        ({**WHY, "options": [""]}, ("options", "0"), "text of 1 to"),
        ({**WHY, "options": ["x" * 301]}, ("options", "0"), "text of 1 to"),
        ({**WHY, "options": [{"value": "x"}]}, ("options", "0", "text"), "text of 1 to"),
        ({**WHY, "options": ["Not for {{ first_name }}"]}, ("options", "0"), "needs a value"),
        ({**WHY, "options": [{"text": "{{ x", "value": 1}]}, ("options", "0", "text"), ""),
        ({**WHY, "options": [{"text": "a", "value": None}]}, ("options", "0", "value"), "a text, a number"),
        ({**WHY, "options": [{"text": "a", "value": ["b"]}]}, ("options", "0", "value"), "a text, a number"),
        ({**WHY, "options": [{"text": "a", "value": float("inf")}]}, ("options", "0", "value"), "a text, a number"),
        ({**WHY, "options": [{"text": "a", "value": "x" * 201}]}, ("options", "0", "value"), "1 to 200"),
        ({**WHY, "options": [{"text": "a", "valeu": "b"}]}, ("options", "0", "valeu"), 'Did you mean "value"?'),
        ({**WHY, "option": []}, ("option",), 'Did you mean "options"?'),
    ],
)
def test_each_mistake_is_told_with_its_path(answers: Any, path: tuple[str, ...], sentence: str) -> None:
    found: Any = mistakes_in(answers)
    for key in path:
        found = found[key]
    assert isinstance(found, list)
    assert sentence in found[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["trait", "options", "text", "value"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_jumble_is_read_or_refused(told: Any) -> None:
    mistakes = Mistakes()
    content = read_content({"title": "?", "answers": told}, ["popup"], (), mistakes)
    if not mistakes:
        parse_content(content, mail=False)


def test_one_and_true_and_the_text_are_three_values() -> None:
    answers = Answers(trait="x", values=(1, True, "1"))
    assert [answers.chosen(each) is each for each in answers.values] == [True, True, True]
    assert answers.chosen(1.0) == 1
    assert [answers.chosen(each) for each in (2, None, [], {}, "True", False)] == [None] * 6


def test_a_press_sets_the_trait_counts_as_a_reply_and_starts_what_waits_for_it() -> None:
    follow = rule("b", {"trait": "why_not_bought", "to": "shipping"})
    story = Story([rule("a", "A", message=asking()), follow])
    story.did("A", 0)
    [message] = story.run(0).messages
    story.did("Message Answered", 5, message_id=message.id, answer="Shipping", value="shipping", trait="vip")
    result = story.run()
    assert result.profile.traits == {"why_not_bought": "shipping"}
    assert sent(result) == [("a", 0), ("b", 5)]
    assert result.profile.contacts[0].replied_at == NOON + timedelta(minutes=5)
    profile, _, messages = story.run_in_steps()
    assert (profile.traits, len(messages)) == ({"why_not_bought": "shipping"}, 2)


@pytest.mark.parametrize(
    "claim",
    [
        {"value": "free text"},
        {"value": ["shipping"]},
        {"value": None},
        {"value": "shipping", "message_id": "another"},
        {"value": "shipping", "message_id": None},
        {"answer": "Shipping"},
    ],
)
def test_a_page_cannot_claim_what_was_not_offered(claim: dict[str, Any]) -> None:
    story = Story([rule("a", "A", message=asking())])
    story.did("A", 0)
    [message] = story.run(0).messages
    story.did("Message Answered", 5, **{"message_id": message.id, "trait": "vip", **claim})
    assert story.run().profile.traits == {}


def test_a_message_without_answers_sets_nothing() -> None:
    story = Story([rule("a", "A")])
    story.did("A", 0)
    [message] = story.run(0).messages
    story.did("Message Answered", 5, message_id=message.id, value="shipping", trait="vip")
    assert story.run().profile.traits == {}


def test_the_later_of_two_answers_counts_in_whatever_order_they_arrive() -> None:
    for order in ((1, 2), (2, 1)):
        story = Story([rule("a", "A", message=asking())])
        story.did("A", 0)
        [message] = story.run(0).messages
        for at in order:
            value = {1: "Too dear", 2: "shipping"}[at]
            story.did("Message Answered", at, message_id=message.id, value=value)
        assert story.run().profile.traits == {"why_not_bought": "shipping"}


def test_what_was_offered_is_kept_with_the_profile_and_through_a_merge() -> None:
    story = Story([rule("a", "A", message=asking())])
    story.did("A", 0)
    profile = story.run(0).profile
    assert decode_profile(encode_profile(profile)) == profile
    [contact] = merged(profile.contacts, profile.contacts)
    assert contact.answers == Answers(trait="why_not_bought", values=("Too dear", "shipping", "Just looking"))
    assert Contact.__dataclass_fields__["answers"].default is None


@pytest.mark.parametrize("display", ["teaser", "window", "at_once"])
def test_a_rule_says_how_its_pop_up_comes_into_sight(display: str) -> None:
    story = Story([rule("a", "A", message={**asking(), "display": display})])
    story.did("A", 0)
    [message] = story.run(0).messages
    assert message.content["display"] == display


@pytest.mark.parametrize(
    ("display", "channel", "sentence"),
    [
        ("windw", "popup", 'Did you mean "window"?'),
        (True, "popup", "Expected teaser, window or at_once."),
        (["teaser"], "popup", "Expected teaser, window or at_once."),
        ("teaser", "chat", "popup is not among the channels"),
    ],
)
def test_a_mistake_in_display_is_told(display: Any, channel: str, sentence: str) -> None:
    message = {**asking(channel=channel), "display": display}
    with pytest.raises(RuleErrors) as raised:
        parse_rule({"name": "r", "trigger": {"event": "A"}, "message": message})
    assert sentence in raised.value.errors["message"]["display"][0]
