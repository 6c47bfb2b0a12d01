"""What is reported is what happened: counted again from the stored messages and events."""

import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from backend.domain.attention import CONTACT_LIMIT, HELD_OUT, SLACK
from backend.domain.message import Message
from backend.pipeline.report import report_on_rule, report_on_site
from backend.storage import visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, identify, popup_rule

GOAL = {"event": "Order Completed", "within": "2h"}


def variants(**message: Any) -> dict[str, Any]:
    told = [{"name": name, "content": {"title": name, "body": name}} for name in "AB"]
    return {"channels": ["popup"], "variants": told, **message}


def contacts(shop: Shop) -> list[Any]:
    with shop.rt.db.read() as connection:
        ids = visitors.ids_after(connection, shop.site.id, "", 1_000)
        profiles = [stored.profile for stored in visitors.load(connection, ids).values()]
    return [contact for profile in profiles for contact in profile.contacts]


def test_numbers_are_those_of_a_recount(each_shop: Shop) -> None:
    shop, dice = each_shop, random.Random(3)
    rule_id = shop.rule(popup_rule("A", message=variants(holdout=30), goal=GOAL))
    people = [f"v{each}" for each in range(80)]
    for person in people:
        shop.put(call("A", anonymousId=person))
    shop.processor.drain()
    said = {each.anonymous_id: each for each in shop.messages()}
    expected: Counter[str] = Counter()
    revenue = Decimal(0)
    shop.clock.forward(minutes=5)
    calls = []
    for person in people:
        message = said.get(person)
        for report in ("Shown", "Clicked", "Dismissed"):
            if message is not None and dice.random() < 0.5:
                calls.append(call(f"Message {report}", {"message_id": message.id}, anonymousId=person))
                calls.append(call(f"Message {report}", {"message_id": message.id}, anonymousId=person))
        if dice.random() < 0.4:
            total = f"{dice.randrange(1, 9999) / 100:.2f}"
            order = call("Order Completed", {"order_id": person, "total": total}, anonymousId=person)
            calls += [
                order,
                order,
                call("Order Completed", {"order_id": person + "b", "total": "1"}, anonymousId=person),
            ]
            expected["converted"] += message is not None
            revenue += Decimal(total) if message is not None else 0
    dice.shuffle(calls)
    for start in range(0, len(calls), 7):
        shop.put(*calls[start : start + 7])
        if dice.random() < 0.3:
            shop.restart().drain()
    shop.processor.drain()
    found = report_on_rule(shop.rt, shop.site, rule_id, None, None)
    kept = shop.messages()
    totals = found["totals"]
    assert totals["sent"] == totals["persons"] == len(said)
    for name in ("shown", "clicked", "dismissed"):
        assert totals[name] == sum(getattr(each, f"{name}_at") is not None for each in kept), name
    assert totals["converted"] == expected["converted"]
    assert sum(each["sent"] for each in found["variants"]) == len(said)
    assert {each["variant"]: each["sent"] for each in found["variants"]} == Counter(each.variant for each in kept)
    held = [each for each in contacts(shop) if each.variant == HELD_OUT]
    [lift] = found["lift"]
    assert lift["control_arm"] == {"persons": len(held), "reached": sum(each.goal_at is not None for each in held)}
    assert found["enrolments"]["entered"] == 80
    assert found["enrolments"]["outcomes"] == {"sent": len(said), "skipped": len(held)}
    assert found["enrolments"]["reasons"] == {"holdout": len(held)}
    firsts = sum((each.revenue or Decimal(0) for each in contacts(shop) if each.said), Decimal(0))
    assert Decimal(totals["revenue"]) == firsts
    assert revenue > 0
    assert [each["rule_id"] for each in report_on_site(shop.rt, shop.site, None, None)["rules"]] == [rule_id]


@pytest.mark.parametrize(
    ("basis", "reports", "minutes", "converted"),
    [
        ("sent", [], 119, True),
        ("sent", [], 120, False),
        ("shown", [], 30, False),
        ("shown", [("Shown", 60)], 150, True),
        ("shown", [("Shown", 60)], 30, False),
        ("clicked", [("Shown", 10)], 30, False),
        ("clicked", [("Shown", 10), ("Clicked", 20)], 139, True),
        ("clicked", [("Shown", 10), ("Clicked", 20)], 140, False),
    ],
)
def test_a_goal_counts_from_what_the_rule_says(
    shop: Shop, basis: str, reports: list[tuple[str, int]], minutes: int, converted: bool
) -> None:
    rule_id = shop.rule(popup_rule("A", goal={**GOAL, "from": basis, "value": "properties.worth"}))
    shop.send(call("A"))
    [message] = shop.messages()
    start = shop.clock()
    for name, after in sorted(reports, key=lambda each: each[1]):
        shop.clock.now = start + timedelta(minutes=after)
        shop.send(call(f"Message {name}", {"message_id": message.id}))
    shop.clock.now = start + timedelta(minutes=max(minutes, *(after for _, after in reports), 0))
    shop.send(call("Order Completed", {"worth": 5}, timestamp=start + timedelta(minutes=minutes)))
    totals = report_on_rule(shop.rt, shop.site, rule_id, None, None)["totals"]
    assert (totals["converted"], totals["revenue"]) == ((1, 5) if converted else (0, 0))


def test_who_signs_in_between_the_message_and_the_order_is_one_person(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule("A", goal=GOAL))
    shop.send(call("A"))
    shop.send(identify("u1"))
    shop.send(call("Order Completed", {"total": "7"}, anonymousId="ann", userId="u1"))
    found = report_on_rule(shop.rt, shop.site, rule_id, None, None)
    assert (found["totals"]["sent"], found["totals"]["persons"], found["totals"]["converted"]) == (1, 1, 1)


def test_days_are_the_site_s_and_narrow_the_report(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule("A", reentry={"policy": "every"}))
    for _ in range(3):
        shop.send(call("A"))
        shop.clock.forward(days=1)
    days = [each["day"] for each in report_on_rule(shop.rt, shop.site, rule_id, None, None)["days"]]
    first = at().date()
    assert days == [first, first + timedelta(days=1), first + timedelta(days=2)]
    narrowed = report_on_rule(shop.rt, shop.site, rule_id, days[1], days[1])
    assert narrowed["totals"]["sent"] == 1


def test_the_api_answers_as_documented(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule("A", goal=GOAL, message=variants(holdout=50)))
    shop.send(*(call("A", anonymousId=f"v{each}") for each in range(20)))
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}"}
    answer = shop.client.get(f"/api/v1/sites/{shop.site.id}/rules/{rule_id}/report?since=2020-01-01", headers=headers)
    assert answer.status_code == 200
    [lift] = answer.json["lift"]
    assert lift["sentence"].startswith("Not enough people yet")
    assert lift["difference"] is None
    assert answer.json["days"][0]["day"] == at().date().isoformat()
    answer = shop.client.get(f"/api/v1/sites/{shop.site.id}/report", headers=headers)
    assert answer.json["rules"][0]["name"] == "A rule"
    wrong = shop.client.get(f"/api/v1/sites/{shop.site.id}/report?since=soon", headers=headers)
    assert wrong.status_code == 422


MANY = CONTACT_LIMIT + SLACK + 15


def told_much(shop: Shop) -> tuple[str, list[Message]]:
    """A rule that has spoken to Ann more often than her profile remembers; its messages, the forgotten ones first."""
    rule_id = shop.rule(popup_rule("A", message=variants(), reentry={"policy": "every"}))
    for start in range(0, MANY, 45):
        shop.clock.forward(minutes=1)
        shop.send(*(call("A") for _ in range(min(45, MANY - start))))
    kept = {each.message_id for each in shop.profile().contacts}
    said = sorted(shop.messages(), key=lambda each: each.id in kept)
    assert len(said) == MANY
    assert len(kept) <= CONTACT_LIMIT + SLACK < MANY
    return rule_id, said


def report(name: str, message: Message | str, **fields: Any) -> dict[str, Any]:
    return call(f"Message {name}", {"message_id": message if isinstance(message, str) else message.id}, **fields)


def test_what_becomes_of_a_message_that_the_profile_has_forgotten_is_counted_once(each_shop: Shop) -> None:
    shop = each_shop
    rule_id, said = told_much(shop)
    first, second, third, last = said[0], said[1], said[2], said[-1]
    again = report("Clicked", first)
    shop.send(report("Shown", first), report("Shown", second), again, report("Shown", last), call("A"))
    shop.restart()
    shop.send(again, report("Clicked", first), report("Shown", first), report("Dismissed", second))
    shop.send(report("Replied", third), report("Shown", "0" * 32), report("Shown", ""))
    shop.send(report("Shown", said[3], anonymousId="bob"))
    found = report_on_rule(shop.rt, shop.site, rule_id, None, None)["totals"]
    assert {name: found[name] for name in ("sent", "shown", "clicked", "dismissed", "replied")} == {
        "sent": MANY + 1,
        "shown": 4,
        "clicked": 1,
        "dismissed": 1,
        "replied": 1,
    }
    kept = shop.messages()
    for name in ("shown", "clicked", "dismissed", "replied"):
        assert found[name] == sum(getattr(each, f"{name}_at") is not None for each in kept), name
    assert len(shop.profile().contacts) <= CONTACT_LIMIT + SLACK
    [exposure] = shop.profile().exposures
    assert exposure.clicked


def test_it_is_counted_once_by_whoever_she_turns_out_to_be(each_shop: Shop) -> None:
    shop = each_shop
    rule_id, said = told_much(shop)
    shop.send(report("Shown", said[0]))
    shop.send(identify("the user"))
    shop.send(report("Shown", said[0]), report("Clicked", said[1]), report("Shown", said[2], anonymousId="bob"))
    found = report_on_rule(shop.rt, shop.site, rule_id, None, None)["totals"]
    assert (found["shown"], found["clicked"]) == (2, 1)


def test_a_report_in_the_batch_in_which_its_message_is_forgotten_is_counted(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule("A", message=variants(), reentry={"policy": "every"}))
    shop.send(call("A"))
    [first] = shop.messages()
    shop.send(report("Shown", first), *(call("A") for _ in range(MANY)), report("Clicked", first))
    assert first.id not in {each.message_id for each in shop.profile().contacts}
    found = report_on_rule(shop.rt, shop.site, rule_id, None, None)["totals"]
    assert (found["sent"], found["shown"], found["clicked"]) == (MANY + 1, 1, 1)


def test_a_goal_is_put_down_to_a_message_far_back_while_its_window_is_open(each_shop: Shop) -> None:
    shop = each_shop
    open_, closed = (
        shop.rule(popup_rule("B", message=variants(), goal={**GOAL, "within": within})) for within in ("2h", "5m")
    )
    shop.rule(popup_rule("A", message=variants(), reentry={"policy": "every"}))
    shop.send(call("B"))
    shop.clock.forward(minutes=10)
    shop.send(*(call("A") for _ in range(MANY)))
    assert [each.rule_id for each in shop.profile().contacts if each.rule_id in {open_, closed}] == [open_]
    shop.clock.forward(minutes=10)
    shop.send(call("Order Completed", {"order_id": "1", "total": "7"}))
    found = {each: report_on_rule(shop.rt, shop.site, each, None, None)["totals"] for each in (open_, closed)}
    assert (found[open_]["converted"], found[closed]["converted"]) == (1, 0)
    assert Decimal(found[open_]["revenue"]) == 7
    shop.send(*(call("A") for _ in range(MANY)))
    assert {each.rule_id for each in shop.profile().contacts}.isdisjoint({open_}), "it was reached: it may be forgotten"
