"""Whatever order events arrive in, the profile that they fold into is the same (I7, F23), and it says what happened."""

import itertools
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.event import Event
from backend.domain.fold import NAME_LIMIT, fold
from backend.domain.identity import anonymous_visitor
from backend.domain.profile import Profile
from backend.domain.session import GAP
from backend.schemas.documents import decode_profile, encode_profile
from tests.core_fixtures import START, at
from tests.core_histories import one_visitors_events

EMPTY = Profile(id=anonymous_visitor("s", "ann"), site_id="s", person="p")


def event(name: str, moment: datetime = START, properties: dict[str, Any] | None = None, **fields: Any) -> Event:
    made = {"message_id": f"{name}{moment}", "type": "track", "received_at": moment, "anonymous_id": "ann"}
    return Event(name=name, timestamp=moment, properties=properties or {}, **made | fields)


def folded(events: list[Event], start: Profile = EMPTY) -> Profile:
    for each in events:
        start = fold(start, each)
    return start


def unordered(profile: Profile) -> Profile:
    """The profile without the order of what is a set.

    Left out as well: when an id (not an address) was seen, which is kept as of its first arrival.
    """
    seen = {
        (each.kind, each.value, each.source)
        if each.kind.endswith("_id")
        else (each.kind, each.value, each.source, each.first_seen, each.last_seen)
        for each in profile.identifiers
    }
    return replace(profile, anonymous_ids=tuple(sorted(profile.anonymous_ids)), identifiers=tuple(sorted(seen)))


@settings(max_examples=200, deadline=None)
@given(one_visitors_events(), st.randoms(use_true_random=False))
def test_i7_a_shuffled_history_folds_into_the_same_profile(events: list[Event], chance: Any) -> None:
    """Where it cannot: ten sessions, 200 changes of a cart and a few limits more are remembered, not all of time;
    and of an order told twice under one id, the report that arrives first counts.
    """
    shuffled = list(events)
    chance.shuffle(shuffled)
    assert unordered(folded(shuffled)) == unordered(folded(events))


@settings(max_examples=100, deadline=None)
@given(one_visitors_events())
def test_the_sums_of_a_profile_are_those_of_the_events(events: list[Event]) -> None:
    profile = folded(events)
    assert profile.counts == Counter(each.name for each in events)
    assert profile.first_seen == events[0].timestamp
    assert profile.last_seen == events[-1].timestamp
    gaps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(events)]
    assert profile.sessions == 1 + sum(gap > GAP for gap in gaps)
    orders = [each for each in events if each.name == "Order Completed"]
    assert profile.orders.count == len(orders)
    assert profile.orders.revenue == sum((Decimal(str(each.properties["total"])) for each in orders), Decimal(0))
    assert profile.cart.total == sum(
        (item.price * item.quantity for item in profile.cart.items if item.price is not None), Decimal(0)
    )


@settings(max_examples=100, deadline=None)
@given(one_visitors_events())
def test_a_profile_that_was_written_down_folds_on_as_if_it_had_not_been(events: list[Event]) -> None:
    profile = EMPTY
    for each in events:
        profile = decode_profile(encode_profile(fold(profile, each)))
    assert profile == folded(events)


@settings(max_examples=50, deadline=None)
@given(one_visitors_events())
def test_folding_leaves_the_profile_before_untouched(events: list[Event]) -> None:
    profile = EMPTY
    for each in events:
        before = encode_profile(profile)
        after = fold(profile, each)
        assert encode_profile(profile) == before
        profile = after


def test_the_latest_word_on_a_trait_wins_and_null_takes_it_away() -> None:
    said = [
        event("Identify", at(minutes=2), type="identify", user_id="u", traits={"plan": "paid", "city": "Kyiv"}),
        event("Identify", at(minutes=1), type="identify", user_id="u", traits={"plan": "free", "city": "Lviv"}),
        event("Identify", at(minutes=3), type="identify", user_id="u", traits={"city": None}),
        event("Identify", at(minutes=2.5), type="identify", user_id="u", traits={"city": "Odesa"}),
    ]
    assert folded(said).traits == {"plan": "paid"}


def test_an_address_typed_into_a_form_is_a_claim_and_one_from_identify_is_not() -> None:
    typed = {"form": "newsletter", "field": "Email", "value": " Ann@Example.com ", "page": "/"}
    profile = folded([event("Form Field Filled", properties=typed)])
    assert [(each.kind, each.value, each.source) for each in profile.identifiers if each.kind == "email"] == [
        ("email", "ann@example.com", "form_field")
    ]
    assert profile.traits == {}
    said = event("Identify", at(minutes=1), type="identify", user_id="u", traits={"email": "Ann@Example.com"})
    assert {each.source for each in folded([said], profile).identifiers if each.kind == "email"} == {
        "form_field",
        "identify",
    }


def test_an_order_that_page_and_backend_both_tell_counts_once() -> None:
    told = {"order_id": 17, "total": "30.00"}
    page = event("Order Completed", properties=told, message_id="page")
    backend = event("Order Completed", at(seconds=5), {**told, "order_id": "17"}, message_id="backend")
    orders = folded([page, backend]).orders
    assert (orders.count, orders.revenue) == (1, Decimal("30.00"))
    assert folded([page, backend]).counts == {"Order Completed": 2}, "the reports are two, the order is one"


def test_what_an_order_was_worth_is_read_wherever_it_stands() -> None:
    products = [{"product_id": "a", "price": 2, "quantity": 3}, {"product_id": "b", "price": "0.5"}, "nonsense"]
    table: list[tuple[dict[str, Any], str]] = [
        ({"revenue": 10, "total": 12}, "10"),
        ({"total": "12.50"}, "12.50"),
        ({"value": 3}, "3"),
        ({"products": products}, "6.5"),
        ({"product_id": "a", "price": 4, "quantity": 2}, "8"),
        ({"total": "a lot", "value": True}, "0"),
        ({"total": float(10**16)}, "0"),
        ({}, "0"),
    ]
    for properties, worth in table:
        assert folded([event("Order Completed", properties=properties)]).orders.revenue == Decimal(worth), properties


def test_names_beyond_the_limit_are_not_counted_and_the_known_ones_still_are() -> None:
    events = [event(f"Made up {number}", at(seconds=number)) for number in range(NAME_LIMIT + 50)]
    profile = folded([*events, event("Made up 0", at(hours=1))])
    assert len(profile.counts) == len(profile.last_at) == NAME_LIMIT
    assert profile.counts["Made up 0"] == 2
    assert profile.last_seen == at(hours=1)


def test_strange_properties_do_no_harm() -> None:
    strange: list[Any] = [
        None,
        [],
        {},
        "",
        0,
        -1,
        True,
        1e300,
        "x" * 8000,
        "٣",
        "1e400",
        "NaN",
        "Infinity",
        "-0",
        "1_0",
        "１２",
    ]
    names = [
        "Product Added",
        "Product Removed",
        "Cart Viewed",
        "Order Completed",
        "Products Searched",
        "Form Field Filled",
    ]
    profile = EMPTY
    moment = START
    for name in names:
        for key in (
            "product_id",
            "price",
            "quantity",
            "products",
            "order_id",
            "total",
            "query",
            "field",
            "value",
            "email",
        ):
            for value in strange:
                moment += timedelta(seconds=1)
                properties = {"product_id": "p", "field": "email", key: value}
                profile = fold(profile, event(name, moment, properties, message_id=f"{moment}"))
    assert decode_profile(encode_profile(profile)) == profile


def test_strange_contexts_do_no_harm() -> None:
    strange: list[Any] = [
        None,
        [],
        {},
        "",
        0,
        True,
        "x" * 8000,
        {"url": 5},
        {"url": "http://[::1"},
        {"traits": []},
        [1],
    ]
    keys = ("userAgent", "locale", "timezone", "screen", "page", "campaign", "referrer", "traits")
    profile = EMPTY
    for number, (key, value) in enumerate((key, value) for key in keys for value in strange):
        profile = fold(profile, event("Page Viewed", at(seconds=number), context={key: value}))
    page = {"url": "https://[bad/", "referrer": "https://[worse/", "search": "?utm_source=" + "&" * 300, "path": 7}
    profile = fold(profile, event("Page Viewed", at(hours=1), context={"page": page}))
    assert decode_profile(encode_profile(profile)) == profile
