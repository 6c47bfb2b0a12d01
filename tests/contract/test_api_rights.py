"""Every route of the API against every role, and against the ids of somebody else's site (I14)."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from backend.domain.profile import Identifier, Profile
from backend.runtime import Runtime
from backend.storage import merges, visitors, webhooks
from backend.storage.tables import memberships, operators
from tests.contract.conftest import RULE, SEGMENT, Api
from tests.contract.test_api_webhooks import a_webhook

READ = {"read_only", "operator", "marketer", "administrator"}
RECORD = {"operator", "marketer", "administrator"}
RULES = {"marketer", "administrator"}
ADMINISTER = {"administrator"}

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (64).to_bytes(4) * 2 + bytes(60)

BROWSER: dict[str, object] = {
    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc",
    "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    },
    "operator": "f" * 32,
}

# (method, path below /api/v1): who may, what is sent
ROUTES: dict[tuple[str, str], tuple[set[str], object]] = {
    ("GET", "/sites"): (READ, None),
    ("POST", "/sites"): (ADMINISTER, {"name": "new"}),
    ("GET", "/sites/<site>"): (READ, None),
    ("PATCH", "/sites/<site>"): (ADMINISTER, {"currency": "EUR"}),
    ("DELETE", "/sites/<site>"): (ADMINISTER, None),
    ("GET", "/sites/<site>/rules"): (READ, None),
    ("POST", "/sites/<site>/rules"): (RULES, RULE),
    ("POST", "/sites/<site>/rules/import"): (RULES, {"rules": [RULE], "dry_run": True}),
    ("GET", "/sites/<site>/rules/<rule_id>"): (READ, None),
    ("PUT", "/sites/<site>/rules/<rule_id>"): (RULES, RULE),
    ("DELETE", "/sites/<site>/rules/<rule_id>"): (RULES, None),
    ("POST", "/sites/<site>/rules/<rule_id>/activate"): (RULES, None),
    ("POST", "/sites/<site>/rules/<rule_id>/pause"): (RULES, None),
    ("POST", "/sites/<site>/rules/<rule_id>/archive"): (RULES, None),
    ("GET", "/sites/<site>/rules/<rule_id>/explain"): (READ, None),
    ("POST", "/sites/<site>/rules/validate"): (RULES, RULE),
    ("GET", "/sites/<site>/rules/<rule_id>/validate"): (READ, None),
    ("GET", "/sites/<site>/rules/<rule_id>/enrolments"): (READ, None),
    ("GET", "/sites/<site>/rules/<rule_id>/versions"): (READ, None),
    ("GET", "/sites/<site>/rules/<rule_id>/versions/<version>"): (READ, None),
    ("POST", "/sites/<site>/rules/<rule_id>/versions/<version>/restore"): (RULES, {"enrolled": "move"}),
    ("POST", "/sites/<site>/rules/<rule_id>/trigger"): (RULES, {"user_id": "ann"}),
    ("GET", "/sites/<site>/rules/<rule_id>/report"): (READ, None),
    ("GET", "/sites/<site>/report"): (READ, None),
    ("GET", "/sites/<site>/segments"): (READ, None),
    ("POST", "/sites/<site>/segments"): (RULES, SEGMENT),
    ("GET", "/sites/<site>/segments/<segment_id>"): (READ, None),
    ("PUT", "/sites/<site>/segments/<segment_id>"): (RULES, {"name": "List", "manual": True}),
    ("DELETE", "/sites/<site>/segments/<segment_id>"): (RULES, None),
    ("GET", "/sites/<site>/segments/<segment_id>/visitors"): (READ, None),
    ("POST", "/sites/<site>/segments/<segment_id>/members"): (RULES, {"visitors": ["a" * 32]}),
    ("DELETE", "/sites/<site>/segments/<segment_id>/members"): (RULES, {"visitors": ["a" * 32]}),
    ("POST", "/sites/<site>/segments/preview"): (READ, {"condition": SEGMENT["condition"]}),
    ("POST", "/sites/<site>/simulations"): (RULES, {"rule": RULE}),
    ("GET", "/sites/<site>/visitors"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>"): (READ, None),
    ("DELETE", "/sites/<site>/visitors/<visitor_id>"): (ADMINISTER, None),
    ("PATCH", "/sites/<site>/visitors/<visitor_id>/traits"): (RULES, {"set": {"plan": "pro"}}),
    ("GET", "/sites/<site>/catalogue/properties"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>/events"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>/messages"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>/enrolments"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>/export"): (READ, None),
    ("GET", "/sites/<site>/visitors/<visitor_id>/consent"): (READ, None),
    ("PUT", "/sites/<site>/visitors/<visitor_id>/consent"): (RECORD, {"marketing": False}),
    ("GET", "/sites/<site>/access-log"): (ADMINISTER, None),
    ("GET", "/sites/<site>/privacy"): (READ, None),
    ("POST", "/sites/<site>/visitors/<visitor_id>/identifiers"): (RULES, {"kind": "email", "value": "a@b.example"}),
    ("POST", "/sites/<site>/visitors/<visitor_id>/identifiers/confirm"): (RULES, {"value": "a@b.example"}),
    ("POST", "/sites/<site>/visitors/<visitor_id>/merge"): (RULES, {"with": "b" * 32}),
    ("GET", "/sites/<site>/visitors/<visitor_id>/merges"): (READ, None),
    ("POST", "/sites/<site>/visitors/<visitor_id>/merges/<merge_id>/undo"): (RULES, None),
    ("GET", "/sites/<site>/funnel"): (READ, None),
    ("POST", "/sites/<site>/segments/<segment_id>/import"): (RULES, b"email\njo@shop.example\n"),
    ("GET", "/sites/<site>/segments/<segment_id>/export"): (READ, None),
    ("GET", "/sites/<site>/messages"): (READ, None),
    ("GET", "/sites/<site>/conversations"): (READ, None),
    ("POST", "/sites/<site>/conversations"): (RECORD, {"visitor": "a" * 32, "body": "May I help you?"}),
    ("GET", "/sites/<site>/conversations/<conversation_id>"): (READ, None),
    ("PATCH", "/sites/<site>/conversations/<conversation_id>"): (RECORD, {"state": "closed"}),
    ("GET", "/sites/<site>/conversations/<conversation_id>/parts"): (READ, None),
    ("POST", "/sites/<site>/conversations/<conversation_id>/parts"): (RECORD, {"body": "It is."}),
    ("PATCH", "/sites/<site>/conversations/<conversation_id>/parts/<int:number>"): (RECORD, {"body": "It was."}),
    ("DELETE", "/sites/<site>/conversations/<conversation_id>/parts/<int:number>"): (RECORD, None),
    ("POST", "/sites/<site>/conversations/<conversation_id>/read"): (RECORD, {"number": 1}),
    ("GET", "/sites/<site>/desk"): (READ, None),
    ("GET", "/sites/<site>/presence"): (READ, None),
    ("PUT", "/sites/<site>/presence"): (RECORD, {"operator": "f" * 32, "presence": "away"}),
    ("GET", "/sites/<site>/conversations/report"): (READ, None),
    ("GET", "/sites/<site>/conversations/export"): (READ, None),
    ("GET", "/sites/<site>/conversations/<conversation_id>/export"): (READ, None),
    ("GET", "/sites/<site>/hooks"): (RULES, None),
    ("POST", "/sites/<site>/hooks"): (RULES, {"url": "https://shop.example/hook"}),
    ("PATCH", "/sites/<site>/hooks/<hook_id>"): (RULES, {"active": False}),
    ("DELETE", "/sites/<site>/hooks/<hook_id>"): (RULES, None),
    ("GET", "/sites/<site>/push/key"): (READ, None),
    ("POST", "/sites/<site>/push/subscriptions"): (RECORD, BROWSER),
    ("DELETE", "/sites/<site>/push/subscriptions"): (RECORD, {"endpoint": BROWSER["endpoint"]}),
    ("POST", "/sites/<site>/conversations/<conversation_id>/attachments"): (RECORD, b"a text"),
    ("POST", "/sites/<site>/conversations/<conversation_id>/typing"): (RECORD, None),
    ("GET", "/sites/<site>/departments/<department_id>/desk"): (READ, None),
    ("PUT", "/sites/<site>/departments/<department_id>/desk"): (ADMINISTER, {"routing": "manual"}),
    ("GET", "/sites/<site>/webhooks"): (READ, None),
    ("POST", "/sites/<site>/webhooks/<webhook_id>/retry"): (RULES, None),
    ("GET", "/sites/<site>/products"): (READ, None),
    ("POST", "/sites/<site>/products"): (RULES, [{"id": "k-17", "stock": 3}]),
    ("GET", "/sites/<site>/products/<path:product_id>"): (READ, None),
    ("PUT", "/sites/<site>/products/<path:product_id>"): (RULES, {"name": "Kettle"}),
    ("DELETE", "/sites/<site>/products/<path:product_id>"): (RULES, None),
    ("GET", "/sites/<site>/feeds"): (READ, None),
    ("POST", "/sites/<site>/feeds"): (RULES, {"url": "https://shop.example/feed.xml"}),
    ("GET", "/sites/<site>/feeds/<feed_id>"): (READ, None),
    ("DELETE", "/sites/<site>/feeds/<feed_id>"): (RULES, None),
    ("POST", "/sites/<site>/feeds/<feed_id>/fetch"): (RULES, None),
    ("GET", "/sites/<site>/departments"): (READ, None),
    ("POST", "/sites/<site>/departments"): (ADMINISTER, {"name": "Returns"}),
    ("PATCH", "/sites/<site>/departments/<department_id>"): (ADMINISTER, {"name": "Repairs"}),
    ("DELETE", "/sites/<site>/departments/<department_id>"): (ADMINISTER, None),
    ("GET", "/sites/<site>/canned-replies"): (READ, None),
    ("POST", "/sites/<site>/canned-replies"): (RECORD, {"shortcut": "bye", "text": "Goodbye!"}),
    ("PATCH", "/sites/<site>/canned-replies/<reply_id>"): (RECORD, {"text": "Hi!"}),
    ("DELETE", "/sites/<site>/canned-replies/<reply_id>"): (RECORD, None),
    ("GET", "/operators"): (ADMINISTER, None),
    ("POST", "/operators"): (
        ADMINISTER,
        {"email": "new@shop.example", "name": "New", "memberships": [{"site": "shop", "role": "operator"}]},
    ),
    ("GET", "/operators/<operator_id>"): (ADMINISTER, None),
    ("PATCH", "/operators/<operator_id>"): (ADMINISTER, {"name": "Berta"}),
    ("DELETE", "/operators/<operator_id>"): (ADMINISTER, None),
    ("PUT", "/operators/<operator_id>/photo"): (ADMINISTER, PNG),
    ("DELETE", "/operators/<operator_id>/photo"): (ADMINISTER, None),
    ("GET", "/tokens"): (ADMINISTER, None),
    ("POST", "/tokens"): (ADMINISTER, {"name": "mine", "role": "operator"}),
    ("DELETE", "/tokens/<token_id>"): (ADMINISTER, None),
    ("GET", "/rule-templates"): (READ, None),
    ("GET", "/status"): (READ, None),
}
THINGS = "rule|visitor|webhook|segment|feed|hook|conversation|department|reply"
CASES = [pytest.param(method, path, id=f"{method} {path}") for method, path in ROUTES]


@pytest.fixture
def visitor(rt: Runtime, site: str) -> str:
    """Somebody with an address; `b…` is somebody else, and `c…` was merged into the first."""
    made = [Profile(id=each * 32, site_id=site, last_seen=rt.clock(), first_seen=rt.clock()) for each in "abc"]
    address = Identifier(
        kind="email", value="a@b.example", source="form_field", first_seen=rt.clock(), last_seen=rt.clock()
    )
    first = replace(made[0], anonymous_ids=("ann",), identifiers=(address,), members=("c" * 32,))
    with rt.db.begin() as conn:
        rows = [visitors.Stored(first, None), visitors.Stored(made[1], None), visitors.Stored(made[2], "a" * 32)]
        visitors.save(conn, rows, [])
        merge = {"visitor_id": "a" * 32, "member_id": "c" * 32, "site_id": site, "source": "api", "message_id": ""}
        merges.record(conn, [merges.Merge(id="d" * 32, at=rt.clock(), **merge)])
    return "a" * 32


@pytest.fixture
def webhook(rt: Runtime, site: str, rule: str, visitor: str) -> str:
    promised = a_webhook(rt, site, rule, visitor)
    with rt.db.begin() as conn:
        webhooks.insert(conn, [promised])
    return promised.id


@pytest.fixture(autouse=True)
def operator(rt: Runtime, site: str) -> str:
    """Somebody who works on the first site."""
    made = {"id": "f" * 32, "email": "o@shop.example", "name": "O", "created_at": 0, "updated_at": 0}
    with rt.db.begin() as conn:
        conn.execute(operators.insert().values(**made))
        conn.execute(memberships.insert().values(operator_id=made["id"], site_id=site, role="operator"))
    return "f" * 32


@pytest.fixture
def address(api: Api, site: str, rule: str, visitor: str, webhook: str) -> Callable[[str], str]:
    token = api.post("/tokens", {"name": "x", "role": "operator", "site": site}).json["id"]
    group = api.post(f"/sites/{site}/segments", {"name": "List", "manual": True}).json["id"]
    ids = {"<site>": site, "<rule_id>": rule, "<visitor_id>": visitor, "<token_id>": token, "<version>": "1"}
    feed = api.post(f"/sites/{site}/feeds", {"url": "https://shop.example/feed.xml"}).json["id"]
    assert api("PUT", f"/sites/{site}/products/k/17", {"name": "Kettle"}).status_code == 200
    ids |= {"<webhook_id>": webhook, "<segment_id>": group, "<merge_id>": "d" * 32}
    begun = api.post(f"/sites/{site}/conversations", {"visitor": visitor, "body": "May I help you?"}).json
    ids |= {"<conversation_id>": begun["conversation"]["id"], "<int:number>": "1"}
    hook = api.post(f"/sites/{site}/hooks", {"url": "https://shop.example/hook"}).json["id"]
    ids |= {"<hook_id>": hook, "<feed_id>": feed, "<path:product_id>": "k/17"}
    told = {"email": "bert@shop.example", "name": "Bert", "memberships": [{"site": site, "role": "operator"}]}
    ids |= {"<operator_id>": api.post("/operators", told).json["id"]}
    ids |= {"<department_id>": api.post(f"/sites/{site}/departments", {"name": "Sales"}).json["id"]}
    reply = api.post(f"/sites/{site}/canned-replies", {"shortcut": "hello", "text": "Hello!"}).json
    ids |= {"<reply_id>": reply["id"]}
    ids |= {"<feed_id>": feed, "<path:product_id>": "k/17"}

    def filled(path: str, **other: str) -> str:
        for name, value in {**ids, **other}.items():
            path = path.replace(name, value)
        asked = {"explain": f"?visitor={visitor}", "attachments": "?name=a.txt"}
        return path + asked.get(path.rpartition("/")[2], "")

    return filled


def test_the_table_of_this_test_names_every_route(app: Flask) -> None:
    real = {
        (method, rule.rule.removeprefix("/api/v1"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert real == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), CASES)
@pytest.mark.parametrize("role", ["read_only", "operator", "marketer", "administrator"])
def test_a_role_may_do_what_the_table_says_and_nothing_else(
    method: str, path: str, role: str, address: Callable[[str], str], as_role: Callable[..., Api]
) -> None:
    allowed, body = ROUTES[method, path]
    answer = as_role(role)(method, address(path), body)
    if role in allowed:
        # 409: the rule of this test starts by an event, not by the API; but that was seen.
        assert answer.status_code in {200, 201, 202, 204} | ({409} if path.endswith("/trigger") else set()), answer.text
    else:
        assert answer.status_code == 403
        assert answer.json["code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), CASES)
def test_without_a_token_nothing_is_answered(method: str, path: str, address: Callable[[str], str], api: Api) -> None:
    body = ROUTES[method, path][1]
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic abc"}):
        answer = Api(api.client, None)(method, address(path), body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert set(answer.json) == {"code", "status", "message", "errors"}


@pytest.mark.parametrize(("method", "path"), [case for case in CASES if "<site>" in case.values[1]])
def test_a_site_that_is_not_yours_does_not_exist(
    method: str, path: str, address: Callable[[str], str], as_role: Callable[..., Api], other_site: str
) -> None:
    stranger = as_role("administrator", other_site)
    body = ROUTES[method, path][1]
    missing = stranger(method, address(path, **{"<site>": "0" * 32}), body)
    foreign = stranger(method, address(path), body)
    assert missing.status_code == foreign.status_code == 404
    assert missing.json == foreign.json


@pytest.mark.parametrize(
    ("method", "path"),
    [case for case in CASES if re.search(f"<({THINGS})_id>", case.values[1])],
)
def test_the_ids_of_another_site_are_unknown_on_your_own(
    method: str, path: str, address: Callable[[str], str], as_role: Callable[..., Api], other_site: str
) -> None:
    own = as_role("administrator", other_site)(method, address(path, **{"<site>": other_site}), ROUTES[method, path][1])
    assert own.status_code == 404
    assert own.json["code"] == "not_found"


def test_a_token_of_one_site_reaches_that_site_only(
    as_role: Callable[..., Api], api: Api, site: str, other_site: str
) -> None:
    own = as_role("administrator", site)
    assert [each["id"] for each in own.get("/sites").json["items"]] == [site]
    assert {each["id"] for each in api.get("/sites").json["items"]} == {site, other_site}
    assert own.post("/sites", {"name": "mine too"}).status_code == 403
    assert own.post("/tokens", {"name": "wider", "role": "administrator"}).status_code == 403
    assert own.post("/tokens", {"name": "theirs", "role": "operator", "site": other_site}).status_code == 404
    assert own.post("/tokens", {"name": "mine", "role": "operator", "site": "shop"}).json["site_id"] == site
    assert {each["site_id"] for each in own.get("/tokens").json["items"]} == {site}


def test_an_administrator_of_one_site_manages_who_is_something_there(
    api: Api, as_role: Callable[..., Api], site: str, other_site: str
) -> None:
    def invite(email: str, *where: str | None) -> dict[str, object]:
        given = [{"site": each, "role": "operator"} for each in where]
        answer = api.post("/operators", {"email": email, "name": "Somebody", "memberships": given})
        assert answer.status_code == 201, answer.text
        return answer.json  # type: ignore[no-any-return]

    here, both = invite("here@shop.example", site), invite("both@shop.example", site, other_site)
    there, all_over = invite("there@shop.example", other_site), invite("all@shop.example", None)
    own = as_role("administrator", site)
    listed = {each["id"]: each for each in own.get("/operators").json["items"]}
    assert set(listed) - {"f" * 32} == {here["id"], both["id"], all_over["id"]}
    assert [each["site_id"] for each in listed[both["id"]]["memberships"]] == [site], "nothing of other sites"
    for hidden in (there, all_over):
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            assert own(method, f"/operators/{hidden['id']}", body).status_code == 404
    for body in ({"name": "x"}, {"disabled": True}, {"reset": True}):
        assert own("PATCH", f"/operators/{both['id']}", body).status_code == 403
    for hidden, status in ((there, 404), (all_over, 404), (both, 403), (here, 200)):
        assert own("PUT", f"/operators/{hidden['id']}/photo", PNG).status_code == status
    assert own("DELETE", f"/operators/{both['id']}/photo").status_code == 403
    raised = {"memberships": [{"site": None, "role": "administrator"}]}
    assert own("PATCH", f"/operators/{here['id']}", raised).status_code == 403
    foreign = {"memberships": [{"site": other_site, "role": "operator"}]}
    assert own("PATCH", f"/operators/{here['id']}", foreign).status_code == 404
    assert own("DELETE", f"/operators/{both['id']}").status_code == 204
    left = api.get(f"/operators/{both['id']}").json
    assert ([each["site_id"] for each in left["memberships"]], left["disabled_at"]) == ([other_site], None)
    assert own("DELETE", f"/operators/{here['id']}").status_code == 204
    assert api.get(f"/operators/{here['id']}").json["disabled_at"] is not None
    again = {"email": "HERE@shop.example", "name": "x", "memberships": [{"site": site, "role": "operator"}]}
    assert own.post("/operators", again).json["id"] == here["id"], "removed, and invited again"
    assert own.post("/operators", again).status_code == 409


def test_a_conversation_is_given_to_operators_of_its_site_only(
    api: Api, site: str, other_site: str, address: Callable[[str], str]
) -> None:
    given = [{"site": other_site, "role": "operator"}]
    stranger = api.post("/operators", {"email": "x@shop.example", "name": "X", "memberships": given}).json["id"]
    path = address("/sites/<site>/conversations/<conversation_id>")
    for wrong in ({"assignee_id": stranger}, {"assignee_id": "nobody"}, {"department_id": "none"}):
        assert api("PATCH", path, wrong).status_code == 422, wrong
    mine = api.get("/operators").json["items"][0]["id"]
    assert api("PATCH", path, {"assignee_id": mine}).json["assignee_id"] == mine


def test_a_foreign_token_cannot_be_revoked(api: Api, as_role: Callable[..., Api], site: str, other_site: str) -> None:
    theirs = api.post("/tokens", {"name": "x", "role": "operator", "site": other_site}).json
    everywhere = api.post("/tokens", {"name": "x", "role": "operator"}).json
    for each in (theirs, everywhere):
        assert as_role("administrator", site)("DELETE", f"/tokens/{each['id']}").status_code == 404
    assert Api(api.client, theirs["token"]).get("/sites").status_code == 200


@pytest.mark.parametrize("role", ["read_only", "operator", "marketer", "administrator"])
def test_only_administrators_see_the_secret_key(role: str, as_role: Callable[..., Api], site: str) -> None:
    asking = as_role(role)
    for answer in (asking.get(f"/sites/{site}").json, asking.get("/sites").json["items"][0]):
        assert ("secret_key" in answer) == ("webhook_secret" in answer) == (role == "administrator")
        assert answer["write_key"].startswith("chi_pub_")
