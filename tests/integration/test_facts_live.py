"""Facts and reminders where they live: in the log, the processor, the database, the API, and simulated alike."""

from datetime import timedelta
from typing import Any

import pytest

from backend.domain.fact import Standards, facts_of
from backend.pipeline.learn_intervals import IntervalLearner
from backend.pipeline.show import viewer, waiting
from backend.pipeline.simulate import simulate
from backend.pipeline.sweep import Sweeper
from backend.storage import intervals
from backend.storage.rules import get_rule
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, POPUP, START, Shop, call, identify

REMIND: dict[str, Any] = {
    "name": "Tea runs out",
    "trigger": {"replenishment": {"product": "tea", "before": "3d", "at": "10:00"}},
    "message": {
        **POPUP,
        "variants": [{"name": "A", "content": {"title": "Soon", "body": "{{ product.name }}, {{ product.quantity }}"}}],
    },
}


def order(number: int, pieces: int = 1, **fields: Any) -> dict[str, Any]:
    told = [{"product_id": "tea", "name": "Green tea", "quantity": pieces, "price": 4, "category": "Tea"}]
    return call("Order Completed", {"order_id": f"o{number}", "products": told}, **fields)


def get(shop: Shop, path: str) -> Any:
    answer = shop.client.get(f"/api/v1/sites/shop/{path}", headers={"Authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_reminder_comes_live_once_for_each_purchase_and_the_simulation_says_the_same(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(REMIND)
    for number in range(4):
        shop.send(order(number))
        for _ in range(10):
            shop.wait(days=1)
    shop.wait(days=1)
    lived = [(each.created_at, each.content["body"]) for each in shop.messages()]
    # Bought on the 1st, 11th, 21st and 31st of March at nine: what runs out on the 31st and on April 10th is due on the
    # 28th and the 7th at ten, and the clock of this test moves from nine to nine.
    assert [each.date().isoformat() for each, _ in lived] == ["2026-03-29", "2026-04-08"]
    assert {body for _, body in lived} == {"Green tea, 1"}
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    simulated = simulate(shop.rt, shop.site, [stored.rule()], limit=100)
    entered = sorted((each.trigger.message_id, each.entered_at) for each in shop.enrolments())
    assert sorted((each.event_id, each.entered_at) for each in simulated.items) == entered
    assert [each.outcome for each in simulated.items] == ["sent", "sent"]


def test_the_interval_of_the_site_is_learned_from_many_and_foretells_for_others(each_shop: Shop) -> None:
    shop = each_shop
    for day in (0, 8, 16):
        shop.send(*(order(day, anonymousId=f"p{each}", messageId=f"{each}-{day}") for each in range(6)))
        shop.wait(days=8)
    learner = IntervalLearner(shop.rt)
    for _ in range(10):
        learner.run()
    with shop.rt.db.read() as connection:
        assert intervals.of_site(connection, shop.site.id) == {"tea": 8 * 86_400.0}
    shop.rule(REMIND)
    shop.send(order(1, pieces=2))
    assert get(shop, f"visitors/{shop.profile().id}")["facts"]["products"][0]["by"] == "site"
    bought_at = shop.clock()
    for _ in range(16):
        shop.wait(days=1)
    [message] = [each for each in shop.messages() if each.anonymous_id == "ann"]
    # It lasts 16 days: due on the 13th at ten, and the clock of this test moves from nine to nine.
    assert message.created_at == bought_at + timedelta(days=14)
    assert message.content["body"] == "Green tea, 2"


def test_the_api_shows_facts_and_finds_members_by_them(shop: Shop) -> None:
    levels = [{"name": "silver", "orders": 1}, {"name": "gold", "orders": 2}]
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = shop.client.patch("/api/v1/sites/shop", json={"policy": {"loyalty": levels}}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json["policy"]["loyalty"] == levels
    shop.send(order(1), order(2))
    shown = get(shop, f"visitors/{shop.profile().id}")["facts"]
    assert (shown["loyalty"], shown["loyalty_rank"], shown["favourite_category"]) == ("gold", 2, "Tea")
    assert shown["rfm"]["score"] == "521"
    preview = {"condition": {"field": "profile.facts.loyalty", "op": "eq", "value": "gold"}}
    answer = shop.client.post("/api/v1/sites/shop/segments/preview", json=preview, headers=headers)
    assert answer.json["size"] == 1
    liked = dict.fromkeys(("favourite_category", "favourite_brand", "categories", "brands"))
    assert get(shop, "visitors")["items"][0]["facts"] == shown | liked


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"loyalty": [{"orders": 1}]}, ("loyalty", "0", "name")),
        ({"loyalty": [{"name": "a", "orders": 2}, {"name": "b", "orders": 1}]}, ("loyalty", "1")),
        ({"loyalty": [{"name": "a"}, {"name": "a"}]}, ("loyalty", "1", "name")),
        ({"loyalty": [{"name": "a", "revenue": "much"}]}, ("loyalty", "0", "revenue")),
        ({"rfm": {"recency": [7, 7, 8, 9]}}, ("rfm", "recency")),
        ({"rfm": {"money": [1, 2, 3]}}, ("rfm", "money")),
        ({"rfm": {"recensy": [1, 2, 3, 4]}}, ("rfm", "recensy")),
    ],
)
def test_thresholds_that_make_no_sense_are_refused_with_their_place(shop: Shop, policy: Any, path: Any) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = shop.client.patch("/api/v1/sites/shop", json={"policy": policy}, headers=headers)
    assert answer.status_code == 422, answer.text
    found = answer.json["errors"]["policy"]
    for key in path:
        found = found[key]


def test_facts_survive_a_merge_whatever_came_late(shop: Shop) -> None:
    shop.wait(days=40)
    shop.send(order(1, timestamp=START + timedelta(days=20)), order(1, timestamp=START + timedelta(days=20)))
    shop.send(order(2, timestamp=START))
    shop.send(identify("u1", anonymousId="ann"))
    shop.send(order(2, userId="u1", anonymousId="phone", timestamp=START))
    shop.send(order(3, userId="u1", anonymousId="phone", timestamp=START + timedelta(days=10)))
    profile = shop.profile(user_id="u1")
    told = facts_of(profile, shop.clock(), Standards(), None)
    assert profile.orders.count == 3
    assert told["products"][0]["lasts_days"] == 10.0
    assert (told["days_since_order"], told["churn_days"]) == (20, 10)


def test_other_levels_ask_everybody_anew_about_segments_of_loyalty(each_shop: Shop) -> None:
    shop, headers = each_shop, {"Authorization": f"Bearer {ADMIN}"}
    condition = {"field": "profile.facts.loyalty", "op": "eq", "value": "gold"}
    made = shop.client.post(
        "/api/v1/sites/shop/segments", json={"name": "Gold", "condition": condition}, headers=headers
    )
    assert made.status_code == 201
    shop.send(order(1), order(2))
    for least, size in ((2, 1), (3, 0)):
        levels = {"policy": {"loyalty": [{"name": "gold", "orders": least}]}}
        assert shop.client.patch("/api/v1/sites/shop", json=levels, headers=headers).status_code == 200
        sweeper = Sweeper(shop.rt)
        sweeper.run()
        shop.clock.forward(seconds=5)
        sweeper.run()
        assert get(shop, "segments/Gold")["size"] == size


def test_what_the_site_learns_later_foretells_for_whoever_bought_before(shop: Shop) -> None:
    shop.rule(REMIND)
    shop.send(order(1))
    Sweeper(shop.rt).run()
    assert shop.profile().wake_at is None
    with shop.rt.db.begin() as connection:
        intervals.save(connection, shop.site.id, {"tea": 10 * 86_400.0}, shop.clock())
    Sweeper(shop.rt).run()
    assert shop.profile().wake_at == START + timedelta(days=7, hours=1)
    for _ in range(9):
        shop.wait(days=1)
    assert len(shop.messages()) == 1


def test_a_pop_up_for_a_level_of_loyalty_is_asked_by_the_sites_levels_when_it_is_shown(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    levels = {"policy": {"loyalty": [{"name": "gold", "orders": 1}]}}
    assert shop.client.patch("/api/v1/sites/shop", json=levels, headers=headers).status_code == 200
    gold = {"field": "profile.facts.loyalty", "op": "eq", "value": "gold"}
    shop.rule({"name": "Gold", "trigger": {"event": "Order Completed"}, "audience": gold, "message": POPUP})
    shop.send(order(1))
    [message] = shop.messages()
    shown = waiting(shop.rt, shop.processor.rulesets, viewer(shop.site, "ann", None, None))
    assert [each.id for each in shown] == [message.id]
