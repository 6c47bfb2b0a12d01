"""Editing a rule that people are in: by the real API, log, processor and database, and across deaths."""

from typing import Any

import pytest
import sqlalchemy

from backend.domain.identity import anonymous_visitor
from backend.pipeline import move_enrolled
from backend.pipeline.deliver import Permits
from backend.pipeline.fallback import Fallback
from backend.pipeline.process import Processor
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.show import viewer, waiting
from backend.pipeline.sweep import Sweeper
from backend.storage import deliveries, enrolments, rules
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, Shop, call, identify, popup_rule
from tests.integration.test_process_crashes import CRASHED, lapse, run

MAIL = {"channels": ["email"], "variants": [{"content": {"subject": "Hello", "body": "Hello"}}]}


def say(name: str) -> dict[str, Any]:
    content = {"title": name, "body": name}
    return {"name": name, "message": {"channels": ["popup"], "variants": [{"content": content}]}}


def journey(*steps: Any, **parts: Any) -> dict[str, Any]:
    return {"name": "r", "trigger": {"event": "Product Added"}, "steps": list(steps), **parts}


BEFORE = journey(say("one"), {"delay": "1h"}, say("two"), {"delay": "1h"}, say("three"))
AFTER = journey(say("zero"), say("one"), {"delay": "1h"}, say("new"), say("two"))


def api(shop: Shop, method: str, path: str, body: Any = None) -> Any:
    answer = shop.client.open(
        f"/api/v1/sites/{shop.site.id}{path}",
        method=method,
        json=body,
        headers={"Authorization": f"Bearer {shop.rt.settings.admin_token}"},
    )
    assert answer.status_code < 300, answer.text
    return answer.json


def made(shop: Shop, document: Any) -> str:
    return str(api(shop, "POST", "/rules", {**document, "status": "active"})["id"])


def edit(shop: Shop, rule_id: str, document: Any, enrolled: str | None = None) -> dict[str, int]:
    body = {**document} | ({"enrolled": enrolled} if enrolled else {})
    return dict(api(shop, "PUT", f"/rules/{rule_id}", body)["enrolments"])


def said(shop: Shop, anonymous_id: str = "ann") -> list[str]:
    """In order of time, then of name."""
    visitor = anonymous_visitor(shop.site.id, anonymous_id)
    own = [each for each in shop.messages() if each.visitor_id == visitor]
    return [each.step for each in sorted(own, key=lambda each: (each.created_at, each.step))]


def test_who_is_in_a_rule_is_kept_unless_the_edit_says_otherwise(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(call("Product Added"), call("Product Added", anonymousId="bob"))
    assert edit(shop, rule_id, AFTER) == {"kept": 2, "moved": 0, "ended": 0, "moving": 0}
    shop.send(call("Product Added", anonymousId="cat"))
    shop.restart()
    shop.wait(hours=1)
    shop.restart()
    shop.wait(hours=1)
    assert said(shop) == said(shop, "bob") == ["one", "two", "three"]
    assert said(shop, "cat") == ["one", "zero", "new", "two"]
    assert {each.rule_version for each in shop.enrolments()} == {1}


def test_who_is_moved_goes_on_with_the_new_version_at_their_step(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(call("Product Added"))
    shop.wait(hours=1)
    shop.send(call("Product Added", anonymousId="bob"))
    assert edit(shop, rule_id, AFTER, "move") == {"kept": 0, "moved": 1, "ended": 1, "moving": 0}
    assert shop.outcomes() == [("sent", "rule_changed")], "nothing follows the second delay"
    [moved] = shop.enrolments("bob")
    assert (moved.rule_version, moved.waiting) == (2, True)
    shop.wait(hours=3)
    assert said(shop) == ["one", "two"]
    assert said(shop, "bob") == ["one", "new", "two"]
    numbers = api(shop, "GET", f"/rules/{rule_id}/report")
    assert numbers is not None
    with shop.rt.db.read() as connection:
        ended = sqlalchemy.text("SELECT sum(number) FROM tallies WHERE metric LIKE 'sent_enrolments%'")
        assert connection.scalar(ended) == 2, "those who ended by the edit are counted"


def test_more_than_fit_into_an_answer_are_moved_by_the_tick_or_by_what_they_do(
    each_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = each_shop
    monkeypatch.setattr(move_enrolled, "AT_ONCE", 2)
    monkeypatch.setattr(move_enrolled, "AT_SAVE", 2)
    rule_id = made(shop, BEFORE)
    shop.send(*(call("Product Added", anonymousId=f"v{each}") for each in range(9)))
    assert edit(shop, rule_id, AFTER, "move") == {"kept": 0, "moved": 2, "ended": 0, "moving": 7}
    for each in range(9):  # some event of theirs is enough
        if not each % 3:
            shop.send(call("Page Viewed", anonymousId=f"v{each}"))
    assert {shop.enrolments(f"v{each}")[0].rule_version for each in range(0, 9, 3)} == {2}
    Sweeper(shop.rt).run()
    Sweeper(shop.rt).run()
    assert [shop.enrolments(f"v{each}")[0].rule_version for each in range(9)] == [2] * 9
    shop.wait(hours=3)
    assert [said(shop, f"v{each}") for each in range(9)] == [["one", "new", "two"]] * 9


def test_a_version_that_is_lost_ends_those_who_are_in_it_and_never_runs_another(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(call("Product Added"))
    edit(shop, rule_id, AFTER)
    with shop.rt.db.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM rule_versions WHERE version = 1"))
    shop.wait(hours=5)
    assert said(shop) == ["one"]
    assert shop.outcomes() == [("sent", "rule_changed")]


def test_a_rule_that_is_paused_is_so_in_all_its_versions(each_shop: Shop) -> None:
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(call("Product Added"))
    edit(shop, rule_id, AFTER)
    api(shop, "POST", f"/rules/{rule_id}/pause")
    shop.wait(hours=1)
    assert said(shop) == ["one"]
    assert [each.reason for each in shop.enrolments()] == ["rule_paused"]


PLAN = {"field": "profile.traits.plan", "op": "eq", "value": "free"}
NEVER = {"field": "profile.traits.plan", "op": "eq", "value": "none"}


@pytest.mark.parametrize(("enrolled", "shown"), [("keep", 1), ("move", 0)])
def test_what_waits_to_be_shown_is_held_against_the_audience_of_its_version(
    each_shop: Shop, enrolled: str, shown: int
) -> None:
    shop = each_shop
    rule_id = made(shop, popup_rule(audience=PLAN))
    shop.send(identify("u", {"plan": "free"}), call("Product Added"))
    assert len(shop.messages()) == 1
    edit(shop, rule_id, popup_rule(audience=NEVER), enrolled)
    who = viewer(shop.site, "ann", None, None)
    assert len(waiting(shop.rt, Rulesets(shop.rt), who)) == shown
    assert [each.status for each in shop.messages()] == ["queued" if shown else "skipped"]


@pytest.mark.parametrize(("enrolled", "permitted"), [("keep", True), ("move", False)])
def test_what_waits_to_be_mailed_is_held_against_the_audience_of_its_version(
    each_shop: Shop, enrolled: str, permitted: bool
) -> None:
    shop = each_shop
    rule_id = made(shop, {**popup_rule(audience=PLAN), "message": MAIL})
    shop.send(identify("u", {"plan": "free", "email": "u@example.com"}))
    shop.send(call("Product Added", userId="u"))
    assert shop.outcomes(user_id="u") == [("sent", None)]
    edit(shop, rule_id, {**popup_rule(audience=NEVER), "message": MAIL}, enrolled)
    [message] = shop.messages()
    with shop.rt.db.begin() as connection:
        claim = deliveries.claim(connection, (message.visitor_id, message.id), shop.clock(), ["email"])
        assert claim is not None
        assert (Permits(shop.rt.sites).ask(connection, claim, shop.clock()) is not None) is permitted


def test_a_message_falls_back_by_the_channels_of_its_version(each_shop: Shop) -> None:
    shop = each_shop
    variants = [{"content": {"title": "T", "subject": "T", "body": "T"}}]
    both = {"channels": ["popup", "email"], "fallback_after": "1h", "variants": variants}
    rule_id = made(shop, popup_rule() | {"message": both})
    shop.send(identify("u", {"email": "u@example.com"}), call("Product Added"))
    edit(shop, rule_id, popup_rule() | {"message": POPUP})
    shop.clock.forward(hours=2)
    assert Fallback(shop.rt).run() == 1
    assert sorted(each.channel for each in shop.messages()) == ["email", "popup"]


@pytest.mark.parametrize("crash_at", ["after_enrolments", "after_messages", "after_commit"])
@pytest.mark.parametrize("enrolled", ["keep", "move"])
def test_a_worker_that_dies_after_an_edit_loses_and_repeats_nothing(
    each_shop: Shop, crash_at: str, enrolled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = each_shop
    monkeypatch.setattr(move_enrolled, "AT_SAVE", 0)  # whoever moves, moves in the worker
    rule_id = made(shop, BEFORE)
    names = [f"v{each}" for each in range(6)]
    shop.send(*(call("Product Added", anonymousId=each) for each in names))
    shop.processor.leave()
    told = edit(shop, rule_id, AFTER, enrolled)
    assert told["kept" if enrolled == "keep" else "moving"] == 6
    shop.clock.forward(hours=1)
    assert run(shop, "drain", crash_at=crash_at) == CRASHED
    lapse(shop)
    shop.restart().drain()
    edit(shop, rule_id, BEFORE, "keep")
    shop.restart()
    shop.wait(hours=5)
    expected = ["one", "two", "three"] if enrolled == "keep" else ["one", "new", "two"]
    assert [said(shop, each) for each in names] == [expected] * 6


def test_a_move_that_died_in_the_middle_is_ended_by_the_tick(each_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(*(call("Product Added", anonymousId=f"v{each}") for each in range(5)))

    def dies(*_: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(move_enrolled, "move_now", dies)
        with pytest.raises(SystemExit):
            edit(shop, rule_id, AFTER, "move")
    with shop.rt.db.read() as connection:
        stored = rules.get_rule(connection, shop.site.id, rule_id)
        assert stored is not None
        assert (stored.version, stored.moved_to) == (2, 2)
        assert enrolments.count_in_rule(connection, rule_id, before=2) == 5
    Sweeper(shop.rt).run()
    with shop.rt.db.read() as connection:
        assert enrolments.count_in_rule(connection, rule_id, before=2) == 0
        assert enrolments.count_in_rule(connection, rule_id) == 5


def test_a_worker_that_has_not_heard_of_an_edit_moves_nobody_back(each_shop: Shop) -> None:
    """An enrolment that another worker let in by a newer version is run by that one."""
    shop = each_shop
    rule_id = made(shop, BEFORE)
    shop.send(call("Product Added"))
    old = shop.processor.rulesets
    stamp = old._stamp
    edit(shop, rule_id, AFTER, "move")
    newer = Processor(shop.rt)
    assert newer.rulesets._stamp != stamp
    with shop.rt.db.begin() as connection:
        assert old.rule_of(connection, shop.site.id, rule_id, 2) is not None
        version = old.rule_of(connection, shop.site.id, rule_id, 2)
    assert version is not None
    assert version.rule.version == 2


def test_lists_tell_who_got_it_who_did_not_and_where_they_stand(each_shop: Shop) -> None:
    shop = each_shop
    wait = {"wait": {"events": [{"event": "Order Completed"}], "timeout": "2h"}, "then": [], "else": [say("late")]}
    rule_id = made(shop, journey(say("one"), {"delay": "1h"}, wait, cancel=[{"event": "Left"}]))
    for name in ("a", "b", "c"):
        shop.send(call("Product Added", anonymousId=name))
        shop.clock.forward(minutes=1)
    shop.send(call("Left", anonymousId="b"))
    shop.wait(minutes=58)
    found = api(shop, "GET", f"/rules/{rule_id}/enrolments")["items"]
    assert [each["step"] for each in found] == ["delay", None, "wait"], "newest first"
    assert [each["place"] for each in found] == ["steps.1", None, "steps.2"]
    assert found[2]["waits_for"] == "Order Completed, or the time-out."
    assert [
        len(api(shop, "GET", f"/rules/{rule_id}/enrolments?{query}")["items"])
        for query in (
            "outcome=waiting",
            "outcome=sent",
            "outcome=skipped",
            "reason=cancelled",
            "version=2",
            f"visitor={anonymous_visitor(shop.site.id, 'b')}",
            f"visitor={anonymous_visitor(shop.site.id, 'b')}&outcome=waiting",
        )
    ] == [2, 1, 0, 1, 0, 1, 0]
    first = api(shop, "GET", f"/rules/{rule_id}/enrolments?limit=2")
    rest = api(shop, "GET", f"/rules/{rule_id}/enrolments?limit=2&cursor={first['next_cursor']}")
    assert [each["id"] for each in first["items"] + rest["items"]] == [each["id"] for each in found]
    own = api(shop, "GET", f"/visitors/{anonymous_visitor(shop.site.id, 'a')}/enrolments")["items"]
    assert own == found[2:]
