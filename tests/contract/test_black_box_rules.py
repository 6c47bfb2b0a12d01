"""Rules and simulations from outside, against a real `chimein up`, as sections 4 and 5 of the contract read."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Shop, Stack, stack, track, wait_for

POPUP = {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "Hello", "body": "Still there?"}}]}
ADDED = {"name": "Added", "trigger": {"event": "Product Added"}, "message": POPUP}
SENT = ("sent", None)
IN_CART = {"field": "profile.stage", "op": "eq", "value": "cart"}
BROKEN = {"content": {"title": "{{ open", "body": "x"}}


@pytest.fixture(scope="module")
def chimein(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("rules") / "var") as running:
        yield running
        assert running.set_aside() == 0


@pytest.fixture
def shop(chimein: Stack) -> Shop:
    return chimein.site()


def rule(**changes: Any) -> dict[str, Any]:
    return {**ADDED, **changes}


def ended(shop: Shop, ann: str, count: int = 1) -> list[tuple[str | None, str | None]]:
    """How the visitor's enrolments ended, when all `count` of them have."""

    def look() -> list[tuple[str | None, str | None]]:
        outcomes = shop.outcomes(ann)
        return outcomes if len(outcomes) >= count and all(outcome for outcome, _ in outcomes) else []

    return wait_for(look)


def added(ann: str, **properties: Any) -> dict[str, Any]:
    return track("Product Added", ann, properties={"product_id": "K", "name": "Kettle", "price": 20, **properties})


# ---- life ----


def test_a_rule_acts_only_while_it_is_active(shop: Shop) -> None:
    made = shop.api("POST", "/rules", ADDED)
    assert (made.status, made.json["status"]) == (201, "draft")
    way = f"/rules/{made.json['id']}"
    shop.send(added("draft"))
    assert shop.api("POST", f"{way}/activate").json["status"] == "active"
    shop.send(added("active"))
    assert shop.api("POST", f"{way}/pause").json["status"] == "paused"
    shop.send(added("paused"))
    assert shop.api("POST", f"{way}/activate").status == 200
    shop.send(added("again"))
    assert shop.api("POST", f"{way}/archive").json["status"] == "archived"
    shop.send(added("archived"))
    acted = {name: shop.outcomes(name) for name in ("draft", "active", "paused", "again", "archived")}
    assert acted == {"draft": [], "active": [SENT], "paused": [], "again": [SENT], "archived": []}


def test_a_rule_that_is_paused_before_its_moment_says_nothing(shop: Shop) -> None:
    rule_id = shop.rule(rule(delay="3s"))
    shop.send(added("ann"))
    shop.api("POST", f"/rules/{rule_id}/pause")
    assert ended(shop, "ann") == [("skipped", "rule_paused")]


def test_a_changed_rule_acts_as_it_reads_now(shop: Shop) -> None:
    rule_id = shop.rule(ADDED)
    assert shop.api("PUT", f"/rules/{rule_id}", rule(trigger={"event": "Product Viewed"})).json["version"] == 2
    shop.send(added("ann"))
    shop.send(track("Product Viewed", "bob"))
    assert (shop.outcomes("ann"), shop.outcomes("bob")) == ([], [SENT])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"audience": {"all": [IN_CART, {**IN_CART, "op": "is"}]}}, "audience.all.1.op"),
        ({"trigger": {"event": "X", "where": {**IN_CART, "op": "regex", "value": "("}}}, "trigger.where.value"),
        ({"trigger": {}}, "trigger"),
        ({"delay": "half an hour"}, "delay"),
        ({"reentry": {"policy": "sometimes"}}, "reentry.policy"),
        ({"message": {"channels": ["pigeon"], "variants": POPUP["variants"]}}, "message.channels.0"),
        ({"message": {"channels": ["popup"], "variants": []}}, "message.variants"),
        ({"message": {"channels": ["popup"], "variants": [BROKEN]}}, "message.variants.0.content.title"),
        ({"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused_with_the_path_of_the_mistake(
    shop: Shop, changes: Mapping[str, Any], path: str
) -> None:
    for where in ("/rules", "/simulations"):
        document = rule(**changes)
        answer = shop.api("POST", where, document if where == "/rules" else {"rule": document})
        assert answer.status == 422, answer.text
        node: Any = answer.json["errors"]
        for step in path.split(".") if where == "/rules" else ["rule", *path.split(".")]:
            assert step in node, answer.text
            node = node[step]


# ---- triggers, time, cancels ----


def test_a_trigger_asks_for_its_where_and_for_the_audience(shop: Shop) -> None:
    shop.rule(
        rule(
            trigger={"event": "Product Added", "where": {"field": "event.properties.price", "op": "gte", "value": 100}},
            audience={"performed": "Product Viewed", "count": {"op": "gte", "value": 2}},
        )
    )
    shop.send(*[track("Product Viewed", name) for name in ("ann", "ann", "bob", "cid", "cid")])
    shop.send(added("ann", price=100), added("bob", price=100), added("cid", price=99), added("dora", price="100"))
    assert {name: shop.outcomes(name) for name in ("ann", "bob", "cid", "dora")} == {
        "ann": [SENT],
        "bob": [],
        "cid": [],
        "dora": [],
    }


def test_a_stage_is_entered_once_on_the_way(shop: Shop) -> None:
    shop.rule(rule(trigger={"stage": "checkout"}, reentry={"policy": "every"}))
    shop.send(added("ann"))
    assert shop.outcomes("ann") == []
    shop.send(track("Checkout Started", "ann"), track("Checkout Started", "ann"))
    assert (shop.visitor("ann")["stage"], shop.outcomes("ann")) == ("checkout", [SENT])


def test_a_delayed_rule_waits_reads_again_and_can_be_cancelled(shop: Shop) -> None:
    shop.rule(
        rule(
            delay="3s",
            audience={"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
            cancel=[{"event": "Order Completed"}],
        )
    )
    began = time.time()
    shop.send(added("stays"), added("empties"), added("buys"))
    assert shop.outcomes("stays") == [(None, None)], "it waits"
    removed = track("Product Removed", "empties", properties={"product_id": "K"})
    shop.send(removed, track("Order Completed", "buys", properties={"total": 20}))
    assert ended(shop, "stays") == [SENT]
    assert time.time() - began >= 3
    assert ended(shop, "empties") == [("skipped", "not_matching")]
    assert ended(shop, "buys") == [("skipped", "cancelled")]
    [enrolment] = shop.of("stays", "enrolments")
    waited = datetime.fromisoformat(enrolment["due_at"]) - datetime.fromisoformat(enrolment["entered_at"])
    assert waited == timedelta(seconds=3)
    assert [each["rule_id"] for each in shop.of("stays", "messages")] == [enrolment["rule_id"]]
    assert shop.of("empties", "messages") == shop.of("buys", "messages") == []


def test_a_cancel_with_same_asks_for_equal_properties(shop: Shop) -> None:
    shop.rule(rule(delay="2s", cancel=[{"event": "Cart Dropped", "same": "properties.cart_id"}]))
    for name, other in (("ann", "1"), ("bob", "2"), ("cid", None)):
        dropped = track("Cart Dropped", name, properties={"cart_id": other} if other else {})
        shop.send(added(name, cart_id="1"), dropped)
    assert (ended(shop, "ann"), ended(shop, "bob"), ended(shop, "cid")) == ([("skipped", "cancelled")], [SENT], [SENT])


def test_an_event_older_than_the_site_allows_is_folded_and_starts_nothing(shop: Shop) -> None:
    shop.rule(ADDED)
    old = datetime.now(UTC) - timedelta(minutes=11)
    shop.send({**added("ann"), "timestamp": old.isoformat()})
    assert (shop.visitor("ann")["stage"], shop.outcomes("ann")) == ("cart", [])


# ---- how often, and what ----


@pytest.mark.parametrize(
    ("reentry", "expected"),
    [
        ({"policy": "once"}, 1),
        ({"policy": "every"}, 4),
        ({"policy": "every", "at_most": 2, "per": "1h"}, 2),
        ({"policy": "per_key", "key": "properties.cart_id"}, 2),
    ],
)
def test_re_entry_counts_enrolments(shop: Shop, reentry: Mapping[str, Any], expected: int) -> None:
    shop.rule(rule(reentry=reentry))
    for cart in ("1", "1", "2"):
        shop.send(added("ann", cart_id=cart))
    shop.send(added("ann"))
    assert shop.outcomes("ann") == [SENT] * expected


def test_while_an_enrolment_lives_a_further_trigger_starts_nothing(shop: Shop) -> None:
    shop.rule(rule(delay="2s", reentry={"policy": "every"}))
    for _ in range(3):
        shop.send(added("ann"))
    assert ended(shop, "ann") == [SENT]
    shop.send(added("ann"))
    assert ended(shop, "ann", 2) == [SENT, SENT]


def test_a_holdout_of_a_hundred_gets_nothing(shop: Shop) -> None:
    shop.rule(rule(message={**POPUP, "holdout": 100}))
    shop.send(added("ann"))
    assert shop.outcomes("ann") == [("skipped", "holdout")]
    assert shop.of("ann", "messages") == []


def test_variants_follow_their_weights_and_stick_to_the_visitor(shop: Shop) -> None:
    variants = [
        {"name": name, "weight": weight, "content": {"title": name, "body": "…"}}
        for name, weight in (("A", 1), ("B", 3), ("never", 0))
    ]
    shop.rule(rule(reentry={"policy": "every"}, message={"channels": ["popup"], "variants": variants}))
    people = [f"visitor-{number}" for number in range(80)]
    for _ in range(2):
        shop.send(*[added(name) for name in people])
    seen: dict[str, set[str]] = {}
    cursor = ""
    while True:
        page = shop.api("GET", f"/messages?limit=100{cursor}").json
        for message in page["items"]:
            assert message["content"]["title"] == message["variant"]
            seen.setdefault(message["visitor_id"], set()).add(message["variant"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == 80
    assert all(len(variants) == 1 for variants in seen.values())
    drawn = [variant for variants in seen.values() for variant in variants]
    assert set(drawn) == {"A", "B"}
    assert 40 <= drawn.count("B") <= 75


def test_content_is_liquid_with_the_visitor_the_cart_and_the_product(shop: Shop) -> None:
    content = {
        "title": "{{ first_name | default: 'friend' }} & {{ product.name }}",
        "body": "{{ cart.items.size }}: {{ cart.total }} {{ cart.currency }} {{ event.properties.colour | upcase }}",
        "button": {"text": "{{ product.name }}", "url": "/p/{{ product.product_id }}"},
    }
    shop.rule(rule(message={"channels": ["popup"], "variants": [{"name": "A", "content": content}]}))
    name = {"type": "identify", "anonymousId": "ann", "messageId": uuid4().hex, "traits": {"first_name": "<b>Ann"}}
    shop.send(name, added("ann", colour="red", price=10.5, quantity=2), added("bob", colour="red"))
    [message] = shop.of("ann", "messages")
    told = message["content"]
    assert (told["title"], told["button"]) == ("<b>Ann & Kettle", {"text": "Kettle", "url": "/p/K"})
    assert told["body"].startswith("1: 21")
    assert told["body"].endswith(" RED")
    assert shop.of("bob", "messages")[0]["content"]["title"].startswith("friend")


def test_a_name_without_value_keeps_the_message_back(shop: Shop) -> None:
    content = {"title": "{{ first_name }}", "body": "…"}
    shop.rule(rule(message={"channels": ["popup"], "variants": [{"name": "A", "content": content}]}))
    shop.send(added("ann"))
    [(outcome, reason)] = shop.outcomes("ann")
    assert (outcome, bool(reason)) == ("skipped", True)


def test_the_first_channel_that_reaches_the_visitor_carries_the_message(shop: Shop) -> None:
    content = {"title": "T", "body": "B", "subject": "S"}
    shop.rule(rule(message={"channels": ["email", "chat"], "variants": [{"name": "A", "content": content}]}))
    known = {"type": "identify", "anonymousId": "ann", "messageId": uuid4().hex, "traits": {"email": "ann@example.com"}}
    shop.send(known, added("ann"), added("bob"))
    assert [each["channel"] for each in shop.of("ann", "messages")] == ["email"]
    assert [each["channel"] for each in shop.of("bob", "messages")] == ["chat"]


def test_explain_gives_every_gate_its_verdict(shop: Shop) -> None:
    rule_id = shop.rule(rule(audience={"field": "profile.stage", "op": "eq", "value": "cart"}))
    shop.send(track("Product Viewed", "ann"))
    answer = shop.api("GET", f"/rules/{rule_id}/explain?visitor={shop.visitor('ann')['id']}")
    gates = {each["gate"]: each["open"] for each in answer.json["gates"]}
    assert (gates["rule"], gates["audience"]) == (True, False)


# ---- simulations ----


def test_a_simulation_decides_as_the_same_rule_did_live(shop: Shop) -> None:
    dear = {"field": "event.properties.price", "op": "gt", "value": 5}
    document = rule(
        audience={"not": {"performed": "Order Completed", "within": "30d"}},
        delay="2s",
        cancel=[{"event": "Order Completed"}, {"event": "Product Removed", "where": dear}],
        reentry={"policy": "every", "at_most": 2, "per": "1h"},
        message={**POPUP, "holdout": 30},
    )  # fmt: skip
    rule_id = shop.rule(document)
    people = [f"v{number}" for number in range(24)]
    for turn in range(3):
        shop.send(*[added(name) for name in people])
        if turn == 0:
            shop.send(*[track("Order Completed", name, properties={"total": 9}) for name in people[:5]])
            shop.send(
                *[track("Product Removed", name, properties={"product_id": "K", "price": 9}) for name in people[5:9]]
            )
        time.sleep(2.5)
    wait_for(lambda: shop.chimein.api("GET", "/status").json["waiting_timers"] == 0)
    live = sorted(
        (each["event_id"], each["entered_at"], each["at"], each["outcome"], each["reason"] or "")
        for name in people
        for each in shop.of(name, "enrolments")
    )
    assert len(live) > 24
    assert {each[4] for each in live} == {"", "holdout", "cancelled"}
    for asked in (rule_id, document):
        items: list[Any] = []
        cursor = None
        while True:
            answer = shop.api("POST", "/simulations", {"rule": asked, "limit": 10, "cursor": cursor})
            assert answer.status == 200, answer.text
            items += answer.json["items"]
            cursor = answer.json["next_cursor"]
            if cursor is None:
                break
        simulated = sorted(
            (each["event_id"], each["entered_at"], each["at"], each["outcome"], each["reason"] or "") for each in items
        )
        if asked == rule_id:
            assert simulated == live
        else:  # another rule's holdout falls upon others
            assert [each[:3] for each in simulated] == [each[:3] for each in live]
    assert all(each["visitor_id"] and each["anonymous_id"] in people for each in items)


def test_a_simulation_sends_and_stores_nothing_and_keeps_to_its_span(shop: Shop) -> None:
    base = datetime.now(UTC) - timedelta(hours=5)

    def then(call: dict[str, Any], **after: float) -> dict[str, Any]:
        return {**call, "timestamp": (base + timedelta(**after)).isoformat()}

    shop.send(
        then(added("early")),
        then(added("ann"), hours=1),
        then(added("bob"), hours=1),
        then(track("Order Completed", "bob", properties={"total": 1}), hours=1, minutes=9),
        then(added("late"), hours=2),
    )
    document = rule(delay="30m", cancel=[{"event": "Order Completed"}])
    span = {
        "since": (base + timedelta(hours=1)).isoformat(),
        "until": (base + timedelta(hours=2, minutes=10)).isoformat(),
    }
    answer = shop.api("POST", "/simulations", {"rule": document, **span}).json
    told = {each["anonymous_id"]: (each["outcome"], each["reason"]) for each in answer["items"]}
    assert told == {"ann": ("sent", None), "bob": ("skipped", "cancelled"), "late": ("pending", None)}
    [ann] = [each for each in answer["items"] if each["anonymous_id"] == "ann"]
    assert datetime.fromisoformat(ann["at"]) == base + timedelta(hours=1, minutes=30)
    for name in ("early", "ann", "bob", "late"):
        assert shop.of(name, "enrolments") == shop.of(name, "messages") == []
    assert shop.api("GET", "/rules").json["items"] == []
