"""What a browser may show: whose messages, and every gate once more (contract, sections 4 and 6)."""

import json
from typing import Any

import pytest

from backend.domain.signature import user_hash
from backend.storage.live import Subscription
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, WRITE_KEY, Shop, call, identify, popup_rule

ADDED = {"product_id": "mug", "price": 5}


def inbox(shop: Shop, anonymous_id: str | None = "ann", **who: Any) -> Any:
    """What `/v1/inbox` answers."""
    hello = {"writeKey": WRITE_KEY, "anonymousId": anonymous_id, **who}
    return shop.client.post("/v1/inbox", data=json.dumps(hello), content_type="text/plain")


def titles(shop: Shop, anonymous_id: str | None = "ann", **who: Any) -> list[str]:
    answer = inbox(shop, anonymous_id, **who)
    assert answer.status_code == 200, answer.text
    return [each["title"] for each in answer.json["items"]]


def saying(title: str) -> dict[str, Any]:
    return {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": title, "body": "…"}}]}


def test_a_message_is_shown_until_the_page_says_that_it_was(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED))
    answer = inbox(shop)
    [item] = answer.json["items"]
    assert answer.json["poll_after"] > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert (item["channel"], item["title"], item["variant"]) == ("popup", "Hello", "A")
    assert titles(shop) == ["Hello"], "still not shown"
    assert titles(shop, "somebody else") == []
    shop.send(call("Message Shown", {"message_id": item["id"]}, anonymousId="somebody else"))
    assert titles(shop) == ["Hello"], "a stranger's report is ignored"
    shop.send(call("Message Shown", {"message_id": item["id"]}))
    assert titles(shop) == []
    shop.clock.forward(minutes=1)
    shop.send(call("Message Replied", {"message_id": item["id"], "text": "Yes <b>please</b>"}))
    shop.send(call("Message Shown", {"message_id": item["id"]}))
    [message] = shop.messages()
    assert (message.status, message.reply) == ("replied", "Yes <b>please</b>")
    assert message.shown_at is not None
    assert message.replied_at is not None
    assert message.shown_at < message.replied_at


@pytest.mark.parametrize("why", ["paused", "archived", "not matching"])
def test_a_message_that_may_not_be_shown_any_more_is_given_up_and_its_enrolment_says_so(shop: Shop, why: str) -> None:
    rule_id = shop.rule(popup_rule(audience={"not": {"performed": "Order Completed", "within": "1d"}}))
    shop.send(call("Product Added", ADDED))
    if why == "not matching":
        shop.send(call("Order Completed", {"total": 5}))
    else:
        shop.set_rule(rule_id, why)
    assert titles(shop) == []
    reason = "not_matching" if why == "not matching" else "rule_paused"
    assert [(each.status, each.reason) for each in shop.messages()] == [("skipped", reason)]
    assert shop.outcomes() == [("skipped", reason)]
    if why == "paused":
        shop.set_rule(rule_id, "active")
        assert titles(shop) == [], "given up is given up"


def test_a_message_goes_when_its_time_is_over(shop: Shop) -> None:
    shop.rule(popup_rule(message={**POPUP, "expires_after": "1h"}))
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=59)
    assert titles(shop) == ["Hello"]
    shop.clock.forward(minutes=1)
    assert titles(shop) == []


def test_what_belongs_to_a_person_needs_proof_or_the_browser_in_which_it_began(each_shop: Shop) -> None:
    shop = each_shop
    for title, event in (("browser", "In the browser"), ("backend", "In the backend")):
        shop.rule(popup_rule(event, message=saying(title)))
    shop.send(identify("u"))
    shop.send(call("In the browser", anonymousId="ann", userId="u"), call("In the backend", userId="u"))
    proof = user_hash(shop.site.secret_key, "u")
    assert titles(shop, "ann") == ["browser"]
    assert titles(shop, "ann", userId="u") == ["browser"], "a claim leads to nothing more"
    assert titles(shop, "stranger", userId="u") == []
    assert inbox(shop, "ann", userId="u", userHash="0" * 64).status_code == 403
    assert inbox(shop, None, userId="u").status_code == 400
    assert sorted(titles(shop, "ann", userId="u", userHash=proof)) == ["backend", "browser"]
    assert sorted(titles(shop, "another phone", userId="u", userHash=proof)) == ["backend", "browser"]
    assert sorted(titles(shop, None, userId="u", userHash=proof.upper())) == ["backend", "browser"]


def test_the_second_user_of_a_device_is_shown_what_began_there_and_nothing_of_the_firsts(shop: Shop) -> None:
    shop.rule(popup_rule(message=saying("for {{ first_name }}")))
    shop.send(identify("first", {"first_name": "First"}))
    shop.send(identify("second", {"first_name": "Second"}))
    shop.send(call("Product Added", ADDED, anonymousId="ann", userId="second"))
    assert titles(shop, "ann", userId="second") == ["for Second"]
    assert titles(shop, "other", userId="second") == []
    assert titles(shop, "other", userId="second", userHash=user_hash(shop.site.secret_key, "second")) == ["for Second"]


def test_a_message_from_before_the_sign_in_is_still_there_after_it(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED))
    shop.send(identify("u"))
    assert titles(shop) == ["Hello"]
    assert titles(shop, "ann", userId="u") == ["Hello"]
    assert titles(shop, "phone", userId="u", userHash=user_hash(shop.site.secret_key, "u")) == ["Hello"]


def test_a_page_that_streamed_as_nobody_gets_what_comes_after_the_sign_in(shop: Shop) -> None:
    """Its stream was opened for the anonymous visitor, and the message is the known person's."""
    import time

    from backend.pipeline.show import viewer

    shop.rule(popup_rule(delay="1m"))
    shop.send(call("Product Added", ADDED, anonymousId="bob"))
    who = viewer(shop.site, "ann", None, None)
    stream: Subscription = shop.rt.live.subscribe(who.visitor_ids)
    for _ in range(100):
        if shop.rt.redis.pubsub_numpat():
            break
        time.sleep(0.02)
    shop.send(identify("u"))
    shop.send(call("Product Added", ADDED, anonymousId="ann", userId="u"))
    shop.wait(minutes=1)
    note = stream.next(10)
    assert note is not None
    assert who.may_see(note["anonymous_id"])
    assert note["data"]["id"] in {message.id for message in shop.messages() if message.anonymous_id == "ann"}
    shop.rt.live.unsubscribe(stream)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ("{}", 400),
        ('{"writeKey":"nobody","anonymousId":"a"}', 401),
        ('{"writeKey":7,"anonymousId":"a"}', 400),
        (f'{{"writeKey":"{WRITE_KEY}"}}', 400),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"","userId":""}}', 400),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"a\\u0000b"}}', 200),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"\\ud800"}}', 400),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"{"x" * 20_000}"}}', 400),
        ('{"writeKey":' + "[" * 5_000, 400),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"a","userId":"u","userHash":"é"}}', 403),
        (f'{{"writeKey":"{WRITE_KEY}","anonymousId":"a","userId":"u","userHash":"a.b.c"}}', 403),
    ],
)
def test_a_greeting_that_makes_no_sense_is_refused(shop: Shop, body: str, status: int) -> None:
    answer = shop.client.post("/v1/inbox", data=body.encode())
    assert answer.status_code == status, answer.text
