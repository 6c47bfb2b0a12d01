"""Funnels of one's own by the real log, database and API: entered live and as time passes, found out anew, counted."""

from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
import sqlalchemy

from backend.pipeline import restage
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.simulate import simulate
from backend.pipeline.sweep import Sweeper
from backend.storage import sweeps
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import START, Shop, at, call, identify, popup_rule
from tests.integration.test_segments import ask, good, make, new_rule, stored_rule

TRIAL = {"name": "trial", "enter": {"performed": "Trial Started"}, "leave": {"performed": "Trial Ended"}}
LATELY = {"name": "buyer", "enter": {"performed": "Order Completed", "within": "30d"}}
FIELD = {"op": "eq", "value": "A"}
OWN = ["new", "interested", TRIAL, LATELY]


def define(shop: Shop, stages: list[Any]) -> Any:
    """The site's stages are these from now on."""
    return ask(shop, "PATCH", "", {"stages": stages})


def restaged(shop: Shop, restager: Any = None) -> None:
    """Time passes until everybody's past is known by the newest definition."""
    shop.clock.forward(seconds=restage.SETTLE.total_seconds())
    sweeper = Sweeper(shop.rt)
    for _ in range(50):
        if restager is None:
            sweeper.run()
        else:
            restager(shop)
        if not funnel(shop)["building"]:
            return
    raise AssertionError("it does not end")


def turn(shop: Shop, kind: Any = restage.Restager, **how: Any) -> None:
    """One turn of a sweep that is done in this way."""
    rulesets = Rulesets(shop.rt)
    with shop.rt.db.begin() as connection:
        rulesets.refresh(connection)
        sweep = sweeps.restaging(connection, shop.site.id)
    ruleset = rulesets.of(shop.site.id)
    assert sweep is not None
    assert ruleset is not None
    kind(shop.rt, ruleset, shop.clock(), **how).run(sweep)


def funnel(shop: Shop, query: str = "") -> Any:
    return good(ask(shop, "GET", f"/funnel{query}"))


def figures(report: Any) -> dict[str, tuple[int, int]]:
    """By stage: who entered it, and who reached it."""
    return {each["name"]: (each["entered"], each["reached"]) for each in report["stages"]}


def history(shop: Shop, anonymous_id: str = "ann") -> list[tuple[str, str]]:
    shown = good(ask(shop, "GET", f"/visitors/{shop.profile(anonymous_id).id}"))
    for this, following in zip(shown["stage_history"], shown["stage_history"][1:], strict=False):
        assert this["left_at"] == following["entered_at"]
    assert [each["stage"] for each in shown["stage_history"][-1:]] == [shown["stage"]]
    return [(each["stage"], each["entered_at"][11:19]) for each in shown["stage_history"]]


def rows(shop: Shop) -> list[tuple[Any, ...]]:
    query = "SELECT visitor_id, at, revision, stage, source, device FROM stage_entries ORDER BY visitor_id, at"
    with shop.rt.db.read() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]


def test_the_built_in_funnel_is_counted_with_its_times(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"), call("Page Viewed", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    shop.send(
        call("Product Viewed", {"product_id": "1"}), call("Product Viewed", {"product_id": "1"}, anonymousId="bob")
    )
    shop.clock.forward(minutes=3)
    shop.send(call("Product Added", {"product_id": "1", "price": 3}))
    shop.clock.forward(minutes=5)
    shop.send(call("Order Completed", {"total": 3}), call("Product Added", {"product_id": "1"}, anonymousId="bob"))
    assert history(shop) == [
        ("new", "09:00:00"),
        ("interested", "09:01:00"),
        ("cart", "09:04:00"),
        ("customer", "09:09:00"),
    ]
    shop.clock.forward(seconds=1)
    told = funnel(shop)
    assert told["persons"] == 2
    assert not told["building"]
    assert figures(told) == {
        "new": (2, 2),
        "browsing": (0, 2),
        "interested": (2, 2),
        "cart": (2, 2),
        "checkout": (0, 1),
        "customer": (1, 1),
    }
    cart, checkout = told["stages"][3], told["stages"][4]
    assert (cart["median_seconds"], cart["timed"], cart["conversion"]) == (330.0, 2, 1.0)
    assert (checkout["median_seconds"], checkout["conversion"], checkout["share"]) == (None, 0.5, 0.5)
    later = funnel(shop, "?since=2026-03-01T09:03:00Z&until=2026-03-01T09:08:00Z")
    assert (later["persons"], figures(later)["cart"]) == (1, (1, 1))


def test_a_person_who_was_two_visitors_counts_once(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"), call("Product Viewed", {"product_id": "1"}))
    shop.clock.forward(minutes=1)
    shop.send(call("Page Viewed", anonymousId="phone"), identify("u1", anonymousId="phone"))
    shop.clock.forward(minutes=1)
    shop.send(identify("u1"), call("Order Completed", {"total": 1}))
    shop.clock.forward(minutes=1)
    told = funnel(shop)
    assert (told["persons"], figures(told)["new"], figures(told)["customer"]) == (1, (1, 1), (1, 1))
    assert shop.profile().stage == "customer"
    assert good(ask(shop, "DELETE", f"/visitors/{shop.profile().id}")) is None
    assert rows(shop) == []
    assert funnel(shop)["persons"] == 0


def test_groups_are_those_of_the_first_entry(each_shop: Shop) -> None:
    shop = each_shop
    iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
    news = {"page": {"url": "https://shop.example/?utm_source=News", "referrer": ""}, "userAgent": iphone}
    found = {"page": {"url": "https://shop.example/", "referrer": "https://www.search.example/q"}}
    shop.send(
        call("Page Viewed", context=news),
        call("Product Viewed", {"product_id": "1"}, context=found),
        call("Page Viewed", context=found, anonymousId="bob"),
        call("Page Viewed", anonymousId="eve"),
    )
    shop.clock.forward(seconds=1)
    by_source = {each["name"]: figures(each)["interested"] for each in funnel(shop, "?by=source")["groups"]}
    assert by_source == {"news": (1, 1), "search.example": (0, 0), "direct": (0, 0)}
    by_device = {each["name"]: each["persons"] for each in funnel(shop, "?by=device")["groups"]}
    assert by_device == {"mobile": 1, "unknown": 2}
    assert ask(shop, "GET", "/funnel?by=colour").status_code == 422


def test_stages_of_ones_own_are_entered_by_events_and_left_as_time_passes(each_shop: Shop) -> None:
    shop = each_shop
    good(define(shop, OWN))
    restaged(shop)
    entered = new_rule(shop, name="t", trigger={"stage": "trial"}, reentry={"policy": "every"})
    back = new_rule(shop, name="b", trigger={"stage": "interested"}, reentry={"policy": "every"})
    shop.clock.now = START + timedelta(minutes=1)
    shop.send(call("Page Viewed"), call("Product Viewed", {"product_id": "1"}, timestamp=at(minutes=1)))
    shop.clock.forward(minutes=1)
    shop.send(call("Trial Started"))
    assert shop.profile().stage == "trial"
    assert [each["id"] for each in good(ask(shop, "GET", "/visitors?stage=trial"))["items"]] == [shop.profile().id]
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"total": 3}))
    assert shop.profile().stage == "buyer"
    shop.clock.forward(minutes=1)
    shop.send(call("Trial Ended"))
    shop.wait(days=30)
    assert shop.profile().stage == "interested", "an order's next stage is left out, and it was viewed before it"
    assert history(shop)[-1] == ("interested", "09:03:00")
    assert shop.profile().stage_history[-1].at == at(days=30, minutes=3)
    assert [(each.rule_id, each.entered_at) for each in shop.enrolments()] == [
        (back, at(minutes=1)),
        (entered, at(minutes=2)),
        (back, at(days=30, minutes=3)),
    ]
    assert len(shop.messages()) == 3
    shop.clock.forward(seconds=1)
    both = simulate(shop.rt, shop.site_now(), [stored_rule(shop, back), stored_rule(shop, entered)])
    assert sorted((each.rule_id, each.at) for each in both.items) == sorted(
        (each.rule_id, each.entered_at) for each in shop.enrolments()
    )
    shop.send(call("Trial Started"))
    assert shop.profile().stage == "interested", "whoever has ended a trial is not let in again by an earlier start"
    assert len(shop.messages()) == 3


def test_another_definition_finds_everybodys_past_out_and_starts_nothing(each_shop: Shop) -> None:
    shop = each_shop
    good(define(shop, OWN))
    restaged(shop)
    rule = new_rule(shop, name="t", trigger={"stage": "trial"}, reentry={"policy": "every"})
    good(define(shop, ["new", "interested", {"name": "trial", "enter": {"performed": "Nothing"}}, "customer"]))
    restaged(shop)
    begin = shop.clock.now
    for each in range(30):
        who = {"anonymousId": f"b{each}"}
        shop.send(call("Product Viewed", {"product_id": "1"}, **who))
        shop.clock.forward(seconds=10)
        shop.send(call("Trial Started", **who))
        if each % 3 == 0:
            shop.clock.forward(seconds=20)
            shop.send(call("Order Completed", {"total": 1}, **who))
    assert figures(funnel(shop))["trial"][0] == 0
    good(define(shop, OWN))
    shop.send(call("Page Viewed", anonymousId="b1"), call("Page Viewed", anonymousId="fresh"))
    assert shop.profile("b1").stage == "trial", "who comes back before their turn is where they are now"
    shop.clock.forward(seconds=1)
    told = funnel(shop)
    assert (told["building"], told["progress"], told["persons"]) == (True, 0.0, 1)
    restaged(shop)
    shop.processor.drain()
    assert shop.messages() == []
    told = funnel(shop)
    assert (told["persons"], figures(told)["trial"], figures(told)["buyer"]) == (31, (30, 30), (10, 10))
    assert told["stages"][2]["median_seconds"] == 10.0
    assert told["stages"][3]["median_seconds"] == 20.0
    assert [each.stage for each in shop.profile("b3").stage_history] == ["interested", "trial", "buyer"]
    assert shop.profile("b0").stage_history[0].at == begin
    shop.wait(days=31)
    assert shop.profile("b0").stage == "trial"
    assert len(shop.messages()) == 10, "those whose purchase is long past are in their trial again"
    good(ask(shop, "DELETE", f"/rules/{rule}"))
    good(define(shop, ["new", "browsing", "interested", "cart", "checkout", "customer"]))
    restaged(shop)
    assert figures(funnel(shop))["customer"] == (10, 10)
    assert shop.profile("b1").stage == "interested"
    shop.processor.drain()
    assert len(shop.messages()) == 10


def test_what_is_found_out_anew_is_what_was_entered_live(each_shop: Shop) -> None:
    shop = each_shop
    lately = {
        "name": "trial",
        "enter": {"performed": "Trial Started", "within": "20d"},
        "leave": {"performed": "Trial Ended", "within": "10d"},
    }
    good(define(shop, ["new", "browsing", lately, "cart", LATELY]))
    restaged(shop)
    random = Random(4)
    names = ["Page Viewed", "Product Viewed", "Product Added", "Trial Started", "Trial Ended", "Order Completed"]
    for _ in range(100):
        shop.clock.forward(hours=random.choice([0.01, 1, 24, 300]))
        shop.processor.drain()
        who = f"b{random.randrange(3)}"
        shop.send(call(random.choice(names), {"product_id": "1", "total": 1}, anonymousId=who))
    live = rows(shop)
    profiles = {each: shop.profile(f"b{each}") for each in range(3)}
    assert Counter(row[3] for row in live)["trial"] >= 3
    with shop.rt.db.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE sweeps SET ended_at = NULL, cursor = '' WHERE kind = 'stages'"))
        connection.execute(sqlalchemy.text("DELETE FROM stage_entries WHERE stage = 'trial'"))
    restaged(shop)
    assert rows(shop) == live
    for each, before in profiles.items():
        after = shop.profile(f"b{each}")
        assert (after.stage, after.stage_history, after.segments) == (
            before.stage,
            before.stage_history,
            before.segments,
        )


def test_a_long_life_is_gone_through_in_pieces(shop: Shop) -> None:
    good(define(shop, OWN))
    restaged(shop)
    for each in range(40):
        shop.clock.forward(days=3)
        shop.processor.drain()
        shop.send(call(["Order Completed", "Trial Started", "Trial Ended"][each % 5 % 3], {"total": 1}))
    live = rows(shop)
    with shop.rt.db.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE sweeps SET ended_at = NULL, cursor = '' WHERE kind = 'stages'"))
        connection.execute(sqlalchemy.text("DELETE FROM stage_entries"))
    restaged(shop, partial(turn, at_once=7))
    assert rows(shop) == live


def test_who_does_something_meanwhile_is_gone_through_again(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"), call("Page Viewed", anonymousId="bob"))
    good(define(shop, OWN))
    seen: list[str] = []

    class Slow(restage.Restager):
        def replay(self, life: Any) -> Any:
            found = super().replay(life)
            if not seen:
                shop.send(call("Trial Started"))
            seen.append(life.head.id)
            return found

    restaged(shop, partial(turn, kind=Slow))
    assert Counter(seen)[shop.profile().id] == 2
    assert [each.stage for each in shop.profile().stage_history] == ["new", "trial"]
    assert shop.profile("bob").stages_built == shop.profile().stages_built == 1


def test_a_turn_that_is_cut_short_is_gone_on_with(shop: Shop) -> None:
    for each in range(6):
        shop.send(call("Page Viewed", anonymousId=f"b{each}"), call("Trial Started", anonymousId=f"b{each}"))
    good(define(shop, OWN))
    shop.clock.forward(seconds=5)
    done: list[str] = []

    class Dying(restage.Restager):
        def replay(self, life: Any) -> Any:
            if len(done) == 4:
                raise RuntimeError("killed")
            done.append(life.head.id)
            return super().replay(life)

    with pytest.raises(RuntimeError):
        turn(shop, Dying, at_once=2)
    told = funnel(shop)
    assert told["building"]
    assert 0 < told["progress"] < 1
    assert (told["persons"], figures(told)["trial"]) == (4, (4, 4))
    seen: list[str] = []

    class Seeing(restage.Restager):
        def replay(self, life: Any) -> Any:
            seen.append(life.head.id)
            return super().replay(life)

    restaged(shop, partial(turn, kind=Seeing, at_once=2))
    assert len(seen) == 2
    assert figures(funnel(shop))["trial"] == (6, 6)


@pytest.mark.parametrize(
    ("stages", "path", "part"),
    [
        ([], "stages", "Expected a list"),
        (["new", "chekout"], "stages.1", 'Did you mean "checkout"'),
        (["new", "customer", "cart"], "stages.2", "in their order"),
        (["new", "new"], "stages.1", "before"),
        (["new", {"name": "x"}], "stages.1.enter", "needs a condition"),
        ([{"name": "x", "enter": {"performed": "A"}}, "new"], "stages.0.enter", "no condition"),
        (["new", {"enter": {"performed": "A"}}], "stages.1.name", "needs a name"),
        (["new", {"name": "x", "entre": {"performed": "A"}}], "stages.1.entre", 'Did you mean "enter"'),
        (["new", {"name": "x", "enter": FIELD | {"field": "profile.cart.totl"}}], "stages.1.enter.field", "totl"),
        (["new", {"name": "x", "enter": FIELD | {"field": "event.name"}}], "stages.1.enter.field", "about the visitor"),
        (["new", {"name": "x", "enter": FIELD | {"field": "profile.stage"}}], "stages.1.enter", "depend on itself"),
        (["new", {"name": "x", "enter": {"segment": "nobody"}}], "stages.1.enter.segment", "no segment"),
        (["new", 7], "stages.1", "A stage is a name"),
        (["new", {"name": "x" * 51, "enter": {"performed": "A"}}], "stages.1.name", "At most 50"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_stages_is_told_with_its_path(shop: Shop, stages: Any, path: str, part: str) -> None:
    answer = define(shop, stages)
    assert answer.status_code == 422, answer.text
    node = answer.json["errors"]
    for key in path.split("."):
        node = node[key]
    assert part in node[0]
    assert good(ask(shop, "GET", ""))["stages"] == ["new", "browsing", "interested", "cart", "checkout", "customer"]


def test_a_stage_may_ask_for_a_segment_and_neither_can_be_taken_away_below_the_other(each_shop: Shop) -> None:
    shop = each_shop
    vip = make(shop, "vip")
    by_stage = make(shop, "in the circle", {"field": "profile.stage", "op": "eq", "value": "dear"})
    dear = {"name": "dear", "enter": {"segment": "vip"}}
    answer = define(shop, ["new", "customer", {"name": "dear", "enter": {"segment": "in the circle"}}])
    assert answer.status_code == 422
    assert "by way of the segment" in str(answer.json["errors"])
    assert good(define(shop, ["new", "customer", dear]))["stages"][2]["enter"] == {"segment": vip}
    restaged(shop)
    new_rule(shop, name="hello", trigger={"stage": "dear"})
    assert ask(shop, "POST", "/rules", {"name": "x", "trigger": {"stage": "cart"}}).status_code == 422
    shop.send(call("Page Viewed"))
    good(ask(shop, "POST", f"/segments/{vip}/members", {"visitors": [shop.profile().id]}))
    shop.processor.drain()
    profile = shop.profile()
    assert (profile.stage, profile.is_in(vip), profile.is_in(by_stage)) == ("dear", True, True)
    assert len(shop.messages()) == 1
    assert {each["id"] for each in good(ask(shop, "GET", f"/visitors/{profile.id}"))["segments"]} == {vip, by_stage}
    refused = ask(shop, "DELETE", f"/segments/{vip}")
    assert (refused.status_code, 'the stage "dear"' in refused.json["message"]) == (409, True)
    named = good(ask(shop, "GET", f"/segments/{vip}"))
    good(ask(shop, "PUT", f"/segments/{vip}", {**named, "name": "very important"}))
    lost = define(shop, ["new", "customer"])
    assert (lost.status_code, 'the rule "hello"' in lost.json["message"]) == (409, True)
    other = make(shop, "other", {"performed": "A"})
    good(define(shop, ["new", "customer", {"name": "dear", "enter": {"segment": other}}]))
    told = ask(shop, "PUT", f"/segments/{other}", {"name": "other", "condition": {"segment": "in the circle"}})
    assert (told.status_code, "condition" in told.json["errors"]) == (422, True)


def test_a_browser_that_signs_in_brings_its_own_stage_along(shop: Shop) -> None:
    twice = {"performed": "Asked", "count": {"op": "gte", "value": 2}}
    good(define(shop, ["new", {"name": "asking", "enter": twice}, TRIAL]))
    restaged(shop)
    shop.send(call("Asked"), identify("u"), call("Asked", anonymousId="cid"), call("Trial Started", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    shop.send(identify("u", anonymousId="cid"))
    assert shop.profile().stage == "asking"
    shop.clock.forward(minutes=1)
    shop.send(identify("u", anonymousId="bob"))
    assert shop.profile().stage == "trial"


def test_after_an_undo_each_has_entered_what_their_own_events_tell(each_shop: Shop) -> None:
    shop = each_shop
    good(define(shop, OWN))
    restaged(shop)
    shop.send(call("Page Viewed"), identify("u"))
    shop.send(call("Trial Started", anonymousId="bob"))
    shop.clock.forward(minutes=1)
    before = rows(shop), funnel(shop)["persons"], history(shop), history(shop, "bob")
    u, bob = shop.profile(user_id="u").id, shop.profile("bob").id
    made = good(ask(shop, "POST", f"/visitors/{u}/merge", {"with": bob}))["merge"]
    shop.send(call("Product Viewed", {"product_id": "1"}))
    assert (shop.profile("bob").stage, funnel(shop)["persons"]) == ("trial", 1)
    good(ask(shop, "POST", f"/visitors/{u}/merges/{made['id']}/undo"))
    shop.clock.forward(minutes=1)
    assert (shop.profile().stage, shop.profile("bob").stage) == ("interested", "trial")
    [viewed] = [each for each in rows(shop) if each not in before[0]]
    assert (viewed[0], viewed[3]) == (u, "interested")
    assert history(shop)[:-1] == before[2]
    assert history(shop, "bob") == before[3]
    assert funnel(shop)["persons"] == 2
    shop.send(call("Order Completed", {"total": 1}), call("Trial Ended", anonymousId="bob"))
    assert (shop.profile().stage, shop.profile("bob").stage) == ("buyer", "new")


def test_who_asks_for_a_stage_that_is_gone_is_named_and_an_own_one_is_known(shop: Shop) -> None:
    asking = {"field": "profile.stage", "op": "in", "value": ["cart", "checkout", "trial"]}
    new_rule(shop, name="cart left", trigger={"event": "A"}, audience=asking)
    make(shop, "in the cart", {"field": "profile.stage", "op": "eq", "value": "cart"})
    own = {"name": "trial", "enter": {"performed": "Trial Started"}}
    told = good(define(shop, ["new", "cart", own, "customer"]))
    assert [each["message"] for each in told["warnings"]] == [
        'The rule "cart left" asks for "checkout", which is no stage any more.'
    ]
    body = popup_rule(None, name="x", trigger={"event": "Trial Started"}, audience=asking)
    found = good(ask(shop, "POST", "/rules/validate", body))["warnings"]
    assert [each["message"] for each in found if each["path"] == "audience.value"] == [
        'There is no stage "checkout"; there are new, cart, trial, customer.'
    ]
    told = good(define(shop, ["new", own, "customer"]))
    assert {each["message"].partition(" asks")[0] for each in told["warnings"]} == {
        'The rule "cart left"',
        'The segment "in the cart"',
    }
    assert "warnings" not in good(define(shop, ["new", own, "customer"]))


def test_a_merge_does_not_enter_a_stage_that_the_person_was_in(each_shop: Shop) -> None:
    shop = each_shop
    good(define(shop, OWN))
    restaged(shop)
    new_rule(shop, name="t", trigger={"stage": "trial"}, reentry={"policy": "every"})
    shop.send(identify("u1"), call("Trial Started", userId="u1", anonymousId="ann"))
    assert len(shop.messages()) == 1
    shop.clock.forward(minutes=1)
    shop.send(call("Product Viewed", {"product_id": "1"}, anonymousId="phone"))
    shop.clock.forward(minutes=1)
    shop.send(identify("u1", anonymousId="phone"), call("Page Viewed", anonymousId="phone"))
    assert shop.profile("phone").stage == "trial"
    assert len(shop.messages()) == 1
    shop.clock.forward(minutes=1)
    assert funnel(shop)["persons"] == 1


def test_a_database_from_before_finds_out_the_past_of_everybody(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(call("Page Viewed"), call("Order Completed", {"total": 2}, anonymousId="bob"))
    live = rows(shop)
    when: datetime = shop.clock.forward(minutes=1)
    with shop.rt.db.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM stage_entries"))
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO sweeps (id, site_id, rule_id, kind, due_at, next_at)"
                " SELECT 'stages-' || id, id, '0', 'stages', created_at, created_at FROM sites"
            )
        )
    assert funnel(shop)["building"]
    restaged(shop)
    assert rows(shop) == live
    assert when < shop.clock.now
