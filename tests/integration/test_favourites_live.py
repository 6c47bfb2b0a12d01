"""Favourites follow from the events that are stored: asked by rules, segments and texts, live and simulated alike."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend.domain.rule import Rule
from backend.pipeline.retain import Retainer
from backend.pipeline.simulate import simulate
from backend.storage.rules import get_rule
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, START, Shop, at, call, identify
from tests.integration.test_consent import under
from tests.integration.test_segments import ask, build, good, make, members

HATS = {"field": "profile.facts.favourite_category", "op": "eq", "value": "Hats"}
EVERY = {"policy": "every"}


def viewed(category: str, **fields: Any) -> dict[str, Any]:
    return call("Product Viewed", {"product_id": category, "category": category, "brand": f"{category} Ltd"}, **fields)


def saying(body: str) -> dict[str, Any]:
    return {**POPUP, "variants": [{"name": "A", "content": {"title": "For you", "body": body}}]}


def rule_of(shop: Shop, rule_id: str) -> Rule:
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    return stored.rule()


def lived(shop: Shop) -> list[tuple[datetime, Any]]:
    return sorted((each.created_at, each.content["body"]) for each in shop.messages())


def simulated(shop: Shop, rule_id: str) -> list[tuple[datetime, Any]]:
    shop.clock.forward(seconds=1)  # what happens just now is none of it yet
    found = simulate(shop.rt, shop.site, [rule_of(shop, rule_id)], limit=1_000)
    return sorted((said.at, said.content["body"]) for item in found.items for said in item.messages)


def facts(shop: Shop, anonymous_id: str = "ann") -> Any:
    return good(ask(shop, "GET", f"/visitors/{shop.profile(anonymous_id).id}"))["facts"]


def test_a_rule_knows_of_views_from_before_there_was_a_rule_live_as_simulated(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed("Hats"), viewed("Hats"), viewed("Shoes"), viewed("Shoes", anonymousId="bob"))
    shop.wait(days=3)
    rule_id = shop.rule(
        {"name": "r", "trigger": {"event": "Asked"}, "audience": HATS, "message": saying("Hello"), "reentry": EVERY}
    )
    shop.send(call("Asked"), call("Asked", anonymousId="bob"))
    shop.wait(days=86)
    shop.send(call("Asked", messageId="still"))
    shop.wait(days=1)
    shop.send(call("Asked", messageId="over"), viewed("Shoes"))
    shop.send(call("Asked", messageId="others"))
    assert [when for when, _ in lived(shop)] == [at(days=3), at(days=89)]
    assert simulated(shop, rule_id) == lived(shop)


def test_views_that_come_late_count_as_of_their_time(each_shop: Shop) -> None:
    shop = each_shop
    shop.wait(days=100)
    rule_id = shop.rule(
        {"name": "r", "trigger": {"event": "Asked"}, "audience": HATS, "message": saying("Hello"), "reentry": EVERY}
    )
    segment = make(shop, "Hatters", HATS)
    build(shop)
    now = shop.clock()
    shop.send(viewed("Shoes", timestamp=now - timedelta(days=1)))
    assert facts(shop)["favourite_category"] == "Shoes"
    shop.send(*(viewed("Hats", timestamp=now - timedelta(days=95)) for _ in range(5)))
    assert facts(shop)["categories"] == ["Shoes"], "these are too old"
    assert members(shop, segment) == []
    shop.send(*(viewed("Hats", timestamp=now - timedelta(days=31)) for _ in range(3)))
    assert facts(shop)["categories"] == ["Hats", "Shoes"]
    assert members(shop, segment) == ["ann"]
    shop.send(call("Asked"))
    assert len(lived(shop)) == 1
    assert simulated(shop, rule_id) == lived(shop)


def test_a_text_tells_of_favourites_live_as_simulated(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed("Hats"), viewed("Hats"), viewed("Shoes"))
    shop.wait(days=2)
    text = "{{ profile.facts.favourite_category }} by {{ profile.facts.favourite_brand }}, {{ profile.facts.brands }}"
    told = "{{ profile.facts.categories | join: ' and ' | default: 'nothing' }}"
    rule_id = shop.rule(
        {
            "name": "r",
            "trigger": {"event": "Asked"},
            "reentry": EVERY,
            "steps": [
                {"delay": "1h"},
                {"set_trait": {"likes": told}},
                {"message": saying(text)},
            ],
        }
    )
    shop.send(call("Asked"), call("Asked", anonymousId="bob"))
    shop.send(viewed("Shoes"), viewed("Shoes"))
    shop.wait(hours=1)
    assert [body.split(",")[0] for _, body in lived(shop)] == ["Shoes by Shoes Ltd"]
    assert shop.profile().traits["likes"] == "Shoes and Hats"
    assert shop.profile("bob").traits["likes"] == "nothing"
    assert shop.outcomes("bob") == [("skipped", "missing_value")]
    assert simulated(shop, rule_id) == lived(shop)


def test_only_texts_that_ask_for_favourites_ask_the_history(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.pipeline import walks

    asked: list[Any] = []
    fetched = walks.events.history_since

    def noting(connection: Any, wanted: Any) -> Any:
        asked.append(wanted)
        return fetched(connection, wanted)

    monkeypatch.setattr(walks.events, "history_since", noting)
    shop.send(viewed("Hats"))
    trigger = {"trigger": {"event": "Asked"}, "reentry": EVERY}
    shop.rule({"name": "r", "message": saying("{{ profile.facts.days_since_visit }}"), **trigger})
    shop.send(call("Asked"))
    assert asked == []
    shop.rule({"name": "s", "message": saying("{{ profile.facts.favourite_category }}"), **trigger})
    shop.send(call("Asked"))
    [wanted] = asked
    span = START - timedelta(days=90)
    assert sorted(each[1:] for each in wanted) == [("Product Added", span), ("Product Viewed", span)]


def test_favourites_go_with_the_views_when_these_are_kept_no_longer(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed("Hats"), viewed("Hats"))
    shop.wait(days=20)
    shop.send(viewed("Shoes"))
    assert facts(shop)["categories"] == ["Hats", "Shoes"]
    under(shop, retention={"Product Viewed": timedelta(days=10)})
    assert Retainer(shop.rt).run() == 2
    assert facts(shop)["categories"] == ["Shoes"]
    shop.wait(days=20)
    assert Retainer(shop.rt).run() == 1
    found = facts(shop)
    assert (found["favourite_category"], found["favourite_brand"], found["brands"]) == (None, None, [])
    rule_id = shop.rule(
        {
            "name": "r",
            "trigger": {"event": "Asked"},
            "audience": {"field": "profile.facts.favourite_category", "op": "is_not_set"},
            "message": saying("Hello"),
        }
    )
    shop.send(call("Asked"))
    assert len(lived(shop)) == 1
    assert simulated(shop, rule_id) == lived(shop)


def test_a_segment_of_favourites_changes_by_events_and_is_left_by_the_clock_alone(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed("Hats"), viewed("Shoes", anonymousId="bob"))
    segment = make(shop, "Hatters", HATS)
    build(shop)
    assert members(shop, segment) == ["ann"]
    assert good(ask(shop, "POST", "/segments/preview", {"condition": HATS}))["size"] == 1
    shop.send(call("Product Added", {"product_id": "h", "category": "Hats"}, anonymousId="bob"))
    assert members(shop, segment) == ["ann", "bob"]
    rule_id = shop.rule(
        {"name": "r", "trigger": {"segment": segment, "change": "left"}, "message": saying("Bye"), "reentry": EVERY}
    )
    bought = [{"product_id": "s", "category": "Shoes", "brand": "Shoes Ltd"}]
    shop.send(call("Order Completed", {"order_id": "1", "products": bought}, anonymousId="bob"))
    assert members(shop, segment) == ["ann"], "what is bought is liked most"
    for _ in range(91):
        shop.wait(days=1)
    assert members(shop, segment) == []
    [bob], [ann] = shop.enrolments("bob"), shop.enrolments("ann")
    assert (bob.entered_at, ann.entered_at) == (at(seconds=2), START + timedelta(days=90))
    again = simulate(shop.rt, shop.site, [rule_of(shop, rule_id)])
    assert {each.anonymous_id: each.entered_at for each in again.items} == {
        "bob": bob.entered_at,
        "ann": ann.entered_at,
    }
    assert good(ask(shop, "POST", "/segments/preview", {"condition": HATS}))["size"] == 0


def test_persons_that_are_one_have_the_favourites_of_both_and_lists_do_not_tell_them(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed("Hats"), viewed("Shoes", anonymousId="phone"), viewed("Shoes", anonymousId="phone"))
    assert facts(shop)["categories"] == ["Hats"]
    shop.send(identify("u1"), identify("u1", anonymousId="phone"))
    assert facts(shop)["categories"] == ["Shoes", "Hats"]
    [listed] = good(ask(shop, "GET", "/visitors"))["items"]
    assert (listed["facts"]["favourite_brand"], listed["facts"]["categories"]) == (None, None)
    [found] = good(ask(shop, "GET", "/visitors?user_id=u1"))["items"]
    assert found["facts"] == facts(shop)
    exported = good(ask(shop, "GET", f"/visitors/{shop.profile().id}/export"))["visitor"]
    assert exported["facts"]["favourite_brand"] == "Shoes Ltd"
