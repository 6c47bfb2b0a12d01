"""The ready templates, each over a story made by hand: who gets it, who does not, and when."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.domain.mistakes import RuleErrors
from backend.domain.rule import Rule, parse_rule
from backend.domain.rule_template import filled
from backend.domain.site import Policy, Site
from backend.domain.template import CONTENT_FIELDS
from backend.pipeline.rehearse import rehearse
from backend.storage.rule_templates import FUNNEL, get_rule_template, rule_templates

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SITE = Site(id="site", name="shop", write_key="w", secret_key="s", policy=Policy())
EVENTS_PARSE = "answers" in CONTENT_FIELDS
KETTLE = {"product_id": "kettle", "name": "Kettle", "price": 40, "quantity": 1}


@dataclass
class Tale:
    """What people did, told in minutes after noon."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def did(self, who: str, minute: float, event: str, user: str | None = None, **properties: Any) -> "Tale":
        made = {"type": "track", "event": event, "anonymousId": who, "properties": properties}
        return self.call(minute, made | ({"userId": user} if user else {}))

    def mail(self, who: str, minute: float = 0) -> "Tale":
        """They told their address."""
        traits = {"email": f"{who}@shop.example", "first_name": who.capitalize()}
        return self.call(minute, {"type": "identify", "anonymousId": who, "userId": f"u-{who}", "traits": traits})

    def call(self, minute: float, made: dict[str, Any]) -> "Tale":
        self.calls.append({**made, "timestamp": (NOON + timedelta(minutes=minute)).isoformat()})
        return self

    def run(self, template_id: str, days: int = 90, **parameters: Any) -> list[tuple[str, float, str]]:
        """(who, minutes after noon, channel) of every message, in order of time; nobody is held out."""
        template = get_rule_template(template_id)
        if any(each.name == "holdout" for each in template.parameters):
            parameters.setdefault("holdout", 0)
        spec = parse_rule(filled(template, parameters))
        found = rehearse(
            SITE, [Rule(id=template_id, site_id="site", spec=spec)], self.calls, NOON + timedelta(days=days)
        )
        return sorted(
            (
                (str(item.anonymous_id), (said.at - NOON) / timedelta(minutes=1), said.channel)
                for item in found.items
                for said in item.messages
            ),
            key=lambda each: each[1],
        )


DAY = 24 * 60


@pytest.mark.parametrize("template_id", FUNNEL)
def test_a_template_is_a_rule_with_its_defaults(template_id: str) -> None:
    if template_id == "why-not-bought" and not EVENTS_PARSE:
        pytest.skip("answer buttons (content field `answers`) are not known yet")
    template = get_rule_template(template_id)
    spec = parse_rule(filled(template))
    assert spec.name
    assert template.summary.endswith(".")
    assert template.needs
    assert (spec.category == "transactional") == (template_id == "order-thanks")
    assert spec.reentry.policy != "every" or spec.reentry.at_most == 1, "nobody hears it again and again"


def test_no_template_presses_or_spies() -> None:
    for template in rule_templates():
        text = str(template.rule["message"]).lower()
        for word in (
            "hurry up",
            "only today",
            "last chance",
            "left in stock",
            "we saw",
            "we noticed",
            "you looked",
            "!",
        ):
            assert word not in text, template.id


def test_every_parameter_is_used_and_every_blank_is_a_parameter() -> None:
    for template in rule_templates():
        names = {each.name for each in template.parameters}
        text = str(template.rule)
        assert all(f"${{{name}}}" in text for name in names), template.id
        assert "${" not in str(filled(template))


def test_what_does_not_fit_is_told_by_its_name() -> None:
    template = get_rule_template("cart-left")
    with pytest.raises(RuleErrors) as refused:
        filled(template, {"dely": "1h", "per": "soon", "min_total": "10", "channels": "email", "cart_url": 5})
    assert refused.value.errors["parameters"] == {
        "dely": ['This template has no parameter "dely". Did you mean "delay"?'],
        "per": ["Not a duration. Write it like 30s, 15m, 2h or 7d."],
        "min_total": ["Expected a number."],
        "channels": ["Expected a list of texts."],
        "cart_url": ["Expected text of at most 2000 characters."],
    }
    assert filled(template, {"delay": "2h", "channels": ["chat"]})["message"]["channels"] == ["chat"]


def test_welcome_is_said_once_on_the_first_visit() -> None:
    tale = Tale().did("ann", 0, "Page Viewed").did("ann", 1, "Page Viewed").did("ann", 2 * DAY, "Page Viewed")
    tale.did("bob", 0, "Page Viewed").did("bob", 0.1, "Product Added", **KETTLE)  # needs no welcome
    assert tale.run("welcome") == [("ann", 20 / 60, "chat")]


def test_a_search_without_result_is_answered_at_once_and_once_a_day() -> None:
    tale = Tale().did("ann", 0, "Products Searched", query="samovar", results=0)
    tale.did("ann", 5, "Products Searched", query="samowar", results=0)
    tale.did("bob", 0, "Products Searched", query="kettel", results=0)
    tale.did("bob", 0.05, "Products Searched", query="kettle", results=7)
    tale.did("eve", 0, "Products Searched", query="cup", results=3).did("zoe", 0, "Products Searched", query="cup")
    tale.did("ann", DAY + 10, "Products Searched", query="samovar", results=0)
    assert tale.run("search-without-result") == [("ann", 5 / 60, "chat"), ("ann", DAY + 10 + 5 / 60, "chat")]


def test_who_compared_and_left_is_offered_advice_by_mail() -> None:
    tale = Tale()
    for who in ("ann", "bob", "eve"):
        tale.mail(who).did(who, 1, "Product Viewed", **KETTLE).did(who, 3, "Product Viewed", product_id="mug")
    tale.did("bob", 4, "Product Added", **KETTLE)
    tale.did("zoe", 1, "Product Viewed", **KETTLE).did("zoe", 2, "Product Viewed", **KETTLE)  # no address
    tale.mail("kim").did("kim", 1, "Product Viewed", **KETTLE)  # one only
    tale.did("eve", 60, "Page Viewed")  # is still there
    assert tale.run("viewed-but-left") == [("ann", 123, "email"), ("eve", 180, "email")]


def test_a_cart_that_was_left_is_recalled_after_half_an_hour() -> None:
    tale = Tale().did("ann", 0, "Product Added", **KETTLE).did("ann", 10, "Product Added", product_id="mug", price=9)
    tale.did("bob", 0, "Product Added", **KETTLE).did("bob", 20, "Order Completed", order_id="1", total=40)
    tale.did("eve", 0, "Product Added", **KETTLE).did("eve", 20, "Product Removed", **KETTLE)
    tale.did("kim", 0, "Product Added", **KETTLE).did("kim", 25, "Checkout Started")  # checkout-left's business
    tale.did("ann", 3 * DAY, "Product Added", product_id="pot", price=5)  # within the week
    assert tale.run("cart-left") == [("ann", 30, "popup")]
    assert tale.run("cart-left", min_total=49) == [("ann", 40, "popup")], "it was worth that only with the mug"
    assert tale.run("cart-left", min_total=60) == []
    assert tale.mail("ann", 1).run("cart-left", channels=["email"], delay="1h") == [("ann", 60, "email")]


def test_a_checkout_that_was_left_is_asked_about_by_mail_else_in_the_chat() -> None:
    tale = Tale()
    for who in ("ann", "bob", "eve"):
        tale.did(who, 0, "Product Added", **KETTLE).did(who, 2, "Checkout Started")
    tale.mail("ann", 3)
    tale.did("bob", 50, "Order Completed", order_id="1", total=40)
    assert sorted(tale.run("checkout-left")) == [("ann", 62, "email"), ("eve", 62, "chat")]


def test_thanks_go_out_for_each_order_once_and_as_transactional() -> None:
    tale = Tale().mail("ann")
    for minute, order in ((5, "A-1"), (6, "A-1"), (60, "A-2"), (100, "A-3")):
        tale.did("ann", minute, "Order Completed", order_id=order, total=10)
    tale.did("ann", 100.5, "Order Cancelled", order_id="A-3")
    tale.did("ann", 200, "Order Completed", total=10)  # without a number nothing can be said of it
    assert tale.run("order-thanks") == [("ann", 6, "email"), ("ann", 61, "email")]


def test_after_the_purchase_is_asked_once_unless_it_went_back() -> None:
    tale = Tale().mail("ann").mail("bob")
    tale.did("ann", 5, "Order Completed", order_id="1", total=10)
    tale.did("ann", 20 * DAY, "Order Completed", order_id="2", total=10)
    tale.did("bob", 5, "Order Completed", order_id="3", total=10).did("bob", 3 * DAY, "Order Refunded", order_id="3")
    assert tale.run("after-purchase") == [("ann", 5 + 14 * DAY, "email")]


def test_who_comes_back_after_days_is_greeted_and_who_was_here_yesterday_is_not() -> None:
    tale = Tale()
    for who, days in (("ann", 20), ("bob", 13), ("eve", 14)):
        tale.did(who, 0, "Page Viewed").did(who, 1, "Page Viewed")
        tale.did(who, days * DAY + 5, "Page Viewed").did(who, days * DAY + 5.1, "Page Viewed")
    tale.did("kim", 0, "Page Viewed").did("kim", 19 * DAY, "Page Viewed").did("kim", 20 * DAY, "Page Viewed")
    greeted = tale.run("back-after-days")
    assert [(who, round(minute, 2)) for who, minute, _ in greeted] == [
        ("eve", round(14 * DAY + 5 + 20 / 60, 2)),
        ("kim", round(19 * DAY + 20 / 60, 2)),
        ("ann", round(20 * DAY + 5 + 20 / 60, 2)),
    ]
    assert [who for who, *_ in tale.run("back-after-days", away="7d")] == ["bob", "eve", "kim", "ann"]


@pytest.mark.skipif(not EVENTS_PARSE, reason="answer buttons (content field `answers`) are not known yet")
def test_who_comes_back_to_a_cart_left_for_a_day_is_asked_why_once() -> None:
    tale = Tale().did("ann", 0, "Product Added", **KETTLE).did("ann", 2 * DAY, "Page Viewed")
    tale.did("ann", 5 * DAY, "Page Viewed")
    tale.did("bob", 0, "Product Added", **KETTLE).did("bob", 120, "Page Viewed")  # the same day
    tale.did("eve", 0, "Product Added", **KETTLE).did("eve", 5, "Order Completed", order_id="1", total=40)
    tale.did("eve", 2 * DAY, "Page Viewed")
    assert tale.run("why-not-bought") == [("ann", 2 * DAY + 15 / 60, "popup")]
