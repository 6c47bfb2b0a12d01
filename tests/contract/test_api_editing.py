"""Versions of rules, checks before they are saved, circles, and warnings: as the API answers them."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from backend.domain.event import Event
from backend.domain.identity import anonymous_visitor
from backend.domain.profile import Profile
from backend.runtime import Runtime
from backend.storage import events, visitors
from tests.contract.conftest import RULE, Api


def emits(trigger: str, event: str, **parts: Any) -> dict[str, Any]:
    steps = [{"emit": {"event": event}}]
    return {
        "name": f"{trigger} to {event}",
        "trigger": {"event": trigger},
        "steps": steps,
        "reentry": {"policy": "every"},
        "status": "active",
        **parts,
    }


@pytest.fixture
def past(rt: Runtime, site: str) -> None:
    """What a site reported before: twelve orders, with their total, by a visitor whose plan is known."""
    visitor_id = anonymous_visitor(site, "ann")
    now = rt.clock()
    found = [
        Event(
            message_id=f"m{number}",
            name=name,
            type="track",
            timestamp=now,
            received_at=now,
            order=number,
            anonymous_id="ann",
            properties={"total": 10, "order_id": "x"},
        )
        for number, name in enumerate(["Order Completed", "Quiz Finished"] * 12)
    ]
    counts = {"Order Completed": 12, "Quiz Finished": 12, "Newsletter Opened": 1}
    profile = Profile(
        id=visitor_id, site_id=site, first_seen=now, last_seen=now, counts=counts, traits={"plan": "free", "score": 1}
    )
    with rt.db.begin() as conn:
        visitors.save(conn, [visitors.Stored(profile, None)], [])
        bodies = [json.dumps({"event": each.name, "properties": each.properties}) for each in found]
        rows = [events.row_of(visitor_id, site, each, body) for each, body in zip(found, bodies, strict=True)]
        events.Insertion(conn, rows).repeated()


def test_every_version_is_kept_and_can_be_put_back(api: Api, site: str, as_role: Callable[..., Api], rule: str) -> None:
    address = f"/sites/{site}/rules/{rule}"
    marketer = as_role("marketer")
    for delay in ("1h", "2h", "3h"):
        assert marketer("PUT", address, {**RULE, "delay": delay}).status_code == 200
    found = api.all_items(f"{address}/versions", 3)
    assert [(each["version"], each["rule"]["delay"], each["author"], each["enrolled"]) for each in found] == [
        (4, "3h", "marketer", "keep"),
        (3, "2h", "marketer", "keep"),
        (2, "1h", "marketer", "keep"),
        (1, "30m", "administrator", "keep"),
    ]
    assert api.get(f"{address}/versions/2").json == found[2]
    for missing in ("0", "5", "x", "-1", "9" * 30):
        assert api.get(f"{address}/versions/{missing}").status_code == 404
    stale = api.post(f"{address}/versions/2/restore", {"version": 2})
    assert (stale.status_code, stale.json["code"]) == (409, "conflict")
    restored = api.post(f"{address}/versions/2/restore")
    assert (restored.status_code, restored.json["version"], restored.json["delay"]) == (200, 5, "1h")
    again = api("PUT", address, found[3]["rule"])
    assert (again.json["version"], again.json["delay"]) == (6, "30m"), "a version can be sent back as it is"
    assert api.post(f"{address}/versions/2/restore", {"enrolled": "leave"}).status_code == 422
    assert api.post(f"{address}/versions/2/restore", {"enroled": "keep"}).status_code == 422


def test_a_deleted_rule_takes_its_versions_along(api: Api, site: str, rule: str, rt: Runtime) -> None:
    address = f"/sites/{site}/rules/{rule}"
    api("PUT", address, RULE)
    api("DELETE", address)
    assert api.get(f"{address}/versions").status_code == 404
    with rt.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM rule_versions").scalar() == 0


def test_a_deleted_site_takes_the_versions_along(api: Api, site: str, rule: str, rt: Runtime) -> None:
    assert rule
    api("DELETE", f"/sites/{site}")
    with rt.db.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM rule_versions").scalar() == 0


def test_an_edit_says_what_becomes_of_those_who_are_in_it(api: Api, site: str, rule: str) -> None:
    address = f"/sites/{site}/rules/{rule}"
    for told, path in (("keep", None), ("move", None), ("drop", "enrolled"), (None, "enrolled"), ({}, "enrolled")):
        answer = api("PUT", address, {**RULE, "enrolled": told})
        if path is None:
            assert answer.json["enrolments"] == {"kept": 0, "moved": 0, "ended": 0, "moving": 0}
            assert answer.json["warnings"] == []
            assert api("PUT", address, answer.json | {"enrolled": told}).status_code == 200, "it can be sent back"
        else:
            assert answer.status_code == 422
            assert path in answer.json["errors"]


def test_a_circle_without_end_is_refused_when_it_would_close(api: Api, site: str) -> None:
    rules = f"/sites/{site}/rules"
    first = api.post(rules, emits("X", "Y")).json
    assert "warnings" not in first
    draft = api.post(rules, emits("Y", "X", status="draft"))
    assert draft.status_code == 201
    [warning] = draft.json["warnings"]
    assert warning["path"] == "trigger"
    assert "cannot be activated" in warning["message"]
    for answer in (
        api.post(rules, emits("Y", "X")),
        api.post(f"{rules}/{draft.json['id']}/activate"),
        api("PUT", f"{rules}/{draft.json['id']}", emits("Y", "X")),
        api.post(f"{rules}/validate", emits("Y", "X")),
        api("PUT", f"{rules}/{first['id']}", emits("X", "X")),
    ):
        assert answer.status_code == 422, answer.text
        [sentence] = answer.json["errors"]["trigger"]
        assert "without end" in sentence
    assert '"Y to X" → (reports X) "X to Y" → (reports Y) "Y to X"' in str(
        api.post(rules, emits("Y", "X")).json["errors"]
    )
    stands = api.get(f"{rules}/{first['id']}").json
    assert (stands["version"], stands["trigger"]) == (1, {"event": "X"}), "nothing of a refused edit stays"
    assert api.get(f"{rules}/{draft.json['id']}").json["status"] == "draft"
    slow = api.post(rules, emits("Y", "X", delay="1d", reentry={"policy": "every", "at_most": 1, "per": "7d"}))
    assert slow.status_code == 201
    assert "again and again" in slow.json["warnings"][0]["message"]


def test_rules_of_another_site_close_no_circle(api: Api, site: str, other_site: str) -> None:
    assert "warnings" not in api.post(f"/sites/{site}/rules", emits("X", "Y")).json
    assert "warnings" not in api.post(f"/sites/{other_site}/rules", emits("Y", "X")).json


def test_messages_close_a_circle_too(api: Api, site: str) -> None:
    rules = f"/sites/{site}/rules"
    every = {"reentry": {"policy": "every"}, "message": RULE["message"], "status": "active"}
    first = api.post(rules, {"name": "a", "trigger": {"event": "X"}, **every}).json["id"]
    second = api.post(rules, {"name": "b", "trigger": {"message": "sent", "rule": first}, **every}).json["id"]
    answer = api("PUT", f"{rules}/{first}", {"name": "a", "trigger": {"message": "shown", "rule": second}, **every})
    assert answer.status_code == 422
    assert '"a" → (its message sent) "b" → (its message shown) "a"' in answer.json["errors"]["trigger"][0]
    unknown = api.post(rules, {"name": "c", "trigger": {"message": "sent", "rule": "nobody"}, **every})
    assert [each["path"] for each in unknown.json["warnings"]] == ["trigger.rule"]


@pytest.mark.usefixtures("past")
def test_names_that_nobody_reported_are_told_with_the_nearest_that_somebody_did(api: Api, site: str) -> None:
    body = deepcopy(RULE) | {
        "trigger": {"event": "Quiz finished", "where": {"field": "event.properties.anything", "op": "is_set"}},
        "audience": {
            "all": [
                {"field": "profile.traits.paln", "op": "eq", "value": "free"},
                {"field": "profile.traits.score", "op": "eq", "value": 1},
                {"field": "profile.traits.email", "op": "is_set"},
                {
                    "performed": "Order Completed",
                    "where": {
                        "all": [
                            {"field": "event.properties.totl", "op": "gt", "value": 1},
                            {"field": "event.properties.total", "op": "gt", "value": 1},
                        ]
                    },
                },
                {"not": {"performed": "Newsleter Opened"}},
                {"performed": "Newsletter Opened", "where": {"field": "event.properties.rare", "op": "is_set"}},
            ]
        },
        "cancel": [{"event": "Order Complete"}],
        "goal": {"event": "Zzz"},
    }
    answer = api.post(f"/sites/{site}/rules", body)
    assert answer.status_code == 201, answer.text
    told = {each["path"]: each["message"].partition("Did you mean ")[2] for each in answer.json["warnings"]}
    assert told == {
        "trigger.event": '"Quiz Finished"?',
        "audience.all.0.field": '"plan"?',
        "audience.all.3.where.all.0.field": '"total"?',
        "audience.all.4.not.performed": '"Newsletter Opened"?',
        "cancel.0.event": '"Order Completed"?',
        "goal.event": "",
    }
    rule_id = answer.json["id"]
    for other in (
        api.post(f"/sites/{site}/rules/{rule_id}/activate"),
        api("PUT", f"/sites/{site}/rules/{rule_id}", body),
        api.get(f"/sites/{site}/rules/{rule_id}/validate"),
        api.post(f"/sites/{site}/rules/validate", body),
        api.post(f"/sites/{site}/rules/{rule_id}/versions/1/restore"),
    ):
        assert other.json["warnings"] == answer.json["warnings"]
    assert "warnings" not in api.get(f"/sites/{site}/rules/{rule_id}").json


@pytest.mark.usefixtures("past")
def test_what_rules_report_themselves_needs_no_having_been_seen(api: Api, site: str) -> None:
    steps = [
        {"set_trait": {"asked": True}},
        {"emit": {"event": "Coupon Sent"}},
        {"branch": {"if": {"field": "profile.traits.asked", "op": "eq", "value": True}, "then": []}},
        {"wait": {"events": [{"event": "Coupon Sent"}], "timeout": "1h"}},
        {"message": RULE["message"]},
    ]
    body = {"name": "r", "trigger": {"event": "Order Completed"}, "steps": steps}
    assert "warnings" not in api.post(f"/sites/{site}/rules", body).json


def test_a_new_site_is_not_told_that_it_has_seen_nothing(api: Api, site: str) -> None:
    body = {**RULE, "trigger": {"event": "Anything"}}
    assert "warnings" not in api.post(f"/sites/{site}/rules", body).json


def comparison(field: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "op": op} | ({} if value is None else {"value": value})


PRICE = "profile.cart.total"


@pytest.mark.parametrize(
    ("parts", "never"),
    [
        ([comparison("profile.stage", "eq", "cart"), comparison("profile.stage", "eq", "new")], 1),
        ([comparison("profile.stage", "eq", "cart"), comparison("profile.stage", "in", ["cart", "new"])], None),
        ([comparison("profile.stage", "in", ["new"]), comparison("profile.stage", "in", ["cart"])], 1),
        ([comparison("profile.stage", "eq", "cart"), comparison("profile.stage", "ne", "cart")], 1),
        ([comparison(PRICE, "gt", 10), comparison(PRICE, "lt", 5)], 1),
        ([comparison(PRICE, "gt", 10), comparison(PRICE, "lt", 10.5)], None),
        ([comparison(PRICE, "gte", 10), comparison(PRICE, "lte", 10)], None),
        ([comparison(PRICE, "gt", 10), comparison(PRICE, "lte", 10)], 1),
        ([comparison(PRICE, "between", [1, 5]), comparison(PRICE, "between", [6, 9])], 1),
        ([comparison(PRICE, "between", [1, 5]), comparison(PRICE, "eq", 7)], 1),
        ([comparison(PRICE, "between", [1, 5]), comparison(PRICE, "eq", 5)], None),
        ([comparison("profile.user_id", "is_set"), comparison("profile.user_id", "is_not_set")], 1),
        ([comparison("profile.user_id", "is_not_set"), comparison("profile.user_id", "ne", "x")], None),
        (
            [
                comparison("profile.first_seen", "after", "2026-02-01"),
                comparison("profile.first_seen", "before", "2026-01-01"),
            ],
            1,
        ),
        ([{"performed": "A"}, {"not": {"performed": "A"}}], 1),
        ([{"performed": "A"}, {"not": {"performed": "A", "within": "1d"}}], None),
        ([comparison("profile.traits.a", "eq", 1), comparison("profile.traits.a", "eq", True)], 1),
        ([comparison("profile.traits.a", "contains", "x"), comparison("profile.traits.a", "contains", "y")], None),
        ([{"performed": "A", "count": {"op": "lt", "value": 0}}], 0),
        ([comparison(PRICE, "gte", 99.9)], None),
        ([comparison("profile.traits.a", "gte", "2026-01-01")], None),
        ([comparison("profile.stage", "in", [1, "cart"])], None),
        ([comparison(PRICE, "ne", "99.90")], None),
    ],
)
def test_conditions_that_can_never_hold_are_told_with_their_place(
    api: Api, site: str, parts: list[Any], never: int | None
) -> None:
    def warned(**changes: Any) -> list[str]:
        answer = api.post(f"/sites/{site}/rules/validate", {**RULE, "audience": None, **changes})
        assert answer.status_code == 200, answer.text
        assert all("can never hold" in each["message"] for each in answer.json["warnings"])
        return [each["path"].removesuffix(".count") for each in answer.json["warnings"]]

    expected = [] if never is None else [never]
    assert warned(audience={"all": parts}) == [f"audience.all.{each}" for each in expected]
    inside = {"any": [comparison("profile.stage", "eq", "new"), {"all": parts}]}
    assert warned(audience=inside) == [f"audience.any.1.all.{each}" for each in expected]
    if len(parts) == 2 and parts[0].get("field"):
        steps = [{"branch": {"if": {"all": parts}, "then": [{"message": RULE["message"]}]}}]
        body = {name: value for name, value in RULE.items() if name != "message"} | {"steps": steps}
        found = api.post(f"/sites/{site}/rules/validate", {**body, "audience": None}).json["warnings"]
        assert [each["path"] for each in found] == [f"steps.0.branch.if.all.{each}" for each in expected]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (comparison(PRICE, "gte", "99.90"), 'profile.cart.total is a number, and "99.90" is a text. Write 99.90,'),
        (comparison("profile.orders.revenue", "eq", "99,90"), 'is a number, and "99,90" is a text.'),
        (comparison("profile.counts.Product Viewed", "in", ["3", "4"]), "is a number"),
        (comparison("profile.bucket", "lt", "50"), "is a number"),
        (comparison("profile.stage", "eq", 3), "profile.stage is a text, and 3 is a number."),
        (comparison("profile.consent.marketing", "eq", "true"), "is a boolean"),
        (comparison("site.operator_online", "eq", 1), "is a boolean"),
    ],
)
def test_a_value_that_a_field_never_has_is_told_money_as_text_too(
    api: Api, site: str, part: dict[str, Any], told: str
) -> None:
    answer = api.post(f"/sites/{site}/rules/validate", {**RULE, "audience": {"any": [{"performed": "A"}, part]}})
    [warning] = answer.json["warnings"]
    assert warning["path"] == "audience.any.1.value"
    assert told in warning["message"]


def test_what_stands_behind_a_stop_is_told(api: Api, site: str) -> None:
    said = {"message": RULE["message"]}
    inside = {"branch": {"if": {"performed": "A"}, "then": [{"stop": True}, said], "else": [said, {"stop": True}]}}
    rule = {key: each for key, each in RULE.items() if key != "message"} | {"steps": [inside, said]}
    answer = api.post(f"/sites/{site}/rules/validate", rule)
    assert [each["path"] for each in answer.json["warnings"]] == ["steps.0.branch.then.1"]


def test_the_trigger_and_the_audience_must_hold_together(api: Api, site: str) -> None:
    price = "event.properties.price"
    body = {
        **RULE,
        "trigger": {"event": "Product Added", "where": comparison(price, "gt", 100)},
        "audience": comparison(price, "lt", 50),
    }
    [warning] = api.post(f"/sites/{site}/rules", body).json["warnings"]
    assert warning["path"] == "audience"
    assert price in warning["message"]


def test_a_check_saves_nothing_and_finds_the_same_mistakes(api: Api, site: str) -> None:
    good = api.post(f"/sites/{site}/rules/validate", RULE)
    assert good.json["valid"] is True
    assert good.json["rule"]["reentry"] == {"policy": "once"}
    bad = {**RULE, "delay": "soon", "audience": {"all": [comparison("profile.stag", "eq", "x")]}}
    assert api.post(f"/sites/{site}/rules/validate", bad).json == api.post(f"/sites/{site}/rules", bad).json
    assert api.post(f"/sites/{site}/rules/validate", []).status_code in {400, 422}
    assert api.get(f"/sites/{site}/rules").json["items"] == []


def test_a_rule_may_be_checked_in_the_place_of_itself(api: Api, site: str) -> None:
    rule = api.post(f"/sites/{site}/rules", emits("X", "Y")).json
    turned = emits("Y", "X")
    assert api.post(f"/sites/{site}/rules/validate", turned).status_code == 422
    assert api.post(f"/sites/{site}/rules/validate", {**turned, "id": rule["id"]}).status_code == 200
