"""Rules, live: triggers, cancels, delays, re-entry, stages and stale events, as the contract's section 4 has them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, at, call, identify, popup_rule

ADDED = {"product_id": "kettle", "price": 30}
CART_LEFT = popup_rule(
    delay="30m",
    audience={"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
    cancel=[{"event": "Order Completed"}],
)


def test_a_cart_that_is_left_is_addressed_after_half_an_hour_and_once(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(CART_LEFT)
    shop.send(call("Product Added", ADDED))
    shop.wait(minutes=29, seconds=59)
    assert shop.messages() == []
    [waiting] = shop.enrolments()
    assert waiting.waiting
    assert waiting.due_at == at(minutes=30)
    shop.wait(seconds=1)
    [message] = shop.messages()
    assert (message.channel, message.status, message.anonymous_id) == ("popup", "queued", "ann")
    assert message.content["title"] == "Hello"
    assert message.created_at == at(minutes=30)
    shop.wait(hours=3)
    assert len(shop.messages()) == 1
    [ended] = shop.enrolments()
    assert (ended.outcome, ended.at, ended.message_id) == ("sent", at(minutes=30), message.id)


def test_an_order_cancels_up_to_the_very_moment_of_firing(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(CART_LEFT)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=30)
    shop.send(call("Order Completed", {"total": 30}))
    assert shop.outcomes() == [("skipped", "cancelled")]
    assert shop.messages() == []


def test_an_order_after_the_moment_of_firing_comes_too_late_even_if_nothing_had_run_meanwhile(shop: Shop) -> None:
    shop.rule(CART_LEFT)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=30, microseconds=1)
    shop.send(call("Order Completed", {"total": 30}))
    assert shop.outcomes() == [("sent", None)]


def test_the_audience_is_read_again_after_the_delay(shop: Shop) -> None:
    shop.rule(CART_LEFT)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=10)
    shop.send(call("Product Removed", ADDED))
    shop.wait(minutes=20)
    assert shop.outcomes() == [("skipped", "not_matching")]


def test_where_the_audience_is_false_at_the_trigger_nothing_happens(shop: Shop) -> None:
    shop.rule(popup_rule(audience={"field": "profile.traits.plan", "op": "eq", "value": "paid"}))
    shop.send(call("Product Added", ADDED))
    assert shop.enrolments() == []


def test_a_rule_without_delay_sees_its_trigger_and_nothing_after_it(shop: Shop) -> None:
    """Even though both events come in one batch."""
    first = {"performed": "Product Added", "count": {"op": "eq", "value": 1}}
    shop.rule(popup_rule(audience=first, reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED), call("Product Added", ADDED))
    assert shop.outcomes() == [("sent", None)]


def test_an_event_is_held_against_cancels_before_triggers(shop: Shop) -> None:
    """One event ends the enrolment that waits and begins the next."""
    shop.rule(popup_rule("Ping", delay="10m", cancel=[{"event": "Ping"}], reentry={"policy": "every"}))
    shop.send(call("Ping", messageId="one"))
    shop.clock.forward(minutes=1)
    shop.send(call("Ping", messageId="two"))
    assert [(each.trigger.message_id, each.reason) for each in shop.enrolments()] == [
        ("one", "cancelled"),
        ("two", None),
    ]


def test_at_one_instant_events_come_first_in_order_of_arrival_then_timers(shop: Shop) -> None:
    shop.rule(popup_rule("Ping", delay="10m", audience={"performed": "Pong", "count": {"op": "eq", "value": 2}}))
    shop.rule(popup_rule("Ping", delay="10m", cancel=[{"event": "Stop"}]))
    shop.send(call("Pong", messageId="p1"), call("Ping", messageId="i"))
    assert shop.enrolments() != [], "the rule with a count of two has no enrolment: only one Pong yet"
    shop.send(call("Pong", messageId="p2"), call("Ping", messageId="i2"))
    shop.clock.forward(minutes=10)
    shop.send(call("Stop"), call("Pong", messageId="p3"))
    assert sorted(shop.outcomes()) == [("skipped", "cancelled"), ("skipped", "not_matching")]


def test_a_cancel_can_ask_for_the_same_value(shop: Shop) -> None:
    cancel = [{"event": "Order Completed", "same": "properties.cart_id"}]
    shop.rule(popup_rule(delay="30m", cancel=cancel, reentry={"policy": "per_key", "key": "properties.cart_id"}))
    shop.send(*(call("Product Added", {**ADDED, "cart_id": cart}) for cart in ("a", "b", 5)))
    shop.clock.forward(minutes=1)
    shop.send(
        call("Order Completed", {"cart_id": "a"}), call("Order Completed", {"cart_id": "5"}), call("Order Completed")
    )
    assert {each.key: each.reason for each in shop.enrolments()} == {"a": "cancelled", "b": None, "5": None}


def test_a_cancel_can_ask_where(shop: Shop) -> None:
    where = {"field": "event.properties.total", "op": "gte", "value": 50}
    shop.rule(popup_rule(delay="30m", cancel=[{"event": "Order Completed", "where": where}]))
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"total": 49}))
    assert shop.outcomes() == [(None, None)]
    shop.send(call("Order Completed", {"total": 50}))
    assert shop.outcomes() == [("skipped", "cancelled")]


@pytest.mark.parametrize(
    ("reentry", "entered"),
    [
        ({"policy": "once"}, [0]),
        (None, [0]),
        ({"policy": "every"}, [0, 20, 40, 60, 80]),
        ({"policy": "every", "at_most": 1, "per": "40m"}, [0, 40, 80]),
        ({"policy": "every", "at_most": 2, "per": "40m"}, [0, 20, 40, 60, 80]),
        ({"policy": "every", "at_most": 2, "per": "41m"}, [0, 20, 60, 80]),
    ],
)
def test_re_entry_counts_entries_however_they_ended(shop: Shop, reentry: Any, entered: list[int]) -> None:
    """Triggers at 0, 20, 40, 60 and 80 minutes; `per` looks back over `(t - per, t]`."""
    shop.rule(popup_rule(delay="5m", cancel=[{"event": "Stop"}], **({"reentry": reentry} if reentry else {})))
    for number in range(5):
        shop.send(call("Product Added", ADDED))
        shop.clock.forward(minutes=1)
        shop.send(call("Stop" if number % 2 else "Go on"))
        shop.wait(minutes=19)
    assert [(each.entered_at - at()) / timedelta(minutes=1) for each in shop.enrolments()] == entered


def test_per_key_enters_once_for_each_value_and_never_without_one(shop: Shop) -> None:
    shop.rule(popup_rule("Product Viewed", reentry={"policy": "per_key", "key": "properties.product_id"}))
    shop.send(
        *(call("Product Viewed", {"product_id": each}) for each in ("a", "b", "a", 7, "7")), call("Product Viewed")
    )
    assert sorted(each.key for each in shop.enrolments()) == ["7", "a", "b"]


def test_while_an_enrolment_lives_a_further_trigger_starts_nothing(shop: Shop) -> None:
    shop.rule(popup_rule(delay="30m", reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=29)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=1)
    # The timer and the trigger meet at one instant: events come first, so the enrolment still lives.
    shop.send(call("Product Added", ADDED))
    assert len(shop.enrolments()) == 1
    shop.wait(seconds=1)
    shop.send(call("Product Added", ADDED))
    assert len(shop.enrolments()) == 2


def test_performed_counts_the_window_that_is_open_at_its_beginning(shop: Shop) -> None:
    audience = {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}, "within": "10m"}
    shop.rule(popup_rule("Ask", audience=audience, reentry={"policy": "every"}))
    shop.send(call("Product Viewed"))
    shop.clock.forward(minutes=5)
    shop.send(call("Product Viewed"))
    shop.clock.forward(minutes=4, seconds=59)
    shop.send(call("Ask", messageId="within"))
    shop.clock.forward(seconds=1)
    shop.send(call("Ask", messageId="at the edge"))
    assert [each.trigger.message_id for each in shop.enrolments()] == ["within"]


def test_performed_since_entry_counts_what_came_after_the_trigger_only(shop: Shop) -> None:
    silent = {"not": {"performed": "Page Viewed", "since": "entry"}}
    shop.rule(popup_rule(delay="5m", audience=silent, reentry={"policy": "every"}))
    page = {"type": "page", "anonymousId": "ann"}
    shop.send(page, call("Product Added", ADDED))
    shop.wait(minutes=5)
    shop.clock.forward(minutes=5)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=1)
    shop.send(page)
    shop.wait(minutes=4)
    assert shop.outcomes() == [("sent", None), ("skipped", "not_matching")]


def test_performed_where_means_the_event_that_is_counted_and_event_the_trigger(each_shop: Shop) -> None:
    shop = each_shop
    audience = {
        "all": [
            {
                "performed": "Product Viewed",
                "where": {"field": "event.properties.brand", "op": "eq", "value": "acme"},
                "count": {"op": "gte", "value": 2},
            },
            {"field": "event.properties.price", "op": "gte", "value": 10},
        ]
    }
    shop.rule(popup_rule(delay="1m", audience=audience, reentry={"policy": "every"}))
    shop.send(*(call("Product Viewed", {"brand": brand}) for brand in ("acme", "other", "acme")))
    shop.send(call("Product Added", {**ADDED, "price": 9}))
    shop.send(call("Product Added", {**ADDED, "price": 10}))
    shop.clock.forward(seconds=30)
    shop.send(call("Product Added", {**ADDED, "price": 1}))
    shop.wait(minutes=2)
    assert shop.outcomes() == [("sent", None)], "at firing `event.` still means the trigger"


def test_a_stage_triggers_when_it_is_entered_and_not_while_it_lasts(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule({"name": "Checkout", "trigger": {"stage": "checkout"}, "message": POPUP, "reentry": {"policy": "every"}})
    shop.send(call("Product Added", ADDED), call("Checkout Started", messageId="first"), call("Page Viewed"))
    shop.clock.forward(minutes=1)
    shop.send(call("Checkout Started"))
    assert [each.trigger.message_id for each in shop.enrolments()] == ["first"]
    shop.send(call("Order Completed", {"total": 30}))
    shop.clock.forward(minutes=1)
    shop.send(call("Product Added", ADDED), call("Checkout Started", messageId="second"))
    assert [each.trigger.message_id for each in shop.enrolments()] == ["first", "second"]


def test_a_stale_event_is_folded_and_cancels_but_starts_nothing(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(CART_LEFT)
    old = at(minutes=-10, seconds=-1)
    shop.send(call("Product Added", ADDED, timestamp=old))
    assert shop.enrolments() == []
    assert shop.profile().counts == {"Product Added": 1}
    assert shop.profile().stage == "cart"
    shop.send(call("Product Added", ADDED, timestamp=at(minutes=-10)))
    assert len(shop.enrolments()) == 1, "ten minutes are just not too old"
    shop.clock.forward(minutes=19)
    shop.send(call("Order Completed", {"total": 1}, timestamp=at(minutes=5)))
    assert shop.outcomes() == [("skipped", "cancelled")]


def test_a_timer_whose_moment_is_long_past_at_a_restart_still_fires_once(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(CART_LEFT)
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(days=2)
    shop.restart().drain()
    shop.restart().drain()
    [message] = shop.messages()
    assert message.created_at == at(days=2)
    assert shop.enrolments()[0].at == at(minutes=30)


def test_timers_of_many_visitors_all_fire(shop: Shop) -> None:
    """More than are taken in one transaction."""
    shop.rule(popup_rule(delay="1m"))
    for part in range(3):
        shop.put(*(call("Product Added", ADDED, anonymousId=f"visitor {part}-{number}") for number in range(500)))
    shop.processor.drain()
    shop.wait(minutes=1)
    assert len(shop.messages()) == 1_500


def test_a_paused_rule_starts_nothing_and_ends_what_waits_with_its_reason(shop: Shop) -> None:
    rule = shop.rule(popup_rule(delay="5m", reentry={"policy": "every"}))
    shop.send(call("Product Added", ADDED))
    shop.set_rule(rule, "paused")
    shop.clock.forward(minutes=1)
    shop.send(call("Product Added", ADDED, anonymousId="bob"))
    shop.wait(minutes=4)
    assert shop.outcomes() == [("skipped", "rule_paused")]
    assert shop.enrolments("bob") == []


@pytest.mark.parametrize("gone", ["archived", "deleted"])
def test_an_archived_or_deleted_rule_ends_what_waits_and_keeps_nobody_waiting(shop: Shop, gone: str) -> None:
    from backend.storage.rules import delete_rule

    rule = shop.rule(popup_rule(delay="5m", cancel=[{"event": "Stop"}]))
    shop.send(call("Product Added", ADDED))
    if gone == "archived":
        shop.set_rule(rule, "archived")
    else:
        with shop.rt.db.begin() as connection:
            delete_rule(connection, shop.site.id, rule)
    shop.clock.forward(minutes=1)
    shop.send(call("Stop"))
    shop.wait(minutes=4)
    assert shop.outcomes() == [("skipped", "rule_paused")]
    assert shop.messages() == []


def test_a_rule_that_is_active_again_before_the_moment_of_firing_sends(shop: Shop) -> None:
    rule = shop.rule(popup_rule(delay="5m"))
    shop.send(call("Product Added", ADDED))
    shop.set_rule(rule, "paused")
    shop.wait(minutes=2)
    shop.set_rule(rule, "active")
    shop.wait(minutes=3)
    assert shop.outcomes() == [("sent", None)]


def test_a_holdout_of_everybody_keeps_everybody_out(shop: Shop) -> None:
    shop.rule(popup_rule(message={**POPUP, "holdout": 100}))
    shop.send(call("Product Added", ADDED))
    assert shop.outcomes() == [("skipped", "holdout")]


def test_a_variant_whose_name_has_no_value_is_not_sent(shop: Shop) -> None:
    content = {"title": "Hello {{ first_name }}", "body": "…"}
    shop.rule(popup_rule(message={"channels": ["popup"], "variants": [{"name": "A", "content": content}]}))
    shop.send(call("Product Added", ADDED))
    assert [outcome for outcome, _ in shop.outcomes()] == ["skipped"]
    shop.send(identify("u", {"first_name": "Ann"}, anonymousId="bob"), call("Product Added", ADDED, anonymousId="bob"))
    [message] = shop.messages()
    assert message.content["title"] == "Hello Ann"


def test_the_first_channel_that_reaches_the_visitor_carries_the_message(shop: Shop) -> None:
    content = {"subject": "Yours", "title": "Yours", "body": "…"}
    message = {"channels": ["email", "popup"], "variants": [{"name": "A", "content": content}]}
    shop.rule(popup_rule(message=message))
    shop.send(call("Product Added", ADDED))
    shop.send(identify("u", {"email": "Bob@Example.com"}, anonymousId="bob"))
    shop.send(call("Product Added", ADDED, userId="u"))
    shop.send(call("Product Added", ADDED, userId="nobody knows"))
    found = {each.channel: each.address for each in shop.messages()}
    assert found == {"popup": None, "email": "Bob@Example.com"}
    assert shop.outcomes(user_id="nobody knows") == [("skipped", "no_address")]


def test_rules_change_while_the_worker_runs(shop: Shop) -> None:
    shop.send(call("Product Added", ADDED))
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED))
    assert len(shop.messages()) == 1


def test_two_sites_never_meet(shop: Shop) -> None:
    """I14: the same browser and user ids, the same message ids, another site."""
    from backend.pipeline.collect import collect_batch, read_batch
    from backend.storage.sites import create_site, new_site

    shop.rule(popup_rule())
    with shop.rt.db.begin() as connection:
        other = create_site(connection, shop.rt.sites.vault, new_site("other"), shop.clock()).site
    body = b'{"batch":[{"type":"track","event":"Product Added","anonymousId":"ann","userId":"u","messageId":"m"}]}'
    collect_batch(shop.rt.log, other.id, shop.clock(), read_batch(body))
    shop.send(call("Product Added", ADDED, messageId="m", anonymousId="ann", userId="u"))
    assert shop.profile().counts == {"Product Added": 1}
    [message] = shop.messages()
    assert message.site_id == shop.site.id


def test_a_stored_rule_that_nobody_understands_any_more_does_nothing_and_stops_nobody(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule())
    shop.rule(popup_rule())
    with shop.rt.db.begin() as connection:
        broken = '{"name": "From a newer version", "trigger": {"moon": "full"}, "message": {}}'
        connection.execute(text("UPDATE rules SET document = :d WHERE id = :i"), {"d": broken, "i": rule_id})
    shop.send(call("Product Added", ADDED))
    assert len(shop.messages()) == 1
