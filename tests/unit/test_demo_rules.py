"""The demo's three rules, held against visits to the demo shop by the engine that also decides live."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from backend.domain.engine import Advance, Ruleset, advance
from backend.domain.event import CALL_NAMES, Event
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.domain.site import Site
from backend.web.demo import blueprint, ready_rules
from backend.web.demo.catalogue import catalogue
from backend.web.demo.shop import properties

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SITE = Site(id="demo", name="demo", write_key="demo", secret_key="none", currency="USD")


def product(slug: str) -> dict[str, Any]:
    app = Flask("demo shop alone")
    app.register_blueprint(blueprint)
    found = catalogue().product(slug)
    assert found is not None
    with app.test_request_context(base_url="http://shop.example"):
        return properties(found)


KETTLE, TEA = product("ember-copper-kettle"), product("fireside-lapsang")
LINES = [KETTLE | {"quantity": 1, "position": 1}, TEA | {"quantity": 2, "position": 2}]
CHECKOUT = {"cart_id": "c1", "url": "http://shop.example/demo/checkout", "products": LINES}
ADA = {"email": "ada@example.org", "first_name": "Ada"}


def visit(*steps: tuple[float, str, Mapping[str, Any]], until: float = 600) -> Advance:
    """What a visit leads to: steps are (seconds after noon, event or `identify`, properties or traits)."""
    events = [
        Event(
            message_id=f"m{order}",
            name=CALL_NAMES.get(name, name),
            type=name if name in CALL_NAMES else "track",
            timestamp=NOON + timedelta(seconds=seconds),
            received_at=NOON + timedelta(seconds=seconds),
            order=order,
            anonymous_id="a" * 32,
            properties={} if name in CALL_NAMES else facts,
            traits=facts if name in CALL_NAMES else {},
        )
        for order, (seconds, name, facts) in enumerate(steps)
    ]
    rules = [
        compile_rule(Rule(id=f"rule {number}", site_id="demo", spec=parse_rule(document), status="active"))
        for number, document in enumerate(ready_rules(), start=1)
    ]
    return advance(
        Ruleset.of(SITE, rules),
        Profile(id="visitor", site_id="demo", anonymous_ids=("a" * 32,)),
        [],
        events,
        Past(by_name(events), complete=True),
        until=NOON + timedelta(seconds=until),
        now=None,
    )


def said(result: Advance) -> list[tuple[str, str, float]]:
    """Each message as (rule, channel, seconds after noon)."""
    return [
        (message.rule_id, message.channel, (message.created_at - NOON).total_seconds()) for message in result.messages
    ]


def test_the_second_product_looked_at_brings_a_pop_up_five_seconds_later() -> None:
    result = visit((0, "Product Viewed", KETTLE), (20, "Product Viewed", TEA), (40, "Product Viewed", KETTLE))
    assert said(result) == [("rule 1", "popup", 25)]
    content = result.messages[0].content
    assert content["title"] == "Hello there"
    assert "Fireside lapsang" in content["body"]


def test_a_known_visitor_is_greeted_by_name() -> None:
    result = visit((0, "identify", ADA), (1, "Product Viewed", KETTLE), (2, "Product Viewed", TEA))
    assert result.messages[0].content["title"] == "Hello Ada"


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "Product Viewed", KETTLE)],
        [
            (0, "Product Viewed", KETTLE),
            (1, "Product Viewed", TEA),
            (4, "Product Added", TEA),
            (9, "Product Removed", TEA),
        ],
    ],
    ids=["one look", "into the basket within the five seconds"],
)
def test_nobody_is_asked_too_early_or_with_something_in_the_basket(steps: list[tuple[float, str, Any]]) -> None:
    assert said(visit(*steps)) == []


def test_a_full_basket_left_for_a_minute_brings_one_pop_up_with_the_product() -> None:
    result = visit((0, "Product Added", KETTLE | {"quantity": 1}), (30, "Product Added", TEA | {"quantity": 2}))
    assert said(result) == [("rule 2", "popup", 60)]
    content = result.messages[0].content
    assert "Ember copper kettle" in content["body"]
    assert content["image"] == "http://shop.example/demo/static/products/ember.svg"


def test_a_page_of_one_s_own_that_reports_no_picture_is_spoken_to_too() -> None:
    result = visit((0, "Product Added", {"product_id": "k-17", "name": "Copper kettle", "price": 134.0, "quantity": 1}))
    assert said(result) == [("rule 2", "popup", 60)]
    assert result.messages[0].content["image"] == ""


@pytest.mark.parametrize("event", ["Order Completed", "Product Removed"])
def test_an_order_or_an_emptied_basket_silences_the_reminder(event: str) -> None:
    result = visit((0, "Product Added", KETTLE), (50, event, KETTLE | {"products": [KETTLE], "order_id": "SK-1"}))
    assert said(result) == []


def test_a_checkout_left_brings_a_mail_to_who_left_an_address() -> None:
    result = visit(
        (0, "Product Added", KETTLE | {"quantity": 1}),
        (5, "Product Added", TEA | {"quantity": 2}),
        (10, "Checkout Started", CHECKOUT),
        (40, "identify", ADA),
    )
    assert said(result) == [("rule 2", "popup", 60), ("rule 3", "email", 130)]
    mail = result.messages[1]
    assert mail.address == "ada@example.org"
    assert mail.content["subject"] == "Your basket at Slow Kettle"
    assert mail.content["title"] == "Did something get in the way, Ada?"
    assert "1 × Ember copper kettle, 2 × Fireside lapsang." in mail.content["body"]
    assert mail.content["button"]["url"] == "http://shop.example/demo/checkout"


def test_a_checkout_left_without_an_address_brings_a_chat() -> None:
    result = visit((0, "Product Added", KETTLE | {"quantity": 1}), (10, "Checkout Started", CHECKOUT))
    assert said(result)[1:] == [("rule 3", "chat", 130)]


def test_an_order_within_two_minutes_silences_the_mail() -> None:
    result = visit(
        (0, "Product Added", KETTLE | {"quantity": 1}),
        (10, "Checkout Started", CHECKOUT),
        (20, "identify", ADA),
        (50, "Order Completed", {"order_id": "SK-1", "revenue": 134, "products": LINES}),
    )
    assert said(result) == []
    assert result.profile.stage == "customer"
