"""Answers and "not again", by the real log and database: what is kept, shown, counted, and held back."""

import json
from typing import Any

from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import WRITE_KEY, Shop, call, popup_rule

WHY = {"trait": "why_not_bought", "options": ["Too dear", {"text": "Shipping", "value": "shipping"}]}
ASKING = {"channels": ["popup"], "display": "teaser", "variants": [{"content": {"title": "Why?", "answers": WHY}}]}


def inbox(shop: Shop) -> list[dict[str, Any]]:
    answer = shop.client.post(
        "/v1/inbox", data=json.dumps({"writeKey": WRITE_KEY, "anonymousId": "ann"}), content_type="text/plain"
    )
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_an_answer_is_offered_stored_and_starts_the_next_rule(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule(message=ASKING))
    shop.rule(popup_rule(None, trigger={"trait": "why_not_bought", "to": "shipping"}))
    shop.send(call("Product Added", {"product_id": "mug"}))
    [item] = inbox(shop)
    assert item["display"] == "teaser"
    assert item["answers"] == {
        "trait": "why_not_bought",
        "options": [{"text": "Too dear", "value": "Too dear"}, {"text": "Shipping", "value": "shipping"}],
    }
    told = {"message_id": item["id"], "answer": "Shipping", "value": "shipping", "trait": "admin"}
    shop.send(call("Message Answered", told, anonymousId="mallory"))
    assert shop.profile("mallory").traits == {}
    shop.send(call("Message Answered", told))
    assert shop.profile().traits == {"why_not_bought": "shipping"}
    first, second = sorted(shop.messages(), key=lambda each: each.content["title"], reverse=True)
    assert (first.status, first.reply) == ("replied", "Shipping")
    assert first.replied_at is not None
    assert second.content["title"] == "Hello"
    assert [each["title"] for each in inbox(shop)] == ["Hello"]


def test_what_they_wrote_stands_before_what_they_pressed(shop: Shop) -> None:
    shop.rule(popup_rule(message=ASKING))
    shop.send(call("Product Added", {"product_id": "mug"}))
    [item] = inbox(shop)
    pressed = call("Message Answered", {"message_id": item["id"], "answer": "Too dear", "value": "Too dear"})
    shop.send(pressed, call("Message Replied", {"message_id": item["id"], "text": "I wait for the sale"}))
    shop.send(call("Message Answered", {"message_id": item["id"], "answer": "Shipping", "value": "shipping"}))
    assert shop.messages()[0].reply == "I wait for the sale"
    assert shop.profile().traits == {"why_not_bought": "shipping"}


def test_after_not_again_what_waits_already_is_given_up(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule("A"))
    shop.rule(popup_rule("B"))
    shop.rule(popup_rule("B", category="transactional", name="Needed"))
    shop.send(call("A"))
    [first] = inbox(shop)
    shop.send(call("B"))
    assert len(inbox(shop)) == 3
    shop.send(call("Message Dismissed", {"message_id": first["id"], "never": True}))
    assert len(inbox(shop)) == 1, "what they must know comes all the same"
    assert sorted(outcome or "" for outcome, _ in shop.outcomes()) == ["sent", "sent", "skipped"]
    assert ("skipped", "no_consent") in shop.outcomes()
