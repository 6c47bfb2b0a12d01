"""What the page does not show in time goes on by the next channel, once; who unsubscribed is decided for otherwise."""

from backend.domain.unsubscribe import Subscription
from backend.pipeline.fallback import Fallback
from backend.pipeline.subscribe import resubscribe, unsubscribe
from backend.storage import messages
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify

CONTENT = {"title": "Still yours", "body": "It waits.", "subject": "Still yours"}
ADDRESS = "ann@shop.example"


def rule(shop: Shop, *channels: str, **fields: object) -> str:
    message = {"channels": list(channels), "variants": [{"name": "A", "content": CONTENT}], **fields}
    document = {"name": "Cart", "trigger": {"event": "Product Added"}, "message": message}
    return shop.rule({**document, "reentry": {"policy": "every"}})


def known(shop: Shop) -> None:
    shop.send(identify("u1", {"email": ADDRESS}))


def kinds(shop: Shop) -> list[tuple[str, str, str | None]]:
    return [(each.channel, each.status, each.reason) for each in shop.messages()]


def test_a_popup_that_nobody_saw_becomes_a_mail_after_its_time_and_only_once(each_shop: Shop) -> None:
    known(each_shop)
    rule(each_shop, "popup", "email", fallback_after="1h")
    each_shop.send(call("Product Added", {"product_id": "1"}))
    assert kinds(each_shop) == [("popup", "queued", None)]
    each_shop.clock.forward(minutes=59)
    assert Fallback(each_shop.rt).run() == 0
    each_shop.clock.forward(minutes=1)
    assert Fallback(each_shop.rt).run() == 1
    assert Fallback(each_shop.rt).run() == 0
    assert sorted(kinds(each_shop)) == [("email", "queued", None), ("popup", "skipped", "fallback")]
    mail = next(each for each in each_shop.messages() if each.channel == "email")
    assert mail.address == ADDRESS
    assert mail.content["subject"] == "Still yours"
    ended = each_shop.enrolments(user_id="u1")[0]
    assert (ended.outcome, ended.channel, ended.message_id) == ("sent", "email", mail.id)


def test_a_popup_that_was_seen_stays_the_only_message(each_shop: Shop) -> None:
    known(each_shop)
    rule(each_shop, "popup", "email", fallback_after="1h")
    each_shop.send(call("Product Added", {"product_id": "1"}))
    each_shop.send(call("Message Shown", {"message_id": each_shop.messages()[0].id}))
    each_shop.clock.forward(hours=2)
    assert Fallback(each_shop.rt).run() == 0
    assert kinds(each_shop) == [("popup", "shown", None)]


def test_a_popup_without_another_way_waits_for_the_next_visit(each_shop: Shop) -> None:
    rule(each_shop, "popup", "email", fallback_after="1h")
    each_shop.send(call("Product Added", {"product_id": "1"}))
    each_shop.clock.forward(hours=2)
    assert Fallback(each_shop.rt).run() == 0
    assert kinds(each_shop) == [("popup", "queued", None)]
    with each_shop.rt.db.read() as connection:
        assert messages.waiting_on_site(connection, [each_shop.messages()[0].visitor_id], each_shop.clock())


def test_a_fallback_asks_the_audience_again(each_shop: Shop) -> None:
    known(each_shop)
    message = {"channels": ["popup", "email"], "fallback_after": "1h", "variants": [{"name": "A", "content": CONTENT}]}
    audience = {"not": {"performed": "Order Completed"}}
    each_shop.rule({"name": "Cart", "trigger": {"event": "Product Added"}, "audience": audience, "message": message})
    each_shop.send(call("Product Added", {"product_id": "1"}))
    each_shop.send(call("Order Completed", {"total": 5}))
    each_shop.clock.forward(hours=2)
    assert Fallback(each_shop.rt).run() == 0
    assert [each.channel for each in each_shop.messages()] == ["popup"]


def test_who_unsubscribed_gets_the_popup_instead_of_the_mail_until_they_come_back(each_shop: Shop) -> None:
    known(each_shop)
    rule(each_shop, "email", "popup")
    subscription = Subscription.email(each_shop.site.id, ADDRESS.upper())
    unsubscribe(each_shop.rt, subscription)
    unsubscribe(each_shop.rt, subscription)
    each_shop.processor.drain()
    assert each_shop.profile(user_id="u1").unsubscribed == (ADDRESS,)
    assert each_shop.profile(user_id="u1").counts["Unsubscribed"] == 1
    each_shop.send(call("Product Added", {"product_id": "1"}))
    resubscribe(each_shop.rt, subscription)
    each_shop.processor.drain()
    each_shop.clock.forward(seconds=1)
    each_shop.send(call("Product Added", {"product_id": "2"}))
    assert [each.channel for each in each_shop.messages()] == ["popup", "email"]


def test_a_rule_with_mail_alone_ends_as_unsubscribed(each_shop: Shop) -> None:
    known(each_shop)
    rule(each_shop, "email")
    unsubscribe(each_shop.rt, Subscription.email(each_shop.site.id, ADDRESS))
    each_shop.processor.drain()
    each_shop.send(call("Product Added", {"product_id": "1"}))
    assert each_shop.outcomes(user_id="u1") == [("skipped", "unsubscribed")]
