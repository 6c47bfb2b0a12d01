"""What starts rules though no page reports anything: moments, backends, broadcasts; by the real log and database."""

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.identity import anonymous_visitor
from backend.domain.rule import Rule, parse_rule
from backend.pipeline.process import Processor
from backend.pipeline.simulate import simulate
from backend.pipeline.sweep import AT_ONCE, Sweeper
from backend.storage import rules, sweeps
from backend.web.api.triggers import WHO
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule

MAIL = {
    "channels": ["email"],
    "variants": [{"content": {"subject": "Hello", "body": "Hello {{ event.properties.coupon }}"}}],
}


def admin(shop: Shop, path: str, body: Any) -> Any:
    return shop.client.post(
        f"/api/v1/sites/{shop.site.id}{path}",
        data=json.dumps(body),
        headers={"Authorization": f"Bearer {shop.rt.settings.admin_token}", "Content-Type": "application/json"},
    )


def test_a_pause_is_noticed_when_nothing_comes_in(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule(None, trigger={"inactive": "20m"}, audience={"performed": "Product Viewed"}))
    shop.send(call("Product Viewed"))
    shop.send(call("Page Viewed", anonymousId="bob"))
    shop.wait(minutes=19)
    assert shop.messages() == []
    shop.wait(minutes=1)
    assert [each.created_at for each in shop.messages()] == [at(minutes=20)]
    shop.wait(hours=5)
    assert len(shop.messages()) == 1
    assert [each.wake_at for each in (shop.profile(), shop.profile("bob"))] == [None, None]


def test_a_pause_is_noticed_once_whoever_processes(each_shop: Shop) -> None:
    shop = each_shop
    shop.rule(popup_rule(None, trigger={"inactive": "20m"}, reentry={"policy": "every"}))
    shop.send(*(call("Page Viewed", anonymousId=f"v{each}") for each in range(30)))
    shop.clock.forward(minutes=30)
    for _ in range(3):
        shop.restart().drain()
    assert len(shop.messages()) == 30


def test_a_date_in_a_rule_that_is_new_concerns_those_who_told_it_long_ago(each_shop: Shop) -> None:
    shop = each_shop
    ends = (at() + timedelta(days=5)).date().isoformat()
    shop.send(*(identify(f"u{each}", {"trial_ends": ends}, anonymousId=f"b{each}") for each in range(3)))
    shop.send(call("Page Viewed", anonymousId="nobody"))
    shop.rule(popup_rule(None, trigger={"date": "trial_ends", "days": -1, "at": "10:00"}))
    sweeper = Sweeper(shop.rt)
    sweeper.run()
    sweeper.run()
    shop.wait(days=3)
    assert shop.messages() == []
    shop.wait(days=3)
    assert len(shop.messages()) == 3
    assert {(each.created_at.hour, each.created_at.minute) for each in shop.messages()} <= {
        (at(days=6).hour, at().minute)
    }


def test_a_backend_starts_a_rule_once_for_each_key_and_templates_see_its_data(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule({"name": "r", "trigger": {"api": True}, "message": MAIL, "reentry": {"policy": "every"}})
    shop.send(identify("u1", {"email": "ann@example.com"}))
    body = {"user_id": "u1", "data": {"coupon": "SPRING"}, "idempotency_key": "order-7"}
    answers = [admin(shop, f"/rules/{rule_id}/trigger", body) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202], answers[0].text
    assert answers[0].json == answers[1].json
    shop.processor.drain()
    [message] = shop.messages()
    assert message.content["body"] == "Hello SPRING"
    [enrolment] = shop.enrolments()
    assert enrolment.trigger.message_id == answers[0].json["event_id"]
    profile = shop.profile()
    assert "Rule Triggered" not in profile.counts
    assert profile.sessions == 1


def test_a_backend_can_start_a_rule_for_somebody_never_seen(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule(None, trigger={"api": True}))
    answer = admin(shop, f"/rules/{rule_id}/trigger", {"anonymous_id": "new"})
    assert answer.status_code == 202
    shop.processor.drain()
    assert [each.visitor_id for each in shop.messages()] == [anonymous_visitor(shop.site.id, "new")]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 422, "Give one of"),
        ({"user_id": "a", "anonymous_id": "b"}, 422, "Give one of"),
        ({"visitor_id": "0" * 32}, 422, "There is no visitor"),
        ({"user_id": "a", "data": {"rule_id": "x"}}, 422, "filled in here"),
        ({"user_id": "a", "dta": {}}, 422, 'Unknown field. Did you mean \\"data\\"?'),
    ],
)
def test_a_start_that_names_nobody_is_refused(shop: Shop, body: Any, status: int, told: str) -> None:
    rule_id = shop.rule(popup_rule(None, trigger={"api": True}))
    answer = admin(shop, f"/rules/{rule_id}/trigger", body)
    assert answer.status_code == status
    assert told in answer.text
    assert set(WHO) == {"visitor_id", "user_id", "anonymous_id"}


def test_a_rule_that_does_not_start_by_the_api_or_is_not_active_is_a_conflict(shop: Shop) -> None:
    other = shop.rule(popup_rule("Product Added"))
    assert admin(shop, f"/rules/{other}/trigger", {"user_id": "u"}).status_code == 409
    mine = shop.rule(popup_rule(None, trigger={"api": True}))
    assert admin(shop, f"/rules/{mine}/pause", {}).status_code == 200
    assert admin(shop, f"/rules/{mine}/trigger", {"user_id": "u"}).status_code == 409


def test_a_page_cannot_send_a_signal(shop: Shop) -> None:
    receipt = shop.put({"type": "signal", "event": "Rule Triggered", "anonymousId": "ann", "messageId": "x"})
    assert [each.code for each in receipt.rejected] == ["invalid_type"]


def test_a_broadcast_reaches_everybody_of_its_audience_once_at_its_rate(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*(identify(f"u{each}", {"vip": each % 2 == 0}, anonymousId=f"b{each}") for each in range(40)))
    vip = {"field": "profile.traits.vip", "op": "eq", "value": True}
    shop.rule(popup_rule(None, trigger={"broadcast": {"rate": 300}}, audience=vip))
    rounds = []
    for _ in range(8):
        rounds.append(Sweeper(shop.rt).run())  # a new one each time, as after a crash
        shop.wait(seconds=1)
    assert rounds == [5, 5, 5, 5, 0, 0, 0, 0]
    assert len({each.visitor_id for each in shop.messages()}) == len(shop.messages()) == 20


def test_a_broadcast_repeats_a_piece_after_a_crash_and_nobody_gets_it_twice(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*(call("Page Viewed", anonymousId=f"b{each}") for each in range(10)))
    rule_id = shop.rule(popup_rule(None, trigger={"broadcast": {}}, reentry={"policy": "every"}))
    sweeper = Sweeper(shop.rt)
    with shop.rt.db.begin() as connection:
        sweeper._rulesets.refresh(connection)
        ruleset = sweeper._rulesets.of(shop.site.id)
        assert ruleset is not None
        sweeper._begin(connection, ruleset, ruleset.by_id[rule_id], shop.clock())
        [begun] = sweeps.of_rule(connection, rule_id)
    for _ in range(3):
        sweeper._broadcast(
            begun, ruleset.by_id[rule_id], shop.clock(), ruleset
        )  # dies before it has noted how far it came
    assert sweeper.run() == 10
    shop.processor.drain()
    assert len(shop.messages()) == 10


def test_a_broadcast_has_a_total_begins_at_its_time_and_comes_again(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*(call("Page Viewed", anonymousId=f"b{each}") for each in range(10)))
    begins = (at() + timedelta(days=2)).isoformat()
    told = {"broadcast": {"at": begins, "every": "7d", "most": 4}}
    rule_id = shop.rule(popup_rule(None, trigger=told, reentry={"policy": "every"}))
    sweeper = Sweeper(shop.rt)
    sent = []
    for _ in range(20):
        sweeper.run()
        shop.processor.drain()
        shop.clock.forward(days=1)
        sent.append(len(shop.messages()))
    assert [sent[day] for day in (1, 2, 8, 9, 15, 16, 19)] == [0, 4, 4, 8, 8, 12, 12]
    with shop.rt.db.read() as connection:
        found = sweeps.of_rule(connection, rule_id)
    assert [(each.done, each.ended_at is not None) for each in found] == [(4, True)] * 3


def test_a_broadcast_that_is_paused_waits_and_goes_on(shop: Shop) -> None:
    shop.send(*(call("Page Viewed", anonymousId=f"b{each}") for each in range(10)))
    rule_id = shop.rule(popup_rule(None, trigger={"broadcast": {"rate": 60}}))
    sweeper = Sweeper(shop.rt)
    assert sweeper.run() == 1
    assert admin(shop, f"/rules/{rule_id}/pause", {}).status_code == 200
    shop.wait(seconds=5)
    assert sweeper.run() == 0
    assert admin(shop, f"/rules/{rule_id}/activate", {}).status_code == 200
    shop.clock.forward(seconds=5)
    assert sweeper.run() == 1
    assert AT_ONCE > 10


def test_what_a_rule_reports_is_stored_counted_and_simulated_once(each_shop: Shop) -> None:
    shop = each_shop
    emit = [{"emit": {"event": "Coupon Granted", "properties": {"code": "HI"}}}, {"set_trait": {"coupon": "HI"}}]
    told = {"name": "r", "trigger": {"event": "Signed Up"}, "steps": emit}
    rule_id = shop.rule(told)
    shop.rule(popup_rule("Coupon Granted", name="tell"))
    shop.send(call("Signed Up"))
    assert shop.profile().counts == {"Signed Up": 1, "Coupon Granted": 1, "Identify": 1}
    assert shop.profile().traits == {"coupon": "HI"}
    assert sorted(each.name for each in shop.stored()) == ["Coupon Granted", "Identify", "Signed Up"]
    assert len(shop.messages()) == 1
    shop.restart().drain()
    assert len(shop.stored()) == 3
    end = at(hours=1)
    assert shop.simulate(popup_rule("Coupon Granted"), until=end).summary["sent"] == 1
    with shop.rt.db.read() as connection:
        stored = rules.get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    both = [stored.rule(), Rule(id="tell", site_id=shop.site.id, spec=parse_rule(popup_rule("Coupon Granted")))]
    found = simulate(shop.rt, shop.site, both, until=end)
    assert found.summary["rules"] == {rule_id: {"completed": 1}, "tell": {"sent": 1}}


def test_a_message_that_must_wait_says_so_until_it_is_sent(each_shop: Shop) -> None:
    shop = each_shop
    caps = [{"count": 1, "within": "1h"}]
    shop.rule(popup_rule("A", reentry={"policy": "every"}, caps=caps, overflow="defer"))
    shop.send(call("A"))
    shop.clock.forward(minutes=10)
    shop.send(call("A"))
    visitor_id = shop.profile().id
    path = f"/api/v1/sites/{shop.site.id}/visitors/{visitor_id}/enrolments"
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}"}
    newest = shop.client.get(path, headers=headers).json["items"][0]
    assert (newest["outcome"], newest["reason"]) == ("deferred", "cap")
    assert newest["history"][0]["result"] == "deferred"
    shop.wait(minutes=50)
    newest = shop.client.get(path, headers=headers).json["items"][0]
    assert (newest["outcome"], newest["reason"]) == ("sent", None)
    assert len(shop.messages()) == 2


def test_a_worker_that_dies_between_any_two_writes_neither_loses_nor_repeats_a_step(each_shop: Shop) -> None:
    shop = each_shop
    steps = [
        {"message": {"channels": ["popup"], "variants": [{"content": {"title": "1", "body": "1"}}]}},
        {"delay": "10m"},
        {"emit": {"event": "Reminded"}},
        {"message": {"channels": ["popup"], "variants": [{"content": {"title": "2", "body": "2"}}]}},
    ]
    shop.rule({"name": "r", "trigger": {"event": "A"}, "steps": steps})
    shop.put(*(call("A", anonymousId=f"v{each}") for each in range(5)))

    class Died(BaseException):
        pass

    class Mortal(Processor):
        def _send_on(self, effects: Any) -> None:
            raise Died

    for _ in range(4):
        shop.processor.leave()
        worker = Mortal(shop.rt)
        with contextlib.suppress(Died):
            worker.drain()
        shop.clock.forward(minutes=4)
        worker.leave()
    shop.restart().drain()
    assert len(shop.messages()) == 10
    assert {each.step for each in shop.messages()} == {"message 1", "message 2"}
    assert [shop.profile(f"v{each}").counts for each in range(5)] == [{"A": 1, "Reminded": 1}] * 5
