"""Events that are kept no longer count no longer: whoever is in a segment is whom a count of what is kept finds."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from backend.pipeline import retain
from backend.pipeline.retain import Retainer
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify
from tests.integration.test_consent import under
from tests.integration.test_favourites_live import HATS, viewed
from tests.integration.test_funnel import define, figures, funnel, history, restaged
from tests.integration.test_segments import ask, build, good, make, members, new_rule

KEEN = {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}, "within": "90d"}
CALM = {"not": {"performed": "Product Viewed", "where": {"field": "event.properties.category", "op": "eq", "value": "Hats"}, "within": "90d"}}
SEEN = {"performed": "Product Viewed", "within": "90d"}
MONTH = {"Product Viewed": timedelta(days=30)}


def size(shop: Shop, condition: Any) -> int:
    """For how many visitors the condition holds, as a count of what is stored finds it."""
    return int(good(ask(shop, "POST", "/segments/preview", {"condition": condition}))["size"])


def test_members_of_a_segment_over_history_are_those_whom_a_count_finds_after_retention(each_shop: Shop) -> None:
    shop = each_shop
    keen, hats, calm = make(shop, "keen", KEEN), make(shop, "hats", HATS), make(shop, "calm", CALM)
    follower = {"all": [{"segment": keen}, {"segment": hats}]}
    both, seen = make(shop, "both", follower), make(shop, "seen", SEEN)
    build(shop)
    for segment, change in ((keen, "left"), (calm, "entered")):
        new_rule(shop, name=change, trigger={"segment": segment, "change": change})
    shop.send(*(viewed("Hats") for _ in range(3)), *(viewed("Hats", anonymousId="bob") for _ in range(2)))
    shop.wait(days=20)
    shop.send(viewed("Shoes", anonymousId="bob"))
    assert (members(shop, keen), members(shop, calm)) == (["ann", "bob"], [])
    assert members(shop, both) == ["ann", "bob"]
    under(shop, retention=MONTH)
    shop.wait(days=11)
    assert Retainer(shop.rt).run() == 5
    conditions = ((keen, KEEN), (hats, HATS), (calm, CALM), (both, follower), (seen, SEEN))
    assert [(len(members(shop, each)), size(shop, condition)) for each, condition in conditions] == [
        *((0, 0), (0, 0), (2, 2), (0, 0), (2, 2)),
    ]
    assert members(shop, seen) == ["ann", "bob"], "profiles stay, and know when it was last"
    assert shop.messages() == [], "nobody did anything"
    shop.wait(days=60)
    assert shop.messages() == []
    shop.send(*(viewed("Hats") for _ in range(3)))
    assert (members(shop, keen), size(shop, KEEN), members(shop, calm)) == (["ann"], 1, ["bob"])


def test_what_one_of_two_who_are_one_did_goes_out_of_their_segments_too(each_shop: Shop) -> None:
    shop = each_shop
    keen = make(shop, "keen", KEEN)
    build(shop)
    shop.send(viewed("Hats"), viewed("Hats", anonymousId="other"), viewed("Hats", anonymousId="other"))
    shop.send(identify("u"), identify("u", anonymousId="other"))
    assert len(members(shop, keen)) == 1
    under(shop, retention=MONTH)
    shop.wait(days=31)
    assert Retainer(shop.rt).run() == 3
    assert (members(shop, keen), size(shop, KEEN)) == ([], 0)


def test_whose_time_comes_anyway_is_told_of_it(each_shop: Shop) -> None:
    shop = each_shop
    keen = make(shop, "keen", {**KEEN, "within": "31d"})
    build(shop)
    new_rule(shop, trigger={"segment": keen, "change": "left"})
    shop.send(*(viewed("Hats") for _ in range(3)))
    under(shop, retention=MONTH)
    shop.clock.forward(days=32)
    assert Retainer(shop.rt).run() == 3
    shop.wait(seconds=1)
    assert (members(shop, keen), len(shop.messages())) == ([], 1)


def test_stages_of_ones_own_are_asked_anew_and_noted(each_shop: Shop) -> None:
    shop = each_shop
    good(define(shop, ["new", "interested", {"name": "keen", "enter": KEEN}]))
    restaged(shop)
    shop.send(*(viewed("Hats") for _ in range(3)))
    assert shop.profile().stage == "keen"
    shop.site = shop.site_now()
    under(shop, retention=MONTH)
    shop.wait(days=31)
    new_rule(shop, trigger={"stage": "interested"})
    assert Retainer(shop.rt).run() == 3
    profile = shop.profile()
    assert (profile.stage, [each[0] for each in history(shop)]) == ("interested", ["interested", "keen", "interested"])
    assert figures(funnel(shop))["interested"] == (1, 1)
    shop.processor.drain()
    assert shop.messages() == [], "nobody did anything"


@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_done_live_members_are_those_whom_a_count_finds(
    each_shop: Shop, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retain, "EVENTS_AT_ONCE", 7)
    monkeypatch.setattr(retain, "VISITORS_AT_ONCE", 3)
    shop, dice = each_shop, Random(seed)
    conditions = [
        KEEN,
        CALM,
        SEEN,
        HATS,
        {"performed": "Product Viewed", "count": {"op": "lte", "value": 2}},
        {"any": [{"performed": "Order Completed", "within": "50d"}, KEEN]},
        {"field": "profile.counts.Product Viewed", "op": "gte", "value": 2},
    ]
    made = [make(shop, f"s{place}", condition) for place, condition in enumerate(conditions)]
    build(shop)
    kept = {"Product Viewed": timedelta(days=dice.choice([10, 30])), "*": timedelta(days=40)}
    under(shop, retention=kept)
    removed = 0
    for _ in range(12):
        done = [
            dice.choice(
                [
                    viewed(dice.choice(["Hats", "Shoes"]), anonymousId=f"v{dice.randrange(6)}"),
                    call("Order Completed", {"order_id": str(dice.random())}, anonymousId=f"v{dice.randrange(6)}"),
                    identify(f"u{dice.randrange(3)}", anonymousId=f"v{dice.randrange(6)}"),
                ]
            )
            for _ in range(dice.randrange(8))
        ]
        shop.send(*done)
        shop.wait(days=dice.randrange(1, 15))
        retainer = Retainer(shop.rt)
        while found := retainer.run():
            removed += found
        sizes = [len(members(shop, each)) for each in made]
        assert sizes == [size(shop, condition) for condition in conditions]
    assert removed > 10
