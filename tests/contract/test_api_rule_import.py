"""Rules as code through the API: imported as a whole, found again, and never changed for nothing."""

import gzip
import json
from copy import deepcopy
from typing import Any

import pytest

from backend.domain.rule.exchange import exported
from backend.domain.segment_exchange import exported_segments, from_file, names_of
from backend.runtime import Runtime
from backend.storage.segments import load_segments
from tests.contract.conftest import RULE, Api

ABOUT = {**RULE, "name": "After the click", "trigger": {"message": "clicked", "rule": "cart-left"}}


def named(name: str, **more: Any) -> dict[str, Any]:
    return {**deepcopy(RULE), "name": name, **more}


@pytest.fixture
def bring(api: Api, site: str) -> Any:
    def call(*rules: Any, at: str = site, **options: Any) -> Any:
        answer = api.post(f"/sites/{at}/rules/import", {"rules": list(rules), **options})
        assert answer.status_code == 200, answer.text
        return answer.json

    return call


@pytest.fixture
def stored(api: Api, site: str) -> Any:
    return lambda at=site: api.all_items(f"/sites/{at}/rules", 200)


def actions(plan: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["name"]) for each in plan["changes"]]


def test_what_was_exported_changes_nothing(api: Api, site: str, bring: Any, stored: Any) -> None:
    keyed = api.post(f"/sites/{site}/rules", named("Keyed", key="cart-left", status="active", delay="0s")).json
    api.post(f"/sites/{site}/rules", ABOUT | {"trigger": {"message": "clicked", "rule": keyed["id"]}})
    for _ in range(2):
        api.post(f"/sites/{site}/rules", named("Twice", priority=3))
    before = stored()
    files = exported(before, {})
    assert {each["trigger"].get("rule") for each in files} == {None, "cart-left"}, "named by its key, not by its id"
    plan = bring(*files)
    assert plan["summary"] == {"new": 0, "changed": 0, "same": 4, "only_there": 0, "archived": 0}
    assert plan["applied"]
    assert stored() == before


def test_a_site_elsewhere_gets_the_same_rules_and_gets_them_once(
    bring: Any, stored: Any, other_site: str, api: Api, site: str
) -> None:
    first = bring(named("Cart", key="cart-left", status="active"), ABOUT, named("Plain"))
    assert actions(first) == [("new", "Cart"), ("new", "After the click"), ("new", "Plain")]
    files = exported(stored(), {})
    assert bring(*files, at=other_site)["summary"]["new"] == 3
    assert bring(*files, at=other_site)["summary"]["same"] == 3
    there = {each["name"]: each for each in stored(other_site)}
    assert there["After the click"]["trigger"]["rule"] == there["Cart"]["id"]
    assert not {each["id"] for each in there.values()} & {each["id"] for each in stored()}
    assert exported(stored(other_site), {}) == [{**each, "id": there[each["name"]]["id"]} for each in files]


def test_a_change_is_told_field_by_field_and_raises_the_version_once(bring: Any, stored: Any) -> None:
    bring(named("Cart", key="cart-left"))
    changed = named("Cart left", key="cart-left", delay="45m", status="active")
    changed["audience"]["all"][1]["not"]["within"] = "7d"
    changed["message"]["variants"].append({"name": "B", "content": {"title": "B", "body": "…"}})
    for dry in (True, False):
        plan = bring(changed, dry_run=dry)
        assert plan["applied"] is not dry
        (change,) = plan["changes"]
        told = {".".join(map(str, each["path"])): (each["old"], each["new"]) for each in change["fields"]}
        assert told == {
            "status": ("draft", "active"),
            "name": ("Cart", "Cart left"),
            "delay": ("30m", "45m"),
            "audience.all.1.not.within": ("30d", "7d"),
            "message.variants.1": (None, {"name": "B", "content": {"title": "B", "body": "…"}}),
        }
        (rule,) = stored()
        assert (rule["version"], rule["name"]) == ((1, "Cart") if dry else (2, "Cart left"))
    assert bring(changed)["summary"]["same"] == 1


def test_the_status_of_the_file_is_applied_and_is_no_new_version(bring: Any, stored: Any) -> None:
    bring(named("A", status="active"), named("B"))
    bring(named("A", status="paused"), named("B", status="active"), keep_status=True)
    assert [(each["status"], each["version"]) for each in stored()] == [("active", 1), ("draft", 1)]
    bring(named("A", status="paused"), named("B"))
    assert [(each["status"], each["version"]) for each in stored()] == [("paused", 1), ("draft", 1)]
    assert bring(named("C", status="active"), keep_status=True)["changes"][0]["status"] == "draft"


def test_what_is_only_there_stays_unless_it_is_pruned_and_is_never_deleted(bring: Any, stored: Any) -> None:
    bring(named("A", status="active"), named("B", status="active"))
    assert actions(bring(named("A"))) == [("same", "A"), ("only_there", "B")]
    assert [each["status"] for each in stored()] == ["active", "active"]
    assert actions(bring(named("A"), prune=True, dry_run=True)) == [("same", "A"), ("archived", "B")]
    assert actions(bring(named("A"), prune=True)) == [("same", "A"), ("archived", "B")]
    assert [each["status"] for each in stored()] == ["active", "archived"]
    assert actions(bring(named("A"), prune=True)) == [("same", "A")]
    back = bring(named("A"), named("B", status="active"))
    assert back["changes"][1]["fields"] == [{"path": ["status"], "old": "archived", "new": "active"}]


def test_a_rule_is_found_by_key_then_by_id_then_by_name(bring: Any, stored: Any) -> None:
    bring(named("A", key="a"), named("B"), named("C"))
    a, b, c = stored()
    plan = bring(
        named("Renamed", key="a"),
        named("B renamed", id=b["id"]),
        named("C", key="c"),
        named("D", key="d", id=a["id"]),
    )
    assert [each["action"] for each in plan["changes"]] == ["changed", "changed", "changed", "new"]
    assert [each["id"] for each in plan["changes"]][:3] == [a["id"], b["id"], c["id"]]
    assert [(each["name"], each["key"]) for each in stored()] == [
        ("Renamed", "a"),
        ("B renamed", None),
        ("C", "c"),
        ("D", "d"),
    ]
    assert bring(named("C"))["changes"][0]["action"] == "same", "a file without the key leaves the key alone"


def test_rules_may_be_about_one_another_before_they_are_there(bring: Any, stored: Any) -> None:
    first = named("First", trigger={"message": "clicked", "rule": "Second"})
    second = named("Second", id="id-of-elsewhere", trigger={"message": "clicked", "rule": "First"})
    third = named("Third", trigger={"message": "clicked", "rule": "id-of-elsewhere"})
    bring(first, second, third)
    ids = {each["name"]: each["id"] for each in stored()}
    assert [each["trigger"]["rule"] for each in stored()] == [ids["Second"], ids["First"], ids["Second"]]
    assert bring(first, second, third)["summary"]["same"] == 3


@pytest.mark.parametrize(
    ("rules", "path", "sentence"),
    [
        ([named("A"), named("B", delay="soon")], "rules.1.delay", "Not a duration. Write it like 30s, 15m, 2h or 7d."),
        ([named("A", status="live")], "rules.0.status", "Expected one of draft, active, paused, archived."),
        ([named("A", key="Not A Key")], "rules.0.key", "A key is 1 to 100 small letters"),
        ([named("A", id=5)], "rules.0.id", "Expected text."),
        (["A"], "rules.0._schema", "A rule is an object"),
        ([named("A"), named("A")], "rules.1.name", 'Another rule here has the name "A". Give each a key.'),
        ([named("A", key="k"), named("B", key="k")], "rules.1.key", 'Another rule here has the key "k".'),
        ([named("A", id="i"), named("B", id="i")], "rules.1.id", "Take the id out of the copy."),
        ([named("Old")], "rules.0.name", "2 rules of the site are named so: say which by its id, or give each a key."),
        ([ABOUT, named("Carts left", key="carts-left")], "rules.0.trigger.rule", 'Did you mean "carts-left"?'),
    ],
)
def test_where_one_is_wrong_nothing_is_written(
    api: Api, site: str, stored: Any, rules: list[Any], path: str, sentence: str
) -> None:
    for _ in range(2):
        api.post(f"/sites/{site}/rules", named("Old"))
    before = stored()
    answer = api.post(f"/sites/{site}/rules/import", {"rules": [named("New"), *rules], "prune": True})
    assert answer.status_code == 422, answer.text
    node = answer.json["errors"]
    first, place, *rest = path.split(".")
    for step in (first, str(int(place) + 1), *rest):
        node = node[step]
    assert sentence in node[0]
    assert stored() == before


def test_a_key_belongs_to_one_rule_of_a_site(api: Api, site: str, other_site: str) -> None:
    assert api.post(f"/sites/{site}/rules", named("A", key="k")).status_code == 201
    twin = api.post(f"/sites/{site}/rules", named("B", key="k"))
    assert (twin.status_code, twin.json["errors"]) == (409, {"key": ["Is taken by another rule of this site."]})
    assert api.post(f"/sites/{other_site}/rules", named("A", key="k")).status_code == 201
    other = api.post(f"/sites/{site}/rules", named("B")).json
    assert api("PUT", f"/sites/{site}/rules/{other['id']}", named("B", key="k")).status_code == 409
    assert api("PUT", f"/sites/{site}/rules/{other['id']}", named("B", key="l")).json["key"] == "l"


def test_many_rules_travel_packed(api: Api, site: str) -> None:
    rules = [named(f"Rule {number}", key=f"rule-{number}") for number in range(1_500)]
    body = gzip.compress(json.dumps({"rules": rules}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    def send(data: bytes, **other: str) -> Any:
        return api("POST", f"/sites/{site}/rules/import", data=data, headers={**headers, **other})

    assert send(body).json["summary"]["new"] == 1_500
    assert send(body).json["summary"]["same"] == 1_500
    bomb = gzip.compress(b'{"rules": [' + b" " * 9_000_000 + b"]}")
    assert send(bomb).status_code == 413
    assert (send(b"no gzip").status_code, send(body[:-9]).status_code) == (400, 400)
    assert send(body, **{"Content-Encoding": "br"}).status_code == 415
    many = gzip.compress(json.dumps({"rules": [{}] * 2_001}).encode())
    assert send(many).json["errors"] == {"rules": ["At most 2000 rules at a time."]}


def test_a_template_becomes_a_rule_with_its_parameters(api: Api, site: str) -> None:
    listed = api.get("/rule-templates").json["items"]
    assert [each["id"] for each in listed][:2] == ["welcome", "search-without-result"]
    cart = next(each for each in listed if each["id"] == "cart-left")
    assert api.post(f"/sites/{site}/rules", cart["rule"]).status_code == 201
    body = {"template": "cart-left", "parameters": {"delay": "1h", "holdout": 0}, "name": "Mine", "status": "active"}
    rule = api.post(f"/sites/{site}/rules", body).json
    assert (rule["name"], rule["status"], rule["delay"], rule["message"]["holdout"]) == ("Mine", "active", "1h", 0)
    assert "template" not in rule
    for wrong, path, sentence in (
        ({"template": "cart-lefd"}, "template", 'There is no template "cart-lefd". Did you mean "cart-left"?'),
        ({"template": 5}, "template", "There are welcome"),
        ({**body, "parameters": {"delay": "soon"}}, "parameters", "Not a duration"),
        ({**body, "parameters": [1]}, "parameters", "Expected an object"),
        ({**body, "audience": {"all": 1}}, "audience", "Expected a list"),
        ({**RULE, "parameters": {}}, "parameters", "Unknown key"),
    ):
        answer = api.post(f"/sites/{site}/rules", wrong)
        assert answer.status_code == 422, answer.text
        assert sentence in json.dumps(answer.json["errors"][path]).replace('\\"', '"')


def test_a_circle_without_end_and_a_webhook_into_the_house_are_refused_as_when_saved_alone(
    api: Api, site: str, bring: Any, stored: Any
) -> None:
    def round_about(name: str, other: str, **more: Any) -> dict[str, Any]:
        told = named(name, trigger={"message": "sent", "rule": other}, reentry={"policy": "every"}, **more)
        return {key: value for key, value in told.items() if key not in {"audience", "delay", "cancel"}}

    circle = [round_about("One", "Two", status="active"), round_about("Two", "One", status="active")]
    inside = [{"webhook": {"url": "http://127.0.0.1/x"}}]
    webhook = {key: value for key, value in named("Hook", steps=inside).items() if key != "message"}
    for options in ({"dry_run": True}, {}):
        refused = api.post(f"/sites/{site}/rules/import", {"rules": [named("New"), *circle], **options})
        assert refused.status_code == 422, refused.text
        assert set(refused.json["errors"]["rules"]) == {"1", "2"}
        assert "without end" in refused.json["errors"]["rules"]["1"]["trigger"][0]
        refused = api.post(f"/sites/{site}/rules/import", {"rules": [named("New"), webhook], **options})
        assert refused.status_code == 422, refused.text
        assert refused.json["errors"]["rules"]["1"]["steps"]["0"]["webhook"]["url"]
    assert stored() == []
    paused = bring(*(rule | {"status": "paused"} for rule in circle))
    assert paused["summary"]["new"] == 2


def test_an_import_is_a_version_like_any_other(api: Api, site: str, bring: Any, stored: Any) -> None:
    bring(named("Cart", key="cart"))
    bring(named("Cart", key="cart", delay="2h"))
    bring(named("Cart", key="cart", delay="2h", status="active"))
    (rule,) = stored()
    versions = api.get(f"/sites/{site}/rules/{rule['id']}/versions").json["items"]
    assert [each["version"] for each in versions] == [2, 1]
    assert {each["enrolled"] for each in versions} == {"keep"}
    bring(named("Cart", key="cart", delay="3h", status="active"), enrolled="move")
    bring(named("Cart", key="cart", delay="3h", status="paused"), enrolled="move")
    versions = api.get(f"/sites/{site}/rules/{rule['id']}/versions").json["items"]
    assert [(each["version"], each["enrolled"]) for each in versions] == [(3, "move"), (2, "keep"), (1, "keep")]
    refused = api.post(f"/sites/{site}/rules/import", {"rules": [named("Cart")], "enrolled": "end"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["enrolled"])


BOUGHT = {"name": "Bought lately", "condition": {"performed": "Order Completed", "within": "30d"}}
REGULARS = {"name": "Regulars", "condition": {"all": [{"segment": "Bought lately"}, {"segment": "Friends"}]}}
FRIENDS = {"name": "Friends", "manual": True}
FOR_REGULARS = {**RULE, "audience": {"any": [{"segment": "Regulars"}, {"not": {"segment": "Regulars"}}]}}


def segment_actions(plan: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["action"], each["name"]) for each in plan["segments"]]


def test_segments_come_with_the_rules_that_ask_for_them_and_come_once(
    bring: Any, stored: Any, api: Api, site: str, other_site: str
) -> None:
    for dry in (True, False):
        plan = bring(FOR_REGULARS, segments=[REGULARS, BOUGHT, FRIENDS], dry_run=dry)
        assert segment_actions(plan) == [("new", "Regulars"), ("new", "Bought lately"), ("new", "Friends")]
        assert len(api.all_items(f"/sites/{site}/segments", 10)) == (0 if dry else 3)
    segments = api.all_items(f"/sites/{site}/segments", 10)
    assert [each["name"] for each in segments] == ["Regulars", "Bought lately", "Friends"], "in the order given"
    ids = {each["name"]: each["id"] for each in segments}
    again = bring(FOR_REGULARS, segments=[REGULARS, BOUGHT, FRIENDS])
    assert {each["action"] for each in again["segments"]} == {"same"}
    assert again["summary"]["same"] == 1
    assert api.all_items(f"/sites/{site}/segments", 10) == segments, "not touched, so that nobody is asked anew"
    rules = exported(stored(), names_of(segments))
    files = exported_segments(rules, [*segments, {"id": "x", "name": "Nobody asks for it", "condition": {"any": []}}])
    assert [each["segment"] for each in files] == ["Bought lately", "Friends", "Regulars"]
    there = bring(*rules, at=other_site, segments=list(map(from_file, files)))
    assert there["summary"]["new"] == len(rules)
    assert {each["action"] for each in there["segments"]} == {"new"}
    assert not {each["id"] for each in there["segments"]} & set(ids.values())


def test_a_segment_by_its_id_and_by_its_name_is_the_same(bring: Any, stored: Any, api: Api, site: str) -> None:
    bring(segments=[BOUGHT, FRIENDS])
    ids = {each["name"]: each["id"] for each in api.all_items(f"/sites/{site}/segments", 10)}
    by_id = {"name": "Regulars", "condition": {"all": [{"segment": ids["Bought lately"]}, {"segment": ids["Friends"]}]}}
    regulars = api.post(f"/sites/{site}/segments", by_id).json
    told = {
        **{key: value for key, value in RULE.items() if key != "message"},
        "trigger": {"broadcast": {"segment": regulars["id"]}},
        "audience": {"all": [{"segment": ids["Friends"]}, {"not": {"segment": ids["Friends"]}}]},
        "steps": [
            {"branch": {"if": {"segment": regulars["id"]}, "then": [{"stop": True}]}},
            {"webhook": {"url": "https://shop.example/", "body": {"segment": regulars["id"]}}},
        ],
    }
    assert api.post(f"/sites/{site}/rules", told).status_code == 201
    segments = api.all_items(f"/sites/{site}/segments", 10)
    (rule,) = exported(stored(), names_of(segments))
    assert rule["trigger"]["broadcast"]["segment"] == "Regulars"
    assert rule["audience"]["all"] == [{"segment": "Friends"}, {"not": {"segment": "Friends"}}]
    assert rule["steps"][0]["branch"]["if"] == {"segment": "Regulars"}
    assert rule["steps"][1]["webhook"]["body"] == {"segment": regulars["id"]}, "what is said to others stays as it is"
    files = exported_segments([rule], segments)
    plan = bring(rule, segments=list(map(from_file, files)))
    assert (plan["summary"]["same"], {each["action"] for each in plan["segments"]}) == (1, {"same"})


def test_a_changed_segment_is_told_by_its_fields_and_only_its_condition_asks_everybody_anew(
    bring: Any, api: Api, site: str, rt: Runtime
) -> None:
    bring(segments=[BOUGHT, FRIENDS])
    revisions = []
    for changed in ({**BOUGHT, "description": "Of late"}, {**BOUGHT, "condition": {"performed": "Order Completed"}}):
        plan = bring(segments=[changed, FRIENDS])
        assert segment_actions(plan) == [("changed", "Bought lately"), ("same", "Friends")]
        with rt.db.read() as connection:
            found = {each.spec.name: each for each in load_segments(connection)[site]}
            revisions.append(found["Bought lately"].revision)
    assert revisions[0] == 1, "nothing but its description"
    assert revisions[1] > 2
    assert plan["segments"][0]["fields"] == [
        {"path": ["description"], "old": "Of late", "new": ""},
        {"path": ["condition", "within"], "old": "30d", "new": None},
    ]


@pytest.mark.parametrize(
    ("segments", "path", "sentence"),
    [
        (["x"], "segments.0._schema", "A segment is an object"),
        ([{"name": "A"}], "segments.0.condition", "A segment needs a condition"),
        ([BOUGHT, {**BOUGHT}], "segments.1.name", 'Another segment here has the name "Bought lately".'),
        ([{"name": "A", "condition": {"segment": "B"}}], "segments.0.condition.segment", 'There is no segment "B".'),
        (
            [
                {"name": "A", "condition": {"not": {"segment": "B"}}},
                {"name": "B", "condition": {"segment": "A"}},
            ],
            "segments.0.condition.not.segment",
            'A segment cannot ask for itself: "A" asks for "B" asks for "A".',
        ),
        ([{"name": "A", "condition": {"segment": " A"}}], "segments.0.condition.segment", "There is no segment"),
        ([{"name": " A ", "condition": {"segment": "A"}}], "segments.0.condition.segment", "cannot ask for itself"),
        ([{"name": "List", "condition": {"performed": "x"}}], "segments.0.manual", "A list kept by hand stays one"),
        ([{"name": "0" * 32, "manual": True}], "segments.0.name", "A name must not look like an id."),
        ([{"name": 5, "manual": True}], "segments.0.name", "Expected one line of text."),
    ],
)
def test_where_a_segment_is_wrong_nothing_is_written(
    api: Api, site: str, segments: list[Any], path: str, sentence: str
) -> None:
    api.post(f"/sites/{site}/segments", {"name": "List", "manual": True})
    new = {"name": "New", "manual": True}
    answer = api.post(f"/sites/{site}/rules/import", {"rules": [named("R")], "segments": [*segments, new]})
    assert answer.status_code == 422, answer.text
    node = answer.json["errors"]
    for step in path.split("."):
        node = node[step]
    assert sentence in node[0]
    assert [each["name"] for each in api.all_items(f"/sites/{site}/segments", 10)] == ["List"]
    assert api.all_items(f"/sites/{site}/rules", 10) == []
