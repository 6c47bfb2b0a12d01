"""Names in a rule that nobody reported, in conditions and in texts, are told with the nearest that is known."""

from typing import Any

import pytest

from backend.domain.rule.names import Seen, unknown_stages, unseen
from backend.web.demo import ready_rules

SEEN = Seen(
    visitors=30,
    events={"Product Added": 50},
    properties={"Product Added": {"product_id": 50, "name": 50, "price": 50}},
    traits={"loyalty"},
)


def rule(text: str, **more: Any) -> dict[str, Any]:
    content = {"title": "Hello", "body": text}
    return {"trigger": {"event": "Product Added"}, "message": {"variants": [{"content": content}]}, **more}


def told(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and what is meant instead, of each warning."""
    return [
        (".".join(map(str, path)), sentence.partition(" Did you mean ")[2]) for path, sentence in unseen(document, SEEN)
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("{{ frist_name }}", '"first_name"?'),
        ("{{ loyalti | default: 'none' }}", '"loyalty"?'),
        ("{{ produkt.name }}", '"product"?'),
        ("{{ product.nam }}", '"name"?'),
        ("{{ event.properties.pric }}", '"price"?'),
        ("{% if profile.traits.loyalt %}x{% endif %}", '"loyalty"?'),
        ("{{ qqq }}", ""),
    ],
)
def test_a_name_in_a_text_that_nobody_reported_is_told_with_the_nearest(text: str, meant: str) -> None:
    assert told(rule(text)) == [("message.variants.0.content.body", meant)]


@pytest.mark.parametrize(
    "text",
    [
        "{{ first_name | default: 'friend' }}, {{ loyalty }}",
        "{{ product.name }} {{ product.image_url }} {{ product.url }} {{ event.properties.price }}",
        "{% for item in cart.items %}{{ item.name }}{% unless forloop.last %}, {% endunless %}{% endfor %}",
        "{% assign total = cart.total %}{{ total }} {{ site.name }}",
    ],
)
def test_what_is_known_or_made_by_the_text_itself_is_not_told(text: str) -> None:
    assert told(rule(text)) == []


def test_the_texts_of_a_journey_are_read_and_what_the_journey_sets_is_known() -> None:
    asking = {"title": "Why?", "answers": {"trait": "why_not", "options": ["Price", "Size"]}}
    steps = [
        {"set_trait": {"vip": True}},
        {"message": {"variants": [{"content": asking}]}},
        {"wait": {"timeout": "1d"}, "then": [rule("{{ why_not }} {{ vip }} {{ vipp }}")]},
        {"branch": {"if": {"field": "profile.traits.why_not", "op": "is_set"}, "then": [], "else": []}},
    ]
    found = told({"trigger": {"event": "Product Added"}, "steps": steps})
    assert [path for path, _ in found] == ["steps.2.then.0.message.variants.0.content.body"]


def test_a_stage_that_there_is_not_is_told_wherever_a_condition_compares_with_it() -> None:
    audience = {
        "any": [
            {"field": "profile.stage", "op": "in", "value": ["cart", "chekout"]},
            {"not": {"field": "profile.stage", "op": "eq", "value": "crat"}},
            {"field": "profile.traits.plan", "op": "eq", "value": "crat"},
        ]
    }
    found = {".".join(map(str, path)): sentence for path, sentence in unknown_stages({"audience": audience})}
    assert {path: sentence.rpartition("Did you mean ")[2] for path, sentence in found.items()} == {
        "audience.any.0.value": '"checkout"?',
        "audience.any.1.not.value": '"cart"?',
    }


@pytest.mark.parametrize("name", ["Time On Page", "Scrolled", "Exit Intent"])
def test_what_pages_report_only_once_a_rule_asks_for_it_needs_no_having_been_seen(name: str) -> None:
    assert told({**rule("Hello"), "trigger": {"event": name}, "audience": {"performed": name}}) == []


def test_the_demo_s_own_rules_use_no_name_that_is_unknown() -> None:
    for each in ready_rules():
        assert told(each) == []
        assert list(unknown_stages(each)) == []
