"""Whose are these events? Browsers and the people they turn out to be; two people never become one."""

import pytest

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.signature import user_hash
from backend.storage import visitors
from backend.storage.visitors import erase
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule
from tests.integration.test_identity import policy

ADDED = {"product_id": "kettle", "price": 30}


def test_a_browser_becomes_somebody_with_everything_that_it_did_before(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Viewed", ADDED), call("Product Added", ADDED))
    shop.clock.forward(minutes=5)
    shop.send(identify("u", {"email": "u@example.com"}))
    known = shop.profile(user_id="u")
    assert known == shop.profile("ann")
    assert known.id == known_visitor(shop.site.id, "u")
    assert known.members == (anonymous_visitor(shop.site.id, "ann"),)
    assert known.counts == {"Product Viewed": 1, "Product Added": 1, "Identify": 1}
    assert (known.stage, known.cart.total) == ("cart", 30)
    assert known.first_seen == at()
    assert known.sessions == 1
    assert known.anonymous_ids == ("ann",)
    shop.send(call("Page Viewed"))
    assert shop.profile(user_id="u").counts["Page Viewed"] == 1


def test_what_waits_goes_on_waiting_for_the_person_and_can_still_be_cancelled(each_shop: Shop) -> None:
    """The enrolment stays under the browser's id, and is found through the person in every way."""
    shop = each_shop
    rule = popup_rule(delay="30m", cancel=[{"event": "Order Completed"}], reentry={"policy": "every"})
    shop.rule(rule)
    shop.send(call("Product Added", ADDED), call("Product Added", ADDED, anonymousId="bob"))
    shop.clock.forward(minutes=5)
    shop.send(identify("u"), identify("v", anonymousId="bob"))
    shop.send(call("Product Added", ADDED))
    assert len(shop.enrolments(user_id="u")) == 1, "one lives already"
    shop.clock.forward(minutes=5)
    shop.send(call("Order Completed", {"total": 1}, userId="u"))
    assert shop.outcomes(user_id="u") == [("skipped", "cancelled")], "by an order that the backend told of"
    shop.wait(minutes=20)
    assert shop.outcomes(user_id="v") == [("sent", None)]
    [message] = shop.messages()
    assert message.anonymous_id == "bob"
    shop.send(call("Message Shown", {"message_id": message.id}, anonymousId="bob"))
    assert shop.messages()[0].status == "shown"


def test_a_rule_that_may_run_once_does_not_run_again_for_the_known_person(shop: Shop) -> None:
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED))
    shop.send(identify("u"))
    shop.send(call("Product Added", ADDED, userId="u"))
    assert len(shop.messages()) == 1


def test_a_second_identify_with_another_id_on_one_device_starts_a_new_visitor(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Added", ADDED))
    shop.send(identify("first", {"email": "first@example.com"}))
    shop.send(identify("second", {"email": "second@example.com"}))
    shop.send(call("Page Viewed", anonymousId="ann", userId="second"))
    first, second = shop.profile(user_id="first"), shop.profile(user_id="second")
    assert first.id != second.id
    assert (first.traits["email"], second.traits["email"]) == ("first@example.com", "second@example.com")
    assert first.counts == {"Product Added": 1, "Identify": 1}
    assert second.counts == {"Identify": 1, "Page Viewed": 1}
    assert second.cart.items == ()
    assert shop.profile("ann").id == first.id, "the browser belongs to the first who was known on it"


def test_two_known_people_never_merge_whatever_is_sent(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("a", anonymousId="one"), identify("b", anonymousId="two"))
    shop.send(
        identify("b", anonymousId="one"),
        identify("a", anonymousId="two"),
        {"type": "alias", "userId": "a", "previousId": "b"},
        {"type": "alias", "userId": "b", "previousId": "a", "anonymousId": "one"},
        {"type": "alias", "userId": "b", "previousId": "one"},
        call("Page Viewed", anonymousId="a", userId="b"),
        call("Page Viewed", anonymousId="b", userId="a"),
    )
    a, b = shop.profile(user_id="a"), shop.profile(user_id="b")
    assert (a.user_id, b.user_id) == ("a", "b")
    assert not set(a.members) & set(b.members)
    assert known_visitor(shop.site.id, "a") not in b.members
    assert known_visitor(shop.site.id, "b") not in a.members


def test_a_person_with_two_browsers_is_one(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Viewed", ADDED, anonymousId="phone", timestamp=at(hours=-5)))
    shop.send(call("Product Added", ADDED, anonymousId="laptop", timestamp=at(hours=-1)))
    shop.send(identify("u", {"plan": "free"}, anonymousId="phone", timestamp=at(hours=-4).isoformat()))
    shop.send(identify("u", {"plan": "paid"}, anonymousId="laptop"))
    person = shop.profile(user_id="u")
    assert set(person.anonymous_ids) == {"phone", "laptop"}
    assert person.counts == {"Product Viewed": 1, "Product Added": 1, "Identify": 2}
    assert person.traits == {"plan": "paid"}
    assert person.first_seen == at(hours=-5)
    assert person.sessions == 4
    assert shop.profile("phone") == shop.profile("laptop") == person


def test_alias_links_the_browser_that_it_names(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Viewed", ADDED))
    shop.send({"type": "alias", "userId": "u", "previousId": "ann"})
    assert shop.profile("ann").user_id == "u"
    assert shop.profile(user_id="u").counts == {"Product Viewed": 1, "Alias": 1}


def test_the_link_is_written_down_once(shop: Shop) -> None:
    from sqlalchemy import text

    shop.send(call("Page Viewed"))
    for _ in range(3):
        shop.send(identify("u", messageId="who"))
        shop.send(identify("u"))
    with shop.rt.db.read() as connection:
        rows = connection.execute(text("SELECT visitor_id, member_id, source, message_id FROM merges")).all()
    assert [tuple(row) for row in rows] == [
        (known_visitor(shop.site.id, "u"), anonymous_visitor(shop.site.id, "ann"), "identify", "who")
    ]


def test_a_variant_stays_when_a_browser_becomes_somebody(shop: Shop) -> None:
    variants = [{"name": name, "content": {"title": name, "body": "…"}} for name in "ABCDEFGH"]
    rule = {"message": {"channels": ["popup"], "variants": variants}, "reentry": {"policy": "every"}}
    shop.rule(popup_rule("Ping", **rule))
    for number in range(10):
        browser = f"browser{number}"
        shop.send(call("Ping", anonymousId=browser))
        shop.send(identify(f"user{number}", anonymousId=browser), call("Ping", anonymousId=browser))
        first, second = shop.enrolments(browser)
        assert first.variant == second.variant


@pytest.mark.parametrize("within", ["one batch", "batches"])
def test_events_before_and_after_the_sign_in_count_for_the_same_person(each_shop: Shop, within: str) -> None:
    shop = each_shop
    calls = [
        call("Page Viewed", timestamp=at(minutes=-3)),
        identify("u", timestamp=at(minutes=-2).isoformat()),
        call("Page Viewed", timestamp=at(minutes=-1), anonymousId="ann", userId="u"),
        call("Page Viewed", userId="u"),
    ]
    if within == "one batch":
        shop.send(*calls)
    else:
        for each in calls:
            shop.send(each)
    assert shop.profile(user_id="u").counts == {"Page Viewed": 3, "Identify": 1}


def test_performed_knows_what_the_browser_did_before_it_was_known(shop: Shop) -> None:
    seen = {
        "performed": "Product Viewed",
        "where": {"field": "event.properties.product_id", "op": "eq", "value": "mug"},
    }
    shop.rule(popup_rule("Ask", audience={"all": [seen, {"performed": "Product Viewed", "within": "1h"}]}))
    shop.send(call("Product Viewed", {"product_id": "mug"}))
    shop.send(identify("u"))
    shop.send(call("Ask", userId="u"))
    assert shop.outcomes(user_id="u") == [("sent", None)]


def test_an_unsigned_claim_is_the_browsers_own_where_the_site_asks_for_signatures(each_shop: Shop) -> None:
    shop = each_shop
    policy(shop, require_signature=True)
    shop.send(identify("u", {"email": "guessed@example.com"}, context={"userHash": "0" * 64}))
    shop.send(call("Page Viewed", anonymousId="ann", userId="u"))
    assert shop.find(user_id="u") is None
    assert shop.profile("ann").user_id is None
    asks = {"trigger": {"event": "Page Viewed"}, "audience": {"field": "profile.user_id", "op": "is_set"}}
    assert shop.simulate(asks, until=at(hours=1)).summary["entered"] == 0, "a simulation believes no more"
    signed = {"userHash": user_hash(shop.site.secret_key, "u")}
    shop.send(identify("u", {"email": "u@example.com"}, anonymousId="bob", context=signed))
    shop.send(call("Order Completed", {"total": 1}, userId="u"))
    assert shop.profile("bob").user_id == "u", "signed"
    assert shop.profile(user_id="u").orders.count == 1, "a backend without a browser is believed"
    assert shop.profile("ann").id == anonymous_visitor(shop.site.id, "ann")


def test_no_alias_links_a_browser_without_a_signature_where_the_site_asks_for_them(each_shop: Shop) -> None:
    shop = each_shop
    policy(shop, require_signature=True)
    signed = {"userHash": user_hash(shop.site.secret_key, "u")}
    shop.send(identify("u", {"email": "u@example.com"}, anonymousId="bob", context=signed), call("Page Viewed"))
    alias = {"type": "alias", "userId": "u", "previousId": "ann"}
    claims = ({}, {"anonymousId": "ann"}, {"anonymousId": "null"}, {"context": {"userHash": "0" * 64}})
    for number, claim in enumerate(claims):
        shop.send({**alias, "messageId": f"claim{number}", **claim})
        assert shop.profile("ann").user_id is None, claim
    shop.send({**alias, "messageId": "signed", "context": signed})
    assert shop.profile("ann").user_id == "u"


def test_erasing_a_person_takes_everything_of_all_their_browsers(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED), call("Page Viewed", anonymousId="bob"))
    shop.send(identify("u"))
    with shop.rt.db.begin() as connection:
        assert erase(connection, shop.site.id, known_visitor(shop.site.id, "u"))
    assert shop.find("ann") is None
    assert shop.find(user_id="u") is None
    assert shop.messages() == []
    assert [event.anonymous_id for event in shop.stored()] == ["bob"]
    with shop.rt.db.read() as connection:
        assert visitors.ids_after(connection, shop.site.id, "", 10) == [anonymous_visitor(shop.site.id, "bob")]


def test_a_simulation_sees_a_merged_person_as_one(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Product Added", ADDED, messageId="added"))
    shop.send(identify("u"))
    shop.clock.forward(hours=2)
    found = shop.simulate({"trigger": {"event": "Product Added"}, "delay": "30m"})
    [item] = found.items
    assert (item.visitor_id, item.user_id, item.anonymous_id) == (known_visitor(shop.site.id, "u"), "u", "ann")
    assert (item.event_id, item.at, item.outcome) == ("added", at(minutes=30), "sent")
    assert found.summary["visitors"] == 1
