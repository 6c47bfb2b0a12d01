"""What waits gets an operator, fairly and once; where nobody answers, the next one, and then one promise."""

import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from backend.domain.conversation import Conversation, Part
from backend.domain.site import Policy
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.desk import beat, choose
from backend.pipeline.erase import erase
from backend.pipeline.route import Router
from backend.pipeline.upkeep import Task, tick
from backend.storage import presence
from backend.storage.sites import update_site
from backend.storage.tables import departments, memberships, operators
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, identify
from tests.integration.test_conversations import all_of, chat, page, said_in

WEEK = ["mon", "tue", "wed", "thu", "fri"]
HOURS = {"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "18:00", "weekdays": WEEK}]}
ANNA, BERT, CORA = ("a" * 32, "b" * 32, "c" * 32)


def policy(shop: Shop, **desk: Any) -> None:
    """The site's desk from now on."""
    from dataclasses import replace

    with shop.rt.db.begin() as connection:
        shop.site = replace(shop.site, policy=Policy(desk=desk))
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()


def hire(shop: Shop, *ids: str, here: bool = True, **membership: Any) -> None:
    """Operators of the site, online or not."""
    with shop.rt.db.begin() as connection:
        for each in ids:
            row = {"id": each, "email": f"{each[0]}@shop.example", "name": each[0].upper()}
            connection.execute(insert(operators).values(row | {"created_at": 0, "updated_at": 0}))
            told = {"operator_id": each, "site_id": shop.site.id, "role": "operator", **membership}
            connection.execute(insert(memberships).values(told))
    for each in ids if here else ():
        assert choose(shop.rt, shop.site, each, "online") is not None


def monday(shop: Shop, **span: float) -> None:
    """It is Monday at ten in Vienna, or so much later."""
    shop.clock.now = shop.clock.now.replace(day=2, hour=9, minute=0) + timedelta(**span)


def events(shop: Shop, found: Conversation) -> list[dict[str, Any]]:
    return [dict(each.content) for each in said_in(shop, found, events=True) if each.kind == "event"]


def promises(shop: Shop, found: Conversation) -> list[Part]:
    return [each for each in said_in(shop, found) if each.author == "bot"]


def test_each_gets_one_in_turn_until_their_hands_are_full_whatever_ticks_at_the_same_time(each_shop: Shop) -> None:
    shop = each_shop
    monday(shop)
    policy(shop, hours=HOURS, routing="round_robin")
    hire(shop, ANNA, BERT, CORA, here=False, capacity=3)
    shop.send(*(chat("Hello?", anonymousId=f"v{number}") for number in range(11)))
    assert {each.assignee_id for each in all_of(shop)} == {None}
    for each in (ANNA, BERT, CORA):
        choose(shop.rt, shop.site, each, "online")
    shop.clock.forward(seconds=2)
    routers = [Router(shop.rt) for _ in range(2)]
    failed: list[BaseException] = []

    def work(router: Router) -> None:
        try:
            for _ in range(3):
                router.run()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in routers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert Counter(each.assignee_id for each in all_of(shop)) == {ANNA: 3, BERT: 3, CORA: 3, None: 2}
    for talk in all_of(shop):
        if talk.assignee_id is not None:
            assert [told["why"] for told in events(shop, talk)] == ["routed"], "and nobody was given it twice"
    done = next(each for each in all_of(shop) if each.assignee_id == BERT)
    converse.change(shop.rt, shop.site, done.id, {"state": "closed"}, Speaker(BERT, "B"))
    shop.clock.forward(seconds=2)
    Router(shop.rt).run()
    assert Counter(each.assignee_id for each in all_of(shop) if each.state == "open")[None] == 1
    assert max(Counter(each.assignee_id for each in all_of(shop) if each.state == "open").values()) == 3


def test_what_begins_is_given_to_somebody_at_once_and_the_one_before_comes_first(shop: Shop) -> None:
    monday(shop)
    policy(shop, hours=HOURS, routing="previous")
    hire(shop, ANNA, BERT)
    shop.send(chat("Hello?"))
    [first] = all_of(shop)
    assert first.assignee_id == ANNA, "with the next tick at the latest; here before it"
    assert promises(shop, first) == []
    converse.change(shop.rt, shop.site, first.id, {"assignee_id": BERT}, Speaker(BERT, "B"))
    converse.say(shop.rt, shop.site, first.id, "Hello!", Speaker(BERT, "B"))
    converse.change(shop.rt, shop.site, first.id, {"state": "closed"}, Speaker(BERT, "B"))
    shop.clock.forward(minutes=1)
    shop.send(chat("Me again"), chat("I am new", anonymousId="bob"), chat("I too", anonymousId="cid"))
    again = next(each for each in all_of(shop) if each.state == "open" and each.anonymous_id == "ann")
    assert again.assignee_id == BERT
    assert {each.assignee_id for each in all_of(shop) if each.anonymous_id in {"bob", "cid"}} == {ANNA, BERT}


def test_who_does_not_answer_passes_it_on_and_at_last_there_is_one_promise(each_shop: Shop) -> None:
    shop = each_shop
    monday(shop)
    policy(shop, hours=HOURS, routing="round_robin", unanswered_after="5m")
    hire(shop, ANNA, BERT)
    shop.send(chat("Hello?", context={"locale": "ru-RU"}))
    [found] = all_of(shop)
    assert found.assignee_id == ANNA
    router = Router(shop.rt)

    def forward(minutes: int) -> None:
        for _ in range(minutes):
            shop.clock.forward(minutes=1)
            for each in (ANNA, BERT):
                beat(shop.rt, shop.site.id, each, active=True)
            router.run()

    forward(4)
    assert all_of(shop)[0].assignee_id == ANNA
    forward(1)
    assert all_of(shop)[0].assignee_id == BERT
    assert events(shop, found)[-1] == {"event": "assigned", "to": BERT, "why": "unanswered", "from": ANNA}
    assert promises(shop, found) == []
    forward(30)
    assert all_of(shop)[0].assignee_id == BERT, "nobody gets it twice"
    [told] = promises(shop, found)
    assert told.text.startswith("Спасибо за ожидание"), told.text
    assert told.content == {"promise": "busy", "opens_at": None, "ask": "email"}
    shown = page(shop, anonymousId="ann")["conversations"][0]["parts"][-1]
    assert (shown["author"], shown["content"]["ask"]) == ("bot", "email")
    converse.say(shop.rt, shop.site, found.id, "Hello!", Speaker(BERT, "B"))
    forward(10)
    assert len(promises(shop, found)) == 1
    shop.send(chat("Thank you. And another thing"))
    forward(12)
    assert len(promises(shop, found)) == 2, "one for each waiting"


def test_outside_the_hours_a_time_is_promised_once_and_the_morning_goes_on(each_shop: Shop) -> None:
    shop = each_shop  # Sunday at ten in Vienna
    policy(shop, hours=HOURS, routing="round_robin", texts={"closed": {"en": "Back {when}!"}})
    hire(shop, ANNA)
    shop.send(
        identify("u", {"email": "u@shop.example"}),
        chat("Hello?", userId="u", anonymousId="ann", context={"timezone": "America/New_York"}),
    )
    shop.send(chat("こんにちは", anonymousId="jp", context={"locale": "ja", "timezone": "Asia/Tokyo"}))
    mine, other = sorted(all_of(shop), key=lambda each: str(each.anonymous_id))
    routers = [Router(shop.rt), Router(shop.rt)]
    for _ in range(3):
        for router in routers:
            router.run()
        shop.clock.forward(seconds=2)
        shop.send(chat("Still there?", userId="u", anonymousId="ann"))
    [told] = promises(shop, mine)
    assert told.text == "Back tomorrow at 3:00!", "by the visitor's clock, and no question for what is known"
    assert told.content == {"promise": "closed", "opens_at": "2026-03-02T08:00:00Z", "ask": None}
    [asked] = promises(shop, other)
    assert asked.text.startswith("メッセージをありがとうございます。明日17:00に戻り")
    assert asked.content["ask"] == "email"
    assert {each.assignee_id for each in all_of(shop)} == {None}
    monday(shop)
    beat(shop.rt, shop.site.id, ANNA, active=True)
    routers[0].run()
    assert {each.assignee_id for each in all_of(shop)} == {ANNA}
    assert len(promises(shop, mine)) == 1


def test_nothing_is_promised_within_the_hours_while_somebody_is_there_nor_where_it_was_answered(shop: Shop) -> None:
    monday(shop)
    policy(shop, hours=HOURS)
    hire(shop, ANNA)
    shop.send(chat("Hello?"))
    router = Router(shop.rt)
    router.run()
    [found] = all_of(shop)
    assert (promises(shop, found), found.assignee_id) == ([], None), "whose turn it is they decide themselves"
    shop.clock.forward(minutes=4)
    converse.say(shop.rt, shop.site, found.id, "Hello!", Speaker(ANNA, "A"))
    shop.clock.forward(hours=12)
    router.run()
    assert promises(shop, found) == [], "and the night does not matter to who was answered"
    shop.send(chat("Goodbye"))
    router.run()
    assert [each.content["promise"] for each in promises(shop, found)] == ["closed"]


def test_a_site_without_operators_and_desk_promises_nothing(shop: Shop) -> None:
    shop.send(chat("Hello?"))
    router = Router(shop.rt)
    router.run()
    shop.clock.forward(hours=1)
    assert router.run() == 0
    [found] = all_of(shop)
    assert (found.last, found.assignee_id) == (1, None)


@pytest.mark.parametrize("fate", ["removed", "disabled", "off", "silent"])
def test_what_waits_for_an_operator_who_is_gone_goes_to_another(each_shop: Shop, fate: str) -> None:
    shop = each_shop
    monday(shop)
    policy(shop, hours=HOURS, routing="round_robin")
    hire(shop, ANNA)
    shop.send(chat("Hello?"))
    hire(shop, BERT)
    with shop.rt.db.begin() as connection:
        if fate == "removed":
            connection.execute(delete(memberships).where(memberships.c.operator_id == ANNA))
        elif fate == "disabled":
            connection.execute(update(operators).where(operators.c.id == ANNA).values(disabled_at=1))
    if fate == "off":
        choose(shop.rt, shop.site, ANNA, "off")
    elif fate == "silent":
        shop.clock.forward(seconds=60)
        beat(shop.rt, shop.site.id, BERT, active=True)
        shop.clock.forward(seconds=60)
    shop.clock.forward(seconds=2)
    router = Router(shop.rt)
    assert router.run() == 1
    [found] = all_of(shop)
    assert found.assignee_id == BERT
    why = "removed" if fate in {"removed", "disabled"} else "absent"
    assert events(shop, found)[-1] == {"event": "assigned", "to": BERT, "why": why, "from": ANNA}
    assert router.run() == 0


def test_what_nobody_can_take_over_is_taken_from_who_is_gone_and_promised(shop: Shop) -> None:
    monday(shop)
    policy(shop, hours=HOURS)
    hire(shop, ANNA)
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    converse.change(shop.rt, shop.site, found.id, {"assignee_id": ANNA}, Speaker(ANNA, "A"))
    with shop.rt.db.begin() as connection:
        connection.execute(delete(memberships))
    shop.clock.forward(seconds=2)
    Router(shop.rt).run()
    assert all_of(shop)[0].assignee_id is None
    assert [each.content["promise"] for each in promises(shop, found)] == ["busy"]
    assert Router(shop.rt).run() == 0


def test_a_department_answers_by_its_own_hours_and_people(shop: Shop) -> None:
    monday(shop)
    policy(shop, hours=HOURS, routing="round_robin")
    hire(shop, ANNA)
    hire(shop, BERT, departments=json.dumps(["night"]))
    late = {"zone": "Europe/Vienna", "windows": [{"from": "20:00", "to": "04:00"}]}
    with shop.rt.db.begin() as connection:
        told = {"site_id": shop.site.id, "id": "night", "name": "Night", "document": json.dumps({"hours": late})}
        connection.execute(insert(departments).values(told | {"created_at": 0, "updated_at": 0}))
    shop.send(chat("Hello?"))
    [found] = all_of(shop)
    converse.change(shop.rt, shop.site, found.id, {"department_id": "night", "assignee_id": None}, Speaker(ANNA, "A"))
    converse.say(shop.rt, shop.site, found.id, "The night will tell you", Speaker(None, "tests"))
    shop.clock.forward(minutes=1)
    shop.send(chat("Thank you"))
    [promise] = promises(shop, found)
    assert promise.content["opens_at"] == "2026-03-02T19:00:00Z"
    monday(shop, hours=11)  # at nine in the evening
    for each in (ANNA, BERT):
        beat(shop.rt, shop.site.id, each, active=True)
    Router(shop.rt).run()
    assert all_of(shop)[0].assignee_id == BERT


def test_an_idle_console_is_away_and_a_closed_one_off(shop: Shop) -> None:
    from backend.pipeline.desk import Watch

    monday(shop)
    policy(shop, hours=HOURS)
    hire(shop, ANNA)
    watch = Watch(shop.rt)

    def now() -> tuple[str, bool]:
        state = watch.state(shop.site)
        return state.seats[ANNA].presence, state.online

    assert now() == ("online", True)
    for _ in range(10):
        shop.clock.forward(minutes=1)
        beat(shop.rt, shop.site.id, ANNA, active=False)
    assert now() == ("online", True)
    shop.clock.forward(minutes=1)
    beat(shop.rt, shop.site.id, ANNA, active=False)
    assert now() == ("away", False)
    shop.clock.forward(seconds=5)
    beat(shop.rt, shop.site.id, ANNA, active=True)
    assert now() == ("online", True)
    shop.clock.forward(seconds=91)
    assert now() == ("off", False)
    beat(shop.rt, shop.site.id, ANNA, active=True)
    shop.clock.forward(seconds=2)
    presence.leave(shop.rt.redis, shop.site.id, ANNA)
    assert now() == ("off", False)


def test_the_tick_routes_and_a_poisoned_conversation_keeps_nobody_waiting(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    monday(shop)
    policy(shop, hours=HOURS, routing="round_robin")
    shop.send(chat("Hello?"), chat("Hello!", anonymousId="bob"))
    hire(shop, ANNA)
    with shop.rt.db.begin() as connection:
        from sqlalchemy import text

        bad = next(each for each in all_of(shop) if each.anonymous_id == "ann")
        connection.execute(text("UPDATE conversations SET tags = '{' WHERE id = :id"), {"id": bad.id})
    router = Router(shop.rt)
    shop.clock.forward(seconds=2)
    tick([Task("route", 1, router.run)], 0.0)
    with shop.rt.db.begin() as connection:
        connection.execute(text("UPDATE conversations SET tags = '[]'"))
    assert {each.anonymous_id: each.assignee_id for each in all_of(shop)} == {"ann": None, "bob": ANNA}


def test_nothing_of_an_erased_visitor_is_left_by_routing(shop: Shop) -> None:
    policy(shop, hours=HOURS)
    hire(shop, ANNA)
    shop.send(chat("of erika"))
    [found] = all_of(shop)
    assert promises(shop, found) != []
    assert erase(shop.rt, shop.site.id, found.visitor_id, ("desk", "administrator"))
    assert all_of(shop) == []
    assert Router(shop.rt).run() == 0
