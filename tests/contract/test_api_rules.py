"""Rules: written down, replaced, switched on and off; and nothing that cannot work gets in."""

from copy import deepcopy
from typing import Any

import pytest

from backend.domain.rule import Rule
from backend.domain.rule.parse import KEYS
from backend.pipeline.seed import seed_demo
from backend.runtime import Runtime
from backend.schemas.rule import RuleOut
from backend.storage import rules as stored_rules
from backend.web.demo import ready_rules
from tests.contract.conftest import RULE, Api


def test_a_new_rule_is_a_draft_with_its_defaults_filled_in(api: Api, site: str) -> None:
    answer = api.post(f"/sites/{site}/rules", RULE)
    assert answer.status_code == 201, answer.text
    rule = answer.json
    assert (rule["status"], rule["version"], rule["priority"]) == ("draft", 1, 0)
    assert rule["category"] == "promotional"
    assert rule["reentry"] == {"policy": "once"}
    assert rule["created_at"] == rule["updated_at"]
    assert rule["created_at"].endswith("Z")
    for name in ("name", "trigger", "audience", "delay", "cancel"):
        assert rule[name] == RULE[name]
    assert api.get(f"/sites/shop/rules/{rule['id']}").json == rule


def test_a_rule_can_be_born_active(api: Api, site: str, rt: Runtime) -> None:
    answer = api.post(f"/sites/{site}/rules", {**RULE, "status": "active"})
    assert (answer.status_code, answer.json["status"]) == (201, "active")
    with rt.db.read() as conn:
        loaded = stored_rules.load_rules(conn)
    assert [(each.id, each.status) for each in loaded] == [(answer.json["id"], "active")]


def test_a_rule_moves_through_its_statuses(api: Api, site: str, rule: str, rt: Runtime) -> None:
    address = f"/sites/{site}/rules/{rule}"
    for verb, status, known in (
        ("activate", "active", True),
        ("activate", "active", True),
        ("pause", "paused", True),
        ("activate", "active", True),
        ("archive", "archived", False),
    ):
        answer = api.post(f"{address}/{verb}")
        assert (answer.status_code, answer.json["status"], answer.json["version"]) == (200, status, 1)
        with rt.db.read() as conn:
            assert [each.id for each in stored_rules.load_rules(conn)] == ([rule] if known else [])


def test_what_was_read_can_be_sent_back(api: Api, site: str, rule: str) -> None:
    address = f"/sites/{site}/rules/{rule}"
    api.post(f"{address}/activate")
    before = api.get(address).json
    answer = api("PUT", address, {**before, "delay": "45m"})
    assert answer.status_code == 200, answer.text
    assert (answer.json["version"], answer.json["delay"], answer.json["status"]) == (2, "45m", "active")
    assert answer.json["updated_at"] > before["updated_at"]
    assert answer.json["created_at"] == before["created_at"]


def test_of_two_who_edit_at_once_the_second_is_told(api: Api, site: str, rule: str) -> None:
    address = f"/sites/{site}/rules/{rule}"
    seen = api.get(address).json
    assert api("PUT", address, {**seen, "delay": "1h"}).status_code == 200
    late = api("PUT", address, {**seen, "delay": "2h"})
    assert (late.status_code, late.json["code"]) == (409, "conflict")
    assert api.get(address).json["delay"] == "1h"


def test_a_replaced_rule_keeps_nothing_of_the_old_one(api: Api, site: str, rule: str) -> None:
    without = {name: value for name, value in RULE.items() if name not in {"audience", "cancel", "delay"}}
    replaced = api("PUT", f"/sites/{site}/rules/{rule}", without).json
    assert (replaced["audience"], replaced["cancel"], replaced["delay"]) == (None, [], "0s")


def test_a_deleted_rule_is_gone(api: Api, site: str, rule: str) -> None:
    address = f"/sites/{site}/rules/{rule}"
    assert api("DELETE", address).status_code == 204
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/activate")):
        assert api(method, address + path, RULE if method == "PUT" else None).status_code == 404


def test_the_list_of_rules_comes_in_pages_and_by_status(api: Api, site: str) -> None:
    ids = [api.post(f"/sites/{site}/rules", {**RULE, "name": f"rule {number}"}).json["id"] for number in range(6)]
    for rule_id in ids[::2]:
        api.post(f"/sites/{site}/rules/{rule_id}/activate")
    for limit in (1, 2, 6, 7):
        assert [each["id"] for each in api.all_items(f"/sites/{site}/rules", limit)] == ids
        assert [each["id"] for each in api.all_items(f"/sites/{site}/rules?status=active", limit)] == ids[::2]
    assert api.get(f"/sites/{site}/rules?status=live").status_code == 422


def mistaken(path: str, value: Any) -> dict[str, Any]:
    """The rule with another value at this path; `…` takes it away."""
    rule = deepcopy(RULE)
    node: Any = rule
    *way, last = path.split(".")
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node[step]
    if value is ...:
        del node[last]
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
    return rule


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("name", ..., "name"),
        ("trigger", ..., "trigger"),
        ("message", ..., "message"),
        ("delay", "soon", "delay"),
        ("delay", 30, "delay"),
        ("priority", "high", "priority"),
        ("category", "spam", "category"),
        ("trigger.event", "", "trigger.event"),
        ("trigger.where", {"field": "event.properties.price", "op": "gte"}, "trigger.where.value"),
        ("audience.all.0.op", "equals", "audience.all.0.op"),
        ("audience.all.0.field", "stage", "audience.all.0.field"),
        ("audience.all.1.not.within", "1 month", "audience.all.1.not.within"),
        ("cancel.0.event", ..., "cancel.0.event"),
        ("message.channels", [], "message.channels"),
        ("message.channels.0", "pigeon", "message.channels.0"),
        ("message.variants", [], "message.variants"),
        ("message.variants.0.content.title", "{{ first_name", "message.variants.0.content.title"),
        (
            "message.variants.0.content.title",
            ("message.variants.0.content.body", "{{ (1..1000000000) | join }}", "message.variants.0.content.body"),
            "message.variants.0.content",
        ),
        ("message.variants.0.weight", -1, "message.variants.0.weight"),
        ("reentry", {"policy": "sometimes"}, "reentry.policy"),
        ("colour", "red", "colour"),
        ("status", "live", "status"),
        ("version", "1", "version"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_path_of_the_mistake(
    api: Api, site: str, rule: str, path: str, value: Any, where: str
) -> None:
    body = mistaken(path, value)
    for method, address in (("POST", f"/sites/{site}/rules"), ("PUT", f"/sites/{site}/rules/{rule}")):
        answer = api(method, address, body)
        assert answer.status_code == 422, answer.text
        node = answer.json["errors"]
        for step in where.split("."):
            assert step in node, answer.json["errors"]
            node = node[step]
        assert node
    assert len(api.get(f"/sites/{site}/rules").json["items"]) == 1


def test_the_stamp_changes_with_every_change(api: Api, site: str, rt: Runtime) -> None:
    last = ""

    def look() -> None:
        nonlocal last
        with rt.db.read() as conn:
            stamp = stored_rules.stamp(conn)
            assert stamp == stored_rules.stamp(conn)
        assert stamp != last
        last = stamp

    look()
    rule = api.post(f"/sites/{site}/rules", RULE).json["id"]
    look()
    for verb in ("activate", "pause", "activate"):
        api.post(f"/sites/{site}/rules/{rule}/{verb}")
        look()
    api("PUT", f"/sites/{site}/rules/{rule}", {**RULE, "delay": "1h"})
    look()
    other = api.post(f"/sites/{site}/rules", RULE).json["id"]
    look()
    api("DELETE", f"/sites/{site}/rules/{other}")
    look()
    api("PATCH", f"/sites/{site}", {"currency": "EUR"})
    look()
    api.post("/sites", {"name": "another"})
    look()
    api("DELETE", "/sites/another")
    rt.clock.now = rt.clock.now.replace(year=2001)  # type: ignore[attr-defined]  # the clock is set back
    api.post(f"/sites/{site}/rules/{rule}/pause")
    look()


def test_a_rule_that_can_no_longer_be_read_stops_no_other(
    api: Api, site: str, rt: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    good = api.post(f"/sites/{site}/rules", {**RULE, "status": "active"}).json["id"]
    bad = api.post(f"/sites/{site}/rules", {**RULE, "status": "active"}).json["id"]
    with rt.db.begin() as conn:
        conn.exec_driver_sql('UPDATE rules SET document = \'{"name": "?"}\' WHERE id = ?', (bad,))
    with rt.db.read() as conn:
        loaded = stored_rules.load_rules(conn)
    assert [each.id for each in loaded if isinstance(each, Rule)] == [good]
    assert bad in caplog.text
    assert api.post(f"/sites/{site}/rules/{bad}/activate").status_code == 422
    assert api.get(f"/sites/{site}/rules").status_code == 200


def test_the_demo_site_is_made_once_and_stays_as_its_owner_left_it(api: Api, rt: Runtime) -> None:
    assert seed_demo(rt, ready_rules())
    demo = api.get("/sites/demo").json
    assert demo["write_key"] == "demo"
    rules = api.get("/sites/demo/rules").json["items"]
    assert [each["status"] for each in rules] == ["active"] * 3
    api("DELETE", f"/sites/demo/rules/{rules[0]['id']}")
    api.post(f"/sites/demo/rules/{rules[1]['id']}/pause")
    api("PATCH", "/sites/demo", {"currency": "EUR"})
    assert not seed_demo(rt, ready_rules())
    assert not seed_demo(rt, ready_rules(), again=True)
    assert api.get("/sites/demo").json == {**demo, "currency": "EUR"}
    assert [each["status"] for each in api.get("/sites/demo/rules").json["items"]] == ["paused", "active"]


def test_a_deleted_demo_site_comes_back_only_when_asked_for(api: Api, rt: Runtime, site: str) -> None:
    assert not seed_demo(rt, ready_rules())
    assert api.get("/sites/demo").status_code == 404
    assert seed_demo(rt, ready_rules(), again=True)
    assert api.get("/sites/demo").status_code == 200


def test_everything_that_a_rule_can_say_is_answered() -> None:
    assert set(KEYS) <= set(RuleOut().fields)
