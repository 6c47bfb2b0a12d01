"""What a message changed, measured live: recounted from the stored events; winners, merges, and how messages end."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT
from backend.domain.site import Policy
from backend.domain.tally import LARGEST
from backend.pipeline import upkeep
from backend.pipeline.choose import Chooser
from backend.pipeline.explain import explain
from backend.pipeline.fallback import Fallback
from backend.pipeline.report import report_on_rule, report_on_site
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.show import viewer, waiting
from backend.pipeline.simulate import simulate
from backend.storage import contests, visitors
from backend.storage.rules import get_rule
from backend.storage.sites import update_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, at, call, identify, popup_rule

GOAL = {"event": "Order Completed", "within": "2h"}
CONTENT = {"title": "Hello", "body": "Hello", "subject": "Hello"}


def dealt(names: str = "AB", **message: Any) -> dict[str, Any]:
    told = [{"name": name, "content": {"title": name, "body": name}} for name in names]
    return {"channels": ["popup"], "variants": told, **message}


def report(shop: Shop, rule_id: str, *by: str) -> Any:
    return report_on_rule(shop.rt, shop.site, rule_id, None, None, by)


def set_policy(shop: Shop, policy: Policy) -> None:
    with shop.rt.db.begin() as connection:
        shop.site = replace(shop.site, policy=policy)
        update_site(connection, shop.rt.sites.vault, shop.site)
    shop.rt.sites.forget()


def profiles(shop: Shop) -> Iterator[Any]:
    with shop.rt.db.read() as connection:
        ids = visitors.ids_after(connection, shop.site.id, "", 1_000)
        yield from (stored.profile for stored in visitors.load(connection, ids).values())


def test_guard_rails_are_those_of_a_recount(each_shop: Shop) -> None:
    """Some go on, some leave, some unsubscribe: told and held out alike, in small batches, with a worker that dies."""
    shop, dice = each_shop, random.Random(11)
    set_policy(shop, Policy(holdout=20))
    rule_id = shop.rule(popup_rule("A", message=dealt(holdout=40), goal=GOAL))
    people = [f"v{each}" for each in range(120)]
    shop.send(*(call("A", anonymousId=each) for each in people))
    truth: dict[str, list[tuple[int, int, bool, Decimal]]] = {}
    calls: list[tuple[timedelta, Any]] = []
    arm = {profile.anonymous_ids[0]: profile.exposures[0].variant for profile in profiles(shop)}
    for person in people:
        seconds, ended = 0, 1
        for _ in range(dice.choice([0, 0, 1, 3])):
            seconds, ended = seconds + dice.randrange(1, 1800), 0
            calls.append((timedelta(seconds=seconds), call("Page Viewed", anonymousId=person)))
        leaves = dice.random() < 0.2
        if leaves:
            calls.append((timedelta(hours=3), call("Unsubscribed", {"email": "x@y.example"}, anonymousId=person)))
        worth = Decimal(dice.randrange(1, 10**7)) / 100 if dice.random() < 0.3 else Decimal(0)
        if worth and seconds:
            order = call("Order Completed", {"total": str(worth), "order_id": person}, anonymousId=person)
            calls.append((timedelta(seconds=seconds), order))
        truth.setdefault("held" if arm[person] == HELD_OUT else arm[person], []).append(
            (seconds, ended, leaves, worth if seconds else Decimal(0))
        )
    begin = shop.clock()
    for number, (after, made) in enumerate(sorted(calls, key=lambda each: each[0])):
        shop.clock.now = max(shop.clock.now, begin + after)
        shop.put({**made, "timestamp": (begin + after).isoformat()})
        if number % 9 == 0:
            shop.processor.drain()
        if number % 40 == 0:
            shop.restart()
    shop.processor.drain()
    found = {each["control"]: each for each in report(shop, rule_id)["lift"]}
    assert set(found) == {HELD_OUT, GLOBALLY_HELD_OUT}
    told = [*truth.pop("A"), *truth.pop("B")]
    for control, held in ((HELD_OUT, truth.pop("held")), (GLOBALLY_HELD_OUT, truth.pop(GLOBALLY_HELD_OUT))):
        lift = found[control]
        for side, group in (("treated", told), ("control", held)):
            reached = sum(each[3] > 0 for each in group)
            assert lift[f"{side}_arm"] == {"persons": len(group), "reached": reached}
            assert lift["revenue"][f"{side}_mean"] == pytest.approx(float(sum(each[3] for each in group) / len(group)))
            rails = lift["guard_rails"]
            assert rails["unsubscribes"][f"{side}_arm"] == {
                "persons": len(group),
                "reached": sum(each[2] for each in group),
            }
            assert rails["sessions_ended"][f"{side}_arm"] == {
                "persons": len(group),
                "reached": sum(each[1] for each in group),
            }
            mean = sum(each[0] for each in group) / len(group)
            assert rails["session_length"][f"{side}_mean"] == pytest.approx(mean, abs=1)
    assert truth == {}
    assert report_on_site(shop.rt, shop.site, None, None)["rules"][0]["lift"] == list(found.values())


def test_two_browsers_of_one_person_count_as_one_from_the_moment_that_is_known(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule("A", message=dealt("AB"), goal=GOAL))
    browsers = [f"v{each}" for each in range(20)]
    shop.send(*(call("A", anonymousId=each) for each in browsers))
    shop.send(*(call("Order Completed", {"total": 3}, anonymousId=each) for each in browsers[:8]))
    assert report(shop, rule_id)["totals"]["persons"] == 20
    shop.send(*(identify(f"u{number % 5}", anonymousId=each) for number, each in enumerate(browsers)))
    found = report(shop, rule_id)
    assert found["totals"]["persons"] == 5
    assert sum(each["goal_persons"] for each in found["variants"]) == 5
    assert (found["totals"]["sent"], found["totals"]["converted"]) == (20, 8), "messages stay messages"
    first = {profile.user_id: profile.exposures[0].variant for profile in profiles(shop)}
    assert {each["variant"]: each["persons"] for each in found["variants"] if each["persons"]} == {
        name: list(first.values()).count(name) for name in set(first.values())
    }


def test_a_click_told_after_the_order_that_it_led_to_counts(shop: Shop) -> None:
    """A backend reports the order at once, the browser its click a little later."""
    rule_id = shop.rule(popup_rule("A", goal={**GOAL, "from": "clicked"}))
    shop.send(call("A"))
    [message] = shop.messages()
    start = shop.clock()
    shop.clock.forward(minutes=9)
    shop.send(call("Order Completed", {"total": "7.5"}, timestamp=start + timedelta(minutes=5)))
    assert report(shop, rule_id)["totals"]["converted"] == 0
    click = call("Message Clicked", {"message_id": message.id}, timestamp=start + timedelta(minutes=4))
    shop.send(click, click)
    totals = report(shop, rule_id)["totals"]
    assert (totals["converted"], totals["revenue"]) == (1, Decimal("7.5"))


def test_of_two_messages_the_one_that_was_shown_gets_the_goal(shop: Shop) -> None:
    rule_id = shop.rule(popup_rule("A", goal={**GOAL, "from": "shown"}, reentry={"policy": "every"}))
    shop.send(call("A"))
    shop.clock.forward(minutes=1)
    shop.send(call("Message Shown", {"message_id": shop.messages()[0].id}), call("A"))
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"total": 1}))
    assert report(shop, rule_id)["totals"]["converted"] == 1


@pytest.mark.parametrize("total", [9e14, -9e14, "999999999999999", "1e999", "NaN", True, None, {"x": 1}, 0.1 + 0.2])
def test_hostile_amounts_neither_stop_the_processor_nor_break_the_sums(each_shop: Shop, total: Any) -> None:
    shop = each_shop
    rule_id = shop.rule(popup_rule("A", goal=GOAL, message=dealt(holdout=50)))
    people = [f"v{each}" for each in range(30)]
    shop.send(*(call("A", anonymousId=each) for each in people))
    shop.send(*(call("Order Completed", {"total": total}, anonymousId=each) for each in people))
    assert shop.dead() == []
    found = report(shop, rule_id)
    assert found["totals"]["converted"] > 0
    assert abs(found["totals"]["revenue"]) <= len(people) * LARGEST


def test_rows_tell_every_number_apart_as_it_is_asked_for(shop: Shop) -> None:
    steps = [
        {"message": {"channels": ["popup"], "variants": POPUP["variants"]}, "name": "first"},
        {"delay": "1d"},
        {"message": {"channels": ["email"], "variants": [{"name": "A", "content": CONTENT}]}, "name": "second"},
        {"message": {**dealt(), "holdout": 100}, "name": "third"},
    ]
    rule_id = shop.rule({"name": "r", "trigger": {"event": "A"}, "steps": steps, "goal": GOAL})
    shop.send(call("A", anonymousId="one"), call("A", anonymousId="two"))
    shop.send(identify("u", {"email": "u@example.com"}, anonymousId="two"))
    shop.wait(days=1)
    found = report(shop, rule_id, "step", "day", "channel")
    first, second = at().date(), at(days=1).date()
    assert [(r["step"], r["day"], r["channel"], r["sent"], r["held_out"]) for r in found["rows"]] == [
        ("first", first, "popup", 2, 0),
        ("second", second, "email", 1, 0),
        ("third", second, "", 0, 2),
    ]
    steps_told = {each["step"]: each for each in found["steps"]}
    assert [(steps_told[name]["entered"], steps_told[name]["skipped"]) for name in ("first", "second", "third")] == [
        (2, {}),
        (2, {"no_address": 1}),
        (2, {}),
    ]
    assert [(each["step"], each["control_arm"]["persons"]) for each in found["lift"]] == [("third", 2)]
    assert [(each["day"], each["entered"]) for each in report(shop, rule_id, "day")["rows"]] == [
        (first, 2),
        (second, 0),
    ]
    assert report(shop, rule_id)["rows"] == []


def test_what_becomes_of_messages_on_the_site_is_counted_too(each_shop: Shop) -> None:
    shop = each_shop
    still = {"field": "profile.stage", "op": "ne", "value": "customer"}
    rule_id = shop.rule(popup_rule("A", audience=still, message={**POPUP, "expires_after": "1h"}))
    shop.send(*(call("A", anonymousId=each) for each in ("shown", "bought", "gone", "waits")))
    messages = {each.anonymous_id: each for each in shop.messages()}
    shop.send(call("Message Shown", {"message_id": messages["shown"].id}, anonymousId="shown"))
    shop.send(call("Order Completed", {"total": 1}, anonymousId="bought"))
    assert waiting(shop.rt, Rulesets(shop.rt), viewer(shop.site, "bought", None, None)) == []
    totals = report(shop, rule_id)["totals"]
    assert [totals[name] for name in ("sent", "delivered", "withheld", "expired", "waiting")] == [4, 1, 1, 0, 2]
    assert report(shop, rule_id)["enrolments"]["outcomes"] == {"sent": 3, "skipped": 1}
    assert report(shop, rule_id)["enrolments"]["reasons"] == {"not_matching": 1}
    shop.clock.forward(hours=1)
    upkeep.expire(shop.rt)
    upkeep.expire(shop.rt)
    totals = report(shop, rule_id)["totals"]
    assert [totals[name] for name in ("sent", "delivered", "withheld", "expired", "waiting")] == [4, 1, 1, 2, 0]


def falling_back(**parts: Any) -> dict[str, Any]:
    message = {"channels": ["popup", "email"], "fallback_after": "1h", "variants": [{"name": "A", "content": CONTENT}]}
    return popup_rule("A", message=message, **parts)


def test_what_goes_on_by_mail_counts_as_a_mail_and_once(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = shop.rule(falling_back(goal=GOAL))
    shop.send(call("A"))
    shop.send(identify("u", {"email": "u@example.com"}))  # the browser was merged away meanwhile
    shop.clock.forward(hours=1)
    assert Fallback(shop.rt).run() == 1
    found = report(shop, rule_id)
    assert {each["channel"]: each["sent"] for each in found["channels"]} == {"email": 1, "popup": 0}
    assert (found["totals"]["sent"], found["totals"]["withheld"], found["totals"]["waiting"]) == (1, 0, 1)
    [contact] = shop.profile(user_id="u").contacts
    assert (contact.channel, contact.at) == ("email", shop.clock())
    shop.clock.forward(minutes=90)
    shop.send(call("Order Completed", {"total": 1}, userId="u"))
    assert report(shop, rule_id)["totals"]["converted"] == 1, "the window begins with the mail"


def test_caps_and_quiet_hours_hold_for_what_falls_back(shop: Shop) -> None:
    set_policy(shop, Policy(caps=({"count": 1, "within": "4h", "channels": ["email"]},)))
    shop.rule(falling_back())
    shop.rule(popup_rule("B", message={"channels": ["email"], "variants": [{"name": "A", "content": CONTENT}]}))
    shop.send(identify("u", {"email": "u@example.com"}), call("A"))
    shop.clock.forward(minutes=30)
    shop.send(call("B"))
    mails = lambda: sorted(each.created_at for each in shop.messages() if each.channel == "email")  # noqa: E731
    assert mails() == [at(minutes=30)]
    for _ in range(10):
        shop.clock.forward(minutes=30)
        Fallback(shop.rt).run()
    assert mails() == [at(minutes=30), at(minutes=270)]


def test_in_the_night_nothing_falls_back_to_a_mail(shop: Shop) -> None:
    set_policy(shop, Policy(quiet_hours={"from": "10:00", "to": "12:00"}))
    shop.rule(falling_back())
    shop.send(identify("u", {"email": "u@example.com"}), call("A"))
    found = []
    for _ in range(8):
        shop.clock.forward(minutes=30)
        found.append(Fallback(shop.rt).run())
    assert found == [0, 0, 0, 0, 0, 1, 0, 0], "at noon, not at ten"


def compete(shop: Shop, names: list[str], rates: dict[str, float], dice: random.Random) -> None:
    """People come, are dealt a variant, and buy as it moves them."""
    shop.send(*(call("A", anonymousId=each) for each in names))
    variant = {each.anonymous_id: each.variant for each in shop.messages()}
    buyers = [each for each in names if dice.random() < rates[variant[each]]]
    shop.send(*(call("Order Completed", {"total": 1}, anonymousId=each) for each in buyers))


def test_the_winner_is_chosen_when_it_is_time_and_then_everybody_new_gets_it(each_shop: Shop) -> None:
    shop, dice = each_shop, random.Random(2)
    winner = {"after": "7d", "by": "goal", "confidence": 95}
    rule_id = shop.rule(
        popup_rule("A", message=dealt(winner=winner, holdout=10), goal=GOAL, reentry={"policy": "every"})
    )
    chooser = Chooser(shop.rt)
    assert chooser.run() == 0
    crowd = [f"v{each}" for each in range(400)]
    shop.send(*(call("A", anonymousId=each) for each in crowd))
    dealt_to = {each.anonymous_id: each.variant for each in shop.messages()}
    rates = {"A": 0.1, "B": 0.4}
    buyers = [name for name, variant in dealt_to.items() if name and dice.random() < rates[variant]]
    shop.send(*(call("Order Completed", {"total": 1}, anonymousId=each) for each in buyers))
    [told] = report(shop, rule_id)["winners"]
    assert (told["status"], told["looks"], told["next_look_at"]) == ("running", 0, at(days=7))
    assert told["persons"] == len(dealt_to)
    shop.clock.now = at(days=7) - timedelta(seconds=1)
    assert chooser.run() == 0
    shop.clock.now = at(days=7)
    assert Chooser(shop.rt).run() == 1
    assert chooser.run() == 0, "another tick does not decide again"
    [told] = report(shop, rule_id)["winners"]
    assert (told["status"], told["variant"], told["since"]) == ("decided", "B", at(days=7, minutes=1))
    assert "with A" in told["sentence"]
    late = [f"w{each}" for each in range(60)]
    shop.send(*(call("A", anonymousId=each) for each in late[:30]))  # within the minute of notice: still by chance
    shop.clock.now = at(days=7, minutes=1)
    shop.send(*(call("A", anonymousId=each) for each in late[30:]), *(call("A", anonymousId=each) for each in crowd))
    variants = {(each.anonymous_id, each.created_at): each.variant for each in shop.messages()}
    now = shop.clock()
    assert {variants[each, now] for each in late[30:] if (each, now) in variants} == {"B"}
    assert {variants[each, at(days=7)] for each in late[:30] if (each, at(days=7)) in variants} == {"A", "B"}
    assert {each: variants[each, now] for each in dealt_to} == dealt_to, "who had one keeps it"
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    again = simulate(shop.rt, shop.site, [stored.rule()], limit=10_000, until=now + timedelta(seconds=1))
    foreseen = {(each.anonymous_id, each.at): each.variant for each in again.items if each.outcome == "sent"}
    assert foreseen == variants, "replayed, the same is decided"
    newcomer = shop.profile(late[-1])
    gates = {each.name: each.detail for each in explain(shop.rt, shop.site, stored.rule(), newcomer).gates}
    assert str(gates["holdout"]).startswith(("Not held out; variant B", "One of the 10 %"))


def test_new_wordings_begin_anew_and_do_not_count_whom_the_old_ones_reached(shop: Shop) -> None:
    winner = {"after": {"persons": 100}, "by": "clicked"}
    rule_id = shop.rule(popup_rule("A", message=dealt(winner=winner)))
    chooser, dice = Chooser(shop.rt), random.Random(8)
    crowd = [f"v{each}" for each in range(300)]
    shop.send(*(call("A", anonymousId=each) for each in crowd))
    chooser.run()
    assert [(each["looks"], each["status"]) for each in report(shop, rule_id)["winners"]] == [(1, "running")]
    chooser.run()
    assert report(shop, rule_id)["winners"][0]["looks"] == 2, "300 are more than twice 100, not four times"
    chooser.run()
    assert report(shop, rule_id)["winners"][0]["looks"] == 2
    headers = {"Authorization": f"Bearer {shop.rt.settings.admin_token}"}
    changed = popup_rule("A", message=dealt(winner=winner), reentry={"policy": "every"})
    changed["message"]["variants"][0]["content"]["body"] = "new"
    path = f"/api/v1/sites/{shop.site.id}/rules/{rule_id}"
    assert shop.client.put(path, json=changed, headers=headers).status_code == 200
    shop.clock.forward(minutes=1)
    shop.send(*(call("A", anonymousId=each) for each in crowd))
    chooser.run()
    old, new = report(shop, rule_id)["winners"]
    assert (old["status"], old["current"], new["status"], new["looks"], new["persons"]) == (
        *("undecided", False, "running"),
        *(0, 0),
    )
    more = [f"w{each}" for each in range(100)]
    shop.send(*(call("A", anonymousId=each) for each in more))
    made = {each.anonymous_id: each for each in shop.messages()}
    clicks = [made[each] for each in more if dice.random() < {"A": 0.05, "B": 0.6}[made[each].variant]]
    shop.send(*(call("Message Clicked", {"message_id": m.id}, anonymousId=m.anonymous_id) for m in clicks))
    assert chooser.run() == 1
    answer = shop.client.get(f"{path}/report?by=day,variant", headers=headers)
    assert answer.status_code == 200
    assert [each["variant"] for each in answer.json["winners"]] == [None, "B"]
    assert {each["variant"] for each in answer.json["rows"]} == {"A", "B"}
    wrong = shop.client.get(f"{path}/report?by=days", headers=headers)
    assert wrong.status_code == 422
    back = shop.client.get(f"{path}/report?since=2026-03-02&until=2026-03-01", headers=headers)
    assert "until" in str(back.json["errors"])
    with shop.rt.db.read() as connection:
        assert len(contests.of_rule(connection, rule_id)) == 2
