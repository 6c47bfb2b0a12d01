"""What a site reports is learned with harmless examples, and conditions are held against it."""

from datetime import timedelta
from typing import Any

import pytest

from backend.domain.event import SIGNAL, Event
from backend.domain.rule.names import Seen, mistyped
from backend.domain.trait import CHANGED
from backend.domain.vocabulary import EXAMPLES, MOST_NEW, Known, Name, Names, note
from tests.story import NOON


def event(name: str = "Signed Up", minute: float = 0, **facts: Any) -> Event:
    moment = NOON + timedelta(minutes=minute)
    facts.setdefault("type", "track")
    return Event(message_id=name, name=name, timestamp=moment, received_at=moment, **facts)


def noted(*events: Event) -> Names:
    names: Names = {}
    for each in events:
        note(names, each)
    return names


def examples(name: str, value: Any, of: str = "Signed Up") -> list[Any]:
    return noted(event(of, properties={name: value}))[Name("property", of, name)].examples


def test_names_are_known_with_types_examples_and_times() -> None:
    names = noted(
        event(properties={"plan": "pro", "seats": 3}),
        event(minute=5, properties={"plan": "free", "seats": "many", "at": "2026-03-01", "ok": True}),
        event("Identify", type="identify", traits={"color": "red", "$add": {"points": "5"}, "$append": {"tags": "x"}}),
        event("Played", context={"traits": {"$set": {"level": 7}, "$unset": ["color"]}}),
        event(CHANGED, type=SIGNAL, properties={"$set_once": {"origin": "shop"}}),
        event("Broadcast", type=SIGNAL, properties={"rule_id": "r"}),
    )
    plan = names[Name("property", "Signed Up", "plan")]
    assert (plan.count, plan.types, plan.examples) == (2, {"text": 2}, ["pro", "free"])
    assert (plan.first_seen, plan.last_seen) == (NOON, NOON + timedelta(minutes=5))
    assert names[Name("property", "Signed Up", "seats")].types == {"number": 1, "text": 1}
    assert names[Name("property", "Signed Up", "at")].types == {"date": 1}
    assert {each.name for each in names if each.kind == "trait"} == {"color", "points", "tags", "level", "origin"}
    assert names[Name("trait", "", "points")].types == {"number": 1}
    assert names[Name("trait", "", "tags")].types == {"list": 1}
    assert {each.name for each in names if each.kind == "event"} == {"Signed Up", "Identify", "Played"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("plan", "pro", ["pro"]),
        ("price", 19.9, [19.9]),
        ("since", "2026-03-01T10:00:00+02:00", ["2026-03-01T10:00:00+02:00"]),
        ("email", "ada@example.com", []),
        ("contact_email", "x", []),
        ("phoneNumber", "x", []),
        ("firstName", "Ada", []),
        ("customer_id", "c-1", []),
        ("product_id", "tea-1", ["tea-1"]),
        ("where", "write to ada@example.com", ["•••@•••"]),
        ("where", "+43 660 123 45 67", ["•••"]),
        ("where", "4111 1111 1111 1111", ["•••"]),
        ("where", 4111111111111111, ["•••"]),
        ("where", "192.168.10.12", ["•••"]),
        ("where", "eyJhbGciOiJIUzI1NiJ9", []),
        ("where", "https://shop.example/a?token=secret", ["https://shop.example/a"]),
        ("where", "x" * 60, []),
        ("password", "x", []),
        ("things", ["ada@example.com"], []),
    ],
)
def test_an_example_never_says_who_somebody_is(name: str, value: Any, shown: list[Any]) -> None:
    assert examples(name, value) == shown


def test_what_was_typed_into_a_form_is_no_example() -> None:
    assert examples("value", "anything", "Form Field Filled") == []
    assert examples("page", "/a", "Form Field Filled") == []
    assert examples("field", "color", "Form Field Filled") == ["color"]
    names = noted(event("Identify", type="identify", traits={"name": "Ada", "city": "x"}))
    assert names[Name("trait", "", "name")].examples == []


def test_what_is_noted_is_bounded_and_can_be_joined() -> None:
    names = noted(*(event(properties={f"p{n}": n, "same": n % 9}) for n in range(3 * MOST_NEW)))
    assert len(names) == MOST_NEW
    same = names[Name("property", "Signed Up", "same")]
    assert len(same.examples) == EXAMPLES
    joined = same.joined(Known(NOON, NOON + timedelta(days=1), 2, {"text": 2}, [1, "z"]))
    assert (joined.count, joined.types["text"], joined.last_seen) == (same.count + 2, 2, NOON + timedelta(days=1))
    assert len(joined.examples) == EXAMPLES


SEEN = Seen(
    visitors=5,
    types={
        ("trait", "", "plan"): {"text": 50},
        ("trait", "", "born"): {"date": 50},
        ("trait", "", "tags"): {"list": 50},
        ("trait", "", "rare"): {"text": 3},
        ("property", "Signed Up", "seats"): {"number": 40},
    },
)


@pytest.mark.parametrize(
    ("condition", "warned"),
    [
        ({"field": "profile.traits.plan", "op": "gt", "value": 5}, '"plan" never was a number'),
        ({"field": "profile.traits.plan", "op": "eq", "value": "pro"}, None),
        ({"field": "profile.traits.plan", "op": "ne", "value": 5}, None),
        ({"field": "profile.traits.plan", "op": "in", "value": [1, "pro"]}, None),
        ({"field": "profile.traits.plan", "op": "before", "value": {"ago": "3d"}}, "never was a date"),
        ({"field": "profile.traits.born", "op": "before", "value": {"ago": "3d"}}, None),
        ({"field": "profile.traits.born", "op": "eq", "value": "2026-03-01"}, None),
        ({"field": "profile.traits.tags", "op": "contains", "value": "x"}, None),
        ({"field": "profile.traits.tags", "op": "eq", "value": "x"}, "it was a list"),
        ({"field": "profile.traits.rare", "op": "eq", "value": 5}, None),
        ({"field": "profile.traits.unknown", "op": "eq", "value": 5}, None),
        ({"field": "profile.traits.plan.name", "op": "eq", "value": 5}, None),
        (
            {"performed": "Signed Up", "where": {"field": "event.properties.seats", "op": "eq", "value": "5"}},
            '"seats" of Signed Up never was a date or text',
        ),
    ],
)
def test_a_type_that_never_was_seen_is_warned_of(condition: dict[str, Any], warned: str | None) -> None:
    found = [
        f"{'.'.join(map(str, path))}: {told}" for path, told in mistyped({"condition": {"all": [condition]}}, SEEN)
    ]
    assert len(found) == (warned is not None)
    if warned is not None:
        assert warned in found[0]
        assert found[0].startswith("condition.all.0.")
