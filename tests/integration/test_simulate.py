"""Simulations: a rule over what is stored, in event time; nothing is sent, nothing is stored (contract, section 5)."""

from typing import Any

import pytest

from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule, state_of

CART_LEFT = {
    "trigger": {"event": "Product Added"},
    "delay": "30m",
    "cancel": [{"event": "Order Completed"}],
    "reentry": {"policy": "every"},
}
ADDED = {"product_id": "mug", "price": 5}


def morning(shop: Shop) -> None:
    """Three visitors: one leaves the cart, one orders, one comes late; told in no order."""
    shop.clock.forward(hours=3)
    shop.send(
        call("Order Completed", {"total": 5}, messageId="b2", anonymousId="bob", timestamp=at(minutes=20)),
        call("Product Added", ADDED, messageId="b1", anonymousId="bob", timestamp=at(minutes=10)),
        call("Product Added", ADDED, messageId="a1", timestamp=at(minutes=5)),
    )
    shop.send(
        call("Product Added", ADDED, messageId="e1", anonymousId="eve", timestamp=at(minutes=170)),
        call("Product Added", ADDED, messageId="a2", timestamp=at(minutes=6)),
        call("Page Viewed", messageId="p", anonymousId="zoe", timestamp=at()),
    )


def test_what_would_have_been_and_nothing_is_changed(each_shop: Shop) -> None:
    shop = each_shop
    morning(shop)
    before = state_of(shop.rt)
    found = shop.simulate(CART_LEFT)
    items = {each.event_id: (each.entered_at, each.at, each.outcome, each.reason) for each in found.items}
    assert items == {
        "a1": (at(minutes=5), at(minutes=35), "sent", None),
        "b1": (at(minutes=10), at(minutes=20), "skipped", "cancelled"),
        "e1": (at(minutes=170), at(minutes=200), "pending", None),
    }
    names = {each.event_id: each.anonymous_id for each in found.items}
    assert names == {"a1": "ann", "b1": "bob", "e1": "eve"}
    assert found.summary["visitors"] == 4
    assert found.summary["entered"] == 3
    assert found.summary["reasons"] == {"cancelled": 1}
    assert found.summary["denied"] == {"live": 1}, "the second addition found the first one waiting"
    assert (found.summary["sent"], found.summary["skipped"], found.summary["pending"]) == (1, 1, 1)
    assert found.next_cursor is None
    assert state_of(shop.rt) == before


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (at(minutes=5), at(minutes=10), {"a1": "pending"}),
        (at(minutes=5, microseconds=1), at(hours=3), {"b1": "skipped", "e1": "pending"}),
        (at(minutes=6), at(minutes=15), {"b1": "pending"}),
        (None, at(minutes=35), {"a1": "sent", "b1": "skipped"}),
        (None, at(minutes=34, seconds=59.999999), {"a1": "pending", "b1": "skipped"}),
        (None, at(minutes=5), {}),
        (at(hours=4), None, {}),
        (None, at(hours=4), {"a1": "sent", "b1": "skipped", "e1": "sent"}),
    ],
)
def test_entered_since_inclusive_until_exclusive_and_pending_after_the_end(
    shop: Shop, since: Any, until: Any, expected: dict[str, str]
) -> None:
    """What lies before `since` is replayed too; an enrolment whose moment is after `until` is pending."""
    morning(shop)
    found = shop.simulate(CART_LEFT, since=since, until=until)
    assert {each.event_id: each.outcome for each in found.items} == expected


def test_what_happened_before_since_still_counts(shop: Shop) -> None:
    morning(shop)
    twice = {"performed": "Product Added", "count": {"op": "gte", "value": 2}}
    found = shop.simulate({"trigger": {"event": "Product Added"}, "audience": twice}, since=at(minutes=6))
    assert [each.event_id for each in found.items] == ["a2"]
    once = shop.simulate({"trigger": {"event": "Product Added"}}, since=at(minutes=6))
    assert {each.event_id for each in once.items} == {"b1", "e1"}, "ann had entered before, so a2 is denied"
    assert once.summary["denied"] == {"once": 1}


def test_pages_add_up_to_the_whole(shop: Shop) -> None:
    for number in range(25):
        shop.send(call("Product Added", ADDED, anonymousId=f"v{number}", messageId=f"m{number}"))
    shop.clock.forward(hours=1)
    whole = shop.simulate(CART_LEFT)
    assert len(whole.items) == 25
    items, cursor = [], None
    while True:
        page = shop.simulate(CART_LEFT, limit=10, cursor=cursor)
        assert page.summary == whole.summary
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 10
    assert items == whole.items


def test_old_events_start_what_they_would_have_started_then(shop: Shop) -> None:
    """Live they were stale; a simulation lives in event time."""
    shop.rule(popup_rule())
    shop.send(call("Product Added", ADDED, timestamp=at(days=-30)))
    assert shop.enrolments() == []
    assert shop.simulate({"trigger": {"event": "Product Added"}}).summary["sent"] == 1


def test_a_rule_that_is_paused_or_a_draft_is_simulated_as_if_it_were_active(shop: Shop) -> None:
    from backend.pipeline.simulate import simulate
    from backend.storage.rules import get_rule

    rule_id = shop.rule(popup_rule(), status="draft")
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(minutes=1)
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    assert simulate(shop.rt, shop.site, [stored.rule()]).summary["sent"] == 1


def test_at_equal_timestamps_the_order_of_arrival_decides(each_shop: Shop) -> None:
    """Within a batch and across batches; the second order comes too late for the first addition."""
    shop = each_shop
    rule = {"trigger": {"event": "Ping"}, "audience": {"performed": "Pong"}, "reentry": {"policy": "every"}}
    shop.clock.forward(minutes=1)
    shop.send(call("Ping", messageId="before", timestamp=at()), call("Pong", timestamp=at()))
    shop.send(call("Ping", messageId="after", timestamp=at()))
    assert [each.event_id for each in shop.simulate(rule).items] == ["after"]


def test_the_variant_of_a_simulation_is_the_variant_that_is_sent(shop: Shop) -> None:
    from backend.pipeline.simulate import simulate
    from backend.storage.rules import get_rule

    variants = [{"name": name, "content": {"title": name, "body": "…"}} for name in "ABCD"]
    rule_id = shop.rule(popup_rule(message={"channels": ["popup"], "variants": variants, "holdout": 30}))
    shop.send(*(call("Product Added", ADDED, anonymousId=f"v{number}") for number in range(40)))
    shop.clock.forward(minutes=1)
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    live = {f"v{number}": shop.enrolments(f"v{number}")[0] for number in range(40)}
    foreseen = {each.anonymous_id: each for each in simulate(shop.rt, shop.site, [stored.rule()], limit=100).items}
    assert {who: (each.outcome, each.variant) for who, each in live.items()} == {
        who: (each.outcome, each.variant) for who, each in foreseen.items()
    }
    assert {each.outcome for each in foreseen.values()} == {"sent", "skipped"}


def test_many_visitors_are_read_part_by_part(shop: Shop) -> None:
    """More than are in memory at a time, some of them merged."""
    from backend.pipeline.history import VISITORS_AT_ONCE

    count = VISITORS_AT_ONCE + 50
    shop.send(*(call("Product Added", ADDED, anonymousId=f"v{number}") for number in range(count)))
    shop.send(*(identify(f"u{number}", anonymousId=f"v{number}") for number in range(0, count, 2)))
    shop.clock.forward(hours=1)
    found = shop.simulate(CART_LEFT)
    assert found.summary["sent"] == found.summary["visitors"] == count
