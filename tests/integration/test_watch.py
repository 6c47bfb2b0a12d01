"""Who is on the site now: by what they reported within minutes, or because their page is open."""

from backend.pipeline.survey import survey
from backend.pipeline.watch import count_here, source_of, watch
from backend.storage import here
from tests.core_fixtures import (
    Shop,
    call,
    database_url,
    each_shop,
    identify,
    postgres_server,
    postgres_url,
    redis_url,
    sqlite_template,
    sqlite_url,
)

__all__ = ["database_url", "each_shop", "postgres_server", "postgres_url", "redis_url", "sqlite_template", "sqlite_url"]


def look(shop: Shop, who: str, path: str, referrer: str = "", **campaign: str) -> None:
    page = {"url": f"https://shop.example{path}", "path": path, "title": path, "referrer": referrer}
    context = {"page": page, "campaign": campaign}
    shop.send({"type": "page", "messageId": who + path, "anonymousId": who, "properties": page, "context": context})


def names(shop: Shop, **filters: str) -> list[str]:
    return [each.profile.anonymous_ids[0] for each in watch(shop.rt, shop.site, **filters).visitors]


def test_who_is_here_is_told_by_stage_source_and_page(each_shop: Shop) -> None:
    shop = each_shop
    look(shop, "ann", "/cart", "https://www.news.example/today")
    shop.clock.forward(minutes=1)
    look(shop, "ben", "/lamp", source="newsletter")
    shop.send(call("Product Added", {"product_id": "p", "price": 5}, anonymousId="ben"))
    assert names(shop) == ["ben", "ann"]
    assert names(shop, stage="cart") == ["ben"]
    assert names(shop, source="news.example") == ["ann"]
    assert names(shop, source="newsletter") == ["ben"]
    assert names(shop, page="/ca*") == ["ann"]
    assert names(shop, page="amp") == ["ben"]
    assert names(shop, page="https://shop.example/*") == ["ben", "ann"]
    assert names(shop, page="[", stage="cart") == []
    told = watch(shop.rt, shop.site, stage="cart")
    assert (told.total, told.fitting, told.stages) == (2, 1, {"cart": 1, "new": 1})


def test_whoever_was_not_seen_for_five_minutes_is_here_only_while_a_page_is_open(each_shop: Shop) -> None:
    shop = each_shop
    look(shop, "ann", "/lamp")
    look(shop, "ben", "/lamp")
    shop.clock.forward(minutes=6)
    assert (names(shop), count_here(shop.rt, shop.site)) == ([], 0)
    here.note(shop.rt.redis, shop.site.id, [shop.profile("ann").id], shop.clock())
    assert (names(shop), count_here(shop.rt, shop.site)) == (["ann"], 1)
    assert watch(shop.rt, shop.site).visitors[0].open
    shop.clock.forward(seconds=here.KEPT_SECONDS + 1)
    assert (names(shop), count_here(shop.rt, shop.site)) == ([], 0)


def test_a_person_known_by_two_browsers_is_here_once(each_shop: Shop) -> None:
    shop = each_shop
    look(shop, "ann", "/lamp")
    look(shop, "phone", "/lamp")
    ids = [shop.profile(name).id for name in ("ann", "phone")]
    shop.send(identify("u-1"), identify("u-1", anonymousId="phone"))
    here.note(shop.rt.redis, shop.site.id, ids, shop.clock())
    assert (len(names(shop)), count_here(shop.rt, shop.site)) == (1, 1)
    shop.clock.forward(minutes=6)
    here.note(shop.rt.redis, shop.site.id, ids, shop.clock())
    assert (len(names(shop)), count_here(shop.rt, shop.site)) == (1, 1)


def test_another_site_sees_nobody_of_this_one(each_shop: Shop) -> None:
    look(each_shop, "ann", "/lamp")
    here.note(each_shop.rt.redis, "0" * 32, [each_shop.profile("ann").id], each_shop.clock())
    from dataclasses import replace

    other = replace(each_shop.site, id="0" * 32)
    assert watch(each_shop.rt, other).visitors == []


def test_a_survey_counts_today_by_the_sites_clock_and_answers_of_seven_days(each_shop: Shop) -> None:
    shop = each_shop
    look(shop, "old", "/lamp")
    shop.clock.forward(days=1)
    look(shop, "ann", "/lamp")
    shop.send(
        call("Product Added", {"product_id": "p", "price": 5}), call("Live Chat Message Sent", {"message_body": "Hi"})
    )
    shop.clock.forward(seconds=1)
    told = survey(shop.rt, shop.site)
    assert (told.here, told.persons, told.open, told.waiting, told.unassigned) == (1, 1, 1, 1, 1)
    assert [step.reached for step in told.funnel if step.name in ("interested", "cart", "customer")] == [1, 1, 0]
    assert told.response is None


def test_a_source_is_told_in_one_word(each_shop: Shop) -> None:
    look(each_shop, "ann", "/", "https://[broken")
    assert source_of(each_shop.profile("ann")) == "direct"
    look(each_shop, "ben", "/", "https://www.search.example/?q=lamp")
    assert source_of(each_shop.profile("ben")) == "search.example"
