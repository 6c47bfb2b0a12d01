"""Events that are kept no longer count no longer: whoever is in a segment is whom a count of what is kept finds."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.pipeline import retain
from backend.pipeline.merge import merge_visitors
from backend.pipeline.retain import Retainer
from backend.pipeline.unmerge import unmerge
from backend.storage import merges, thinned
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call, identify, popup_rule
from tests.integration.test_consent import under
from tests.integration.test_erasure import erased, tables_of
from tests.integration.test_favourites_live import HATS, viewed
from tests.integration.test_funnel import define, figures, funnel, history, restaged
from tests.integration.test_segments import ask, build, good, make, members, new_rule

KEEN = {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}, "within": "90d"}
OF_HATS = {"field": "event.properties.category", "op": "eq", "value": "Hats"}
CALM = {"not": {"performed": "Product Viewed", "where": OF_HATS, "within": "90d"}}
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


def two_who_were_one(shop: Shop, *, known: bool = True) -> tuple[str, str]:
    """The ids of u and v, who were one person for an hour; v's search is kept no longer, but u was told of it."""
    texts = {"title": "For you", "body": "{{ seeking | default: 'nothing' }} {{ event.name }}"}
    said = {"channels": ["popup"], "variants": [{"name": "A", "content": texts}]}
    hook = {"url": "https://example.org/{{ seeking }}"}
    for name in ("Page Viewed", "Cart Viewed"):
        shop.rule(popup_rule(name, message=said, reentry={"policy": "every"}))
    shop.rule({"name": "hook", "trigger": {"event": "Cart Viewed"}, "steps": [{"webhook": hook}]})
    shop.send(identify("u", anonymousId="hers"), call("Page Viewed", userId="u"))
    his = identify("v", {"seeking": "a-rare-thing"}, anonymousId="his")
    if not known:
        del his["userId"]
    shop.send(his, call("Signed Up", anonymousId="his"))
    u = known_visitor(shop.site.id, "u")
    v = known_visitor(shop.site.id, "v") if known else anonymous_visitor(shop.site.id, "his")
    shop.clock.forward(minutes=1)
    made = merge_visitors(shop.rt, shop.site, u, v, "tests").merge
    assert made is not None
    shop.send(call("Cart Viewed", userId="u"))
    assert [each.content["body"] for each in shop.messages() if each.visitor_id == u] == [
        *("nothing Page Viewed", "a-rare-thing Cart Viewed"),
    ]
    shop.wait(minutes=59)
    return u, v


def merge_of(shop: Shop, visitor_id: str) -> str:
    with shop.rt.db.read() as connection:
        return merges.list_merges(connection, [visitor_id], 1)[0].id


def test_what_was_told_by_an_event_that_is_gone_goes_with_whoever_told_it(each_shop: Shop) -> None:
    """The webhook that quotes it was sent and stays when the two are parted; nobody knows then what it quotes."""
    shop = each_shop
    u, _ = two_who_were_one(shop)
    unmerge(shop.rt, shop.site, u, merge_of(shop, u), "tests")
    shop.wait(minutes=10)
    shop.send(identify("v", {"seeking": "another"}, anonymousId="his"))
    shop.send(call("Page Viewed", userId="u"), call("Page Viewed", userId="v"))
    under(shop, retention={"Identify": timedelta(days=30)})
    shop.wait(days=31)
    assert Retainer(shop.rt).run() == 3
    assert "a-rare-thing" in tables_of(shop)
    erased(shop, "v")
    assert "a-rare-thing" not in tables_of(shop)
    assert [each.content["body"] for each in shop.messages()] == ["nothing Page Viewed"] * 2, "before and afterwards"
    assert {each.visitor_id for each in shop.messages()} == {u}
    assert "rare" not in str(shop.profile(user_id="u"))


def test_two_who_are_parted_after_that_keep_nothing_that_either_may_have_told(each_shop: Shop) -> None:
    shop = each_shop
    u, _ = two_who_were_one(shop)
    under(shop, retention={"Identify": timedelta(days=30)})
    shop.wait(days=31)
    assert Retainer(shop.rt).run() == 2
    unmerge(shop.rt, shop.site, u, merge_of(shop, u), "tests")
    assert [(each.visitor_id, each.content["body"]) for each in shop.messages()] == [(u, "nothing Page Viewed")]
    erased(shop, "v")
    assert "a-rare-thing" not in tables_of(shop)


def test_nothing_is_kept_of_whoever_is_nobody_any_more(each_shop: Shop) -> None:
    shop = each_shop
    u, v = two_who_were_one(shop, known=False)
    under(shop, retention={"*": timedelta(days=30), "Page Viewed": timedelta(days=400)})
    shop.wait(days=31)
    assert Retainer(shop.rt).run() > 3
    unmerge(shop.rt, shop.site, u, merge_of(shop, u), "tests")
    assert shop.find("his") is None
    assert "a-rare-thing" not in tables_of(shop)
    with shop.rt.db.read() as connection:
        assert not thinned.any_of(connection, [v])


def test_what_is_all_known_still_is_looked_for_alone(each_shop: Shop) -> None:
    shop = each_shop
    u, _ = two_who_were_one(shop)
    shop.send(call("Page Viewed", userId="u"))
    unmerge(shop.rt, shop.site, u, merge_of(shop, u), "tests")
    shop.send(identify("v", {"seeking": None}, anonymousId="his"))
    erased(shop, "v")
    assert [each.content["body"] for each in shop.messages()] == ["nothing Page Viewed"]
    assert "a-rare-thing" not in tables_of(shop)
