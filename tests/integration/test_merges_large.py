"""Merging and taking apart two visitors with long histories, within what was promised."""

import time

import pytest

from backend.domain.identity import known_visitor
from backend.pipeline.merge import merge_visitors
from backend.pipeline.unmerge import unmerge
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify
from tests.integration.test_merges import comparable

EVENTS = 10_000
ADDED = {"product_id": "kettle", "price": 30}
NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Products Searched")


@pytest.mark.long
def test_two_visitors_with_ten_thousand_events_each_are_merged_within_a_second(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(identify("u"), identify("v", anonymousId="bob"))
    for start in range(0, EVENTS, 1_000):
        for who in ("ann", "bob"):
            shop.put(*[call(NAMES[each % 4], ADDED, anonymousId=who) for each in range(start, start + 1_000)])
        shop.clock.forward(minutes=7)
    shop.processor.drain()
    before = {name: shop.profile(user_id=name) for name in "uv"}
    u, v = (known_visitor(shop.site.id, name) for name in "uv")
    began = time.perf_counter()
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    merged = time.perf_counter() - began
    assert made is not None
    assert sum(shop.profile(user_id="v").counts.values()) == 2 * EVENTS + 2
    began = time.perf_counter()
    unmerge(shop.rt, shop.site, u, made.id, "tests")
    undone = time.perf_counter() - began
    for name, each in before.items():
        assert comparable(shop.profile(user_id=name)) == comparable(each)
    print(f"merged in {merged:.3f} s, undone in {undone:.3f} s")
    assert merged < 1
    assert undone < 5
