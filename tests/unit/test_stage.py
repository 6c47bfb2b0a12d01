"""Where in the funnel: the furthest point of the current purchase (contract, section 4)."""

import itertools
from typing import Any

import pytest

from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.profile import Profile
from tests.core_fixtures import at

ITEM = {"product_id": "mug", "price": 5}


def stages(*names: str, orders: tuple[int, ...] | None = None) -> list[str]:
    """The stage after each event; with `orders`, told in that order of arrival."""
    profile = Profile(id="v", site_id="s", person="v")
    events = [
        Event(
            message_id=f"m{place}",
            name=name,
            type="track",
            timestamp=at(minutes=place),
            received_at=at(hours=1),
            order=place,
            properties=ITEM,
        )
        for place, name in enumerate(names)
    ]
    found = []
    for place in orders or range(len(events)):
        profile = fold(profile, events[place])
        found.append(profile.stage)
    return found


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Page Viewed", "new"),
        ("Page Viewed, Page Viewed", "browsing"),
        ("Product List Viewed", "browsing"),
        ("Products Searched", "browsing"),
        ("Something Else", "new"),
        ("Product Viewed", "interested"),
        ("Product Viewed, Page Viewed", "interested"),
        ("Product Added", "cart"),
        ("Product Viewed, Product Added, Product Removed", "interested"),
        ("Page Viewed, Page Viewed, Product Added, Product Removed", "browsing"),
        ("Product Added, Product Removed", "new"),
        ("Checkout Started", "checkout"),
        ("Product Added, Checkout Started", "checkout"),
        ("Product Added, Checkout Started, Product Viewed", "checkout"),
        ("Product Added, Checkout Started, Product Removed", "new"),
        ("Product Added, Checkout Started, Product Removed, Product Added", "cart"),
        ("Product Added, Checkout Started, Product Removed, Product Added, Checkout Started", "checkout"),
        ("Product Added, Checkout Started, Order Completed", "customer"),
        ("Order Completed", "customer"),
        ("Product Added, Order Completed, Page Viewed, Page Viewed", "customer"),
        ("Product Added, Order Completed, Checkout Started", "customer"),
        ("Product Viewed, Product Added, Order Completed, Product Viewed", "interested"),
        ("Product Viewed, Product Added, Order Completed, Product Added", "cart"),
        ("Product Added, Order Completed, Product Added, Product Removed", "browsing"),
        ("Product Added, Order Completed, Product Added, Checkout Started, Order Completed", "customer"),
    ],
)
def test_the_stage_is_the_furthest_of_the_current_purchase(names: str, expected: str) -> None:
    assert stages(*names.split(", "))[-1] == expected


def test_the_stage_does_not_depend_on_the_order_of_arrival() -> None:
    names = ("Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Product Viewed")
    ends: set[Any] = {stages(*names, orders=each)[-1] for each in itertools.permutations(range(len(names)))}
    assert ends == {"interested"}
