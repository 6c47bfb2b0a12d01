"""A condition that does not hold says which part is at fault, with what was asked and what was found."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from backend.domain.condition import Moment, parse_condition
from backend.domain.condition.why import why_not
from backend.domain.profile import Cart, Profile

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = Profile(id="v", site_id="s", stage="cart", cart=Cart(total=Decimal("48.00")), counts={"Product Viewed": 2})


def why(condition: dict[str, Any]) -> list[str]:
    return why_not(parse_condition(condition), Moment(profile=PROFILE, at=NOW))


def test_what_holds_needs_no_reason() -> None:
    assert why({"field": "profile.cart.total", "op": "gte", "value": 10}) == []


def test_a_comparison_shows_what_was_asked_and_what_was_found() -> None:
    condition = {"field": "profile.cart.total", "op": "gte", "value": 100}
    assert why(condition) == ["profile.cart.total gte 100 was asked; profile.cart.total is 48.0."]


def test_only_the_parts_at_fault_are_named() -> None:
    condition = {
        "all": [
            {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
            {"field": "profile.user_id", "op": "is_set"},
            {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}},
        ]
    }
    assert why(condition) == [
        "profile.user_id is_set was asked; profile.user_id is missing.",
        "performed Product Viewed at least 3 times was asked, and is not so.",
    ]


def test_what_must_not_hold_is_named_when_it_does() -> None:
    assert why({"not": {"performed": "Product Viewed"}}) == [
        "It holds, and must not: performed Product Viewed at least once."
    ]


def test_text_held_against_a_number_is_shown_as_text() -> None:
    condition = {"field": "profile.cart.total", "op": "gte", "value": "10"}
    assert why(condition) == ['profile.cart.total gte "10" was asked; profile.cart.total is 48.0.']
