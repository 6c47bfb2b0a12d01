"""Every route of the console against every role, foreign sites, and what visitors may have written."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from backend.domain.conversation import Conversation
from backend.domain.operator import EVERY_SITE, Membership, Operator
from backend.domain.profile import Cart, CartItem, Identifier, Profile, Search
from backend.pipeline import converse, log_in
from backend.pipeline.converse import Speaker
from backend.runtime import Runtime
from backend.storage import (
    access_log,
    canned_replies,
    console_sessions,
    conversations,
    departments,
    operators,
    parts,
    visitors,
)
from backend.storage.console_sessions import form_token
from backend.web.console import shell
from tests.contract.test_api_rights import READ, RECORD

XSS = '"><img src=x onerror=alert(1)><script>alert(2)</script>'

KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
"""Of the example in RFC 8291."""

# (method, path below /console): who may, the fields of the form
ROUTES: dict[tuple[str, str], tuple[set[str], dict[str, str]]] = {
    ("GET", "/<site>/inbox"): (READ, {}),
    ("GET", "/<site>/inbox/list"): (READ, {}),
    ("POST", "/<site>/inbox/bulk"): (RECORD, {"ids": "<conversation_id>", "state": "closed"}),
    ("GET", "/<site>/inbox/<conversation_id>"): (READ, {}),
    ("GET", "/<site>/inbox/<conversation_id>/parts"): (READ, {}),
    ("GET", "/<site>/inbox/<conversation_id>/head"): (READ, {}),
    ("GET", "/<site>/inbox/<conversation_id>/canned"): (READ, {}),
    ("GET", "/<site>/inbox/<conversation_id>/products"): (READ, {}),
    ("POST", "/<site>/inbox/<conversation_id>/files"): (RECORD, {"": "Seen."}),
    ("POST", "/<site>/inbox/<conversation_id>/typing"): (RECORD, {}),
    ("POST", "/<site>/inbox/<conversation_id>/say"): (RECORD, {"body": "Hello"}),
    ("POST", "/<site>/inbox/<conversation_id>/change"): (RECORD, {"state": "closed"}),
    ("POST", "/<site>/inbox/<conversation_id>/read"): (RECORD, {"number": "1"}),
    ("GET", "/<site>/visitors/<visitor_id>/card"): (READ, {}),
    ("GET", "/<site>/visitors/<visitor_id>/happened"): (READ, {}),
    ("POST", "/<site>/push"): (RECORD, {"endpoint": "https://fcm.googleapis.com/fcm/send/x", **KEYS}),
    ("POST", "/<site>/push/off"): (READ, {"endpoint": "https://fcm.googleapis.com/fcm/send/x"}),
    ("POST", "/<site>/presence"): (RECORD, {"presence": "away"}),
}
SELF = {
    "/",
    "/login",
    "/first",
    "/invited/<text>",
    "/logout",
    "/static/<path:filename>",
    "/manifest.webmanifest",
    "/worker.js",
}
BESIDE = {"/<site>/inbox/<conversation_id>/parts/<int:number>", "/<site>/visitors/<visitor_id>/why/<rule_id>"}
"""Asked of in tests of their own."""

CASES = [pytest.param(method, path, id=f"{method} {path}") for method, path in ROUTES]


class Desk:
    """A browser in which somebody is logged in."""

    def __init__(self, app: Flask, rt: Runtime, operator: Operator) -> None:
        self.client = app.test_client()
        self.operator = operator
        with rt.db.begin() as conn:
            text = console_sessions.start(conn, rt.sites.vault, operator.id, rt.clock(), "tests")
        self.client.set_cookie("chimein-console", text)
        self.headers = {"Origin": "http://localhost", "X-CSRF-Token": form_token(rt.sites.vault, text)}

    def __call__(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> Any:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.open("/console" + path, method=method, data=fields or None, headers=sent)

    def get(self, path: str) -> Any:
        return self("GET", path)


@pytest.fixture
def desk(app: Flask, rt: Runtime, site: str) -> Callable[..., Desk]:
    """Makes an operator who is something on a site (None: on all), and logs them in."""

    def seat(role: str, site_id: str | None = site, name: str | None = None) -> Desk:
        with rt.db.begin() as conn:
            given = [Membership(site_id=EVERY_SITE if site_id is None else site_id, role=role)]
            made = operators.create(conn, f"{uuid4().hex}@shop.example", name or role, given, rt.clock())
        return Desk(app, rt, made)

    return seat


@pytest.fixture
def talk(rt: Runtime, site: str) -> Conversation:
    """A conversation with somebody who wrote markup into everything that can be filled."""
    now = rt.clock()
    address = Identifier(kind="email", value=XSS, source="form_field", page=XSS, first_seen=now, last_seen=now)
    browser = Identifier(
        kind="anonymous_id", value="ann-the-secret-browser", source="event", first_seen=now, last_seen=now
    )
    goods = CartItem(product_id=XSS, name=XSS, quantity=1, url="javascript:alert(3)")
    profile = Profile(
        id="a" * 32,
        site_id=site,
        anonymous_ids=("ann-the-secret-browser",),
        first_seen=now,
        last_seen=now,
        traits={"name": XSS, "plan": XSS, XSS: XSS},
        identifiers=(address, browser),
        stage=XSS,
        page={"url": "javascript:alert(4)", "title": XSS},
        searches=(Search(query=XSS, at=now),),
        cart=Cart(items=(goods,)),
    )
    with rt.db.begin() as conn:
        visitors.save(conn, [visitors.Stored(profile, None)], [])
        stored = rt.sites.by_id(site)
    assert stored is not None
    text = XSS + " https://shop.example/a?b=1). javascript:alert(5)"
    begun, _ = converse.start(rt, stored, profile.id, text, Speaker(None, XSS))
    attached = {"attachments": [{"id": "f", "name": XSS, "size": 1, "url": "javascript:alert(6)"}]}
    converse.say(rt, stored, begun.id, XSS, Speaker(None, XSS), content=attached)
    return converse.change(rt, stored, begun.id, {"tags": [XSS[:50]], "priority": "high"}, Speaker(None, XSS))[0]


def filled(path: str, site: str, talk: Conversation) -> str:
    for name, value in {"<site>": site, "<conversation_id>": talk.id, "<visitor_id>": talk.visitor_id}.items():
        path = path.replace(name, value)
    return path


def test_the_table_of_this_test_names_every_route_of_the_inbox(app: Flask) -> None:
    real = {
        (method, rule.rule.removeprefix("/console"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/console")
        and re.search("/inbox|/card|/happened|/push|visitor_id>/why|/presence", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {case for case in real if case[1] not in BESIDE} == set(ROUTES)


def test_every_route_of_the_console_is_guarded(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        path = rule.rule.removeprefix("/console")
        if rule.rule.startswith("/console") and path not in SELF:
            assert "right" in app.view_functions[rule.endpoint].__dict__, rule.rule


@pytest.mark.parametrize(("method", "path"), CASES)
def test_a_role_may_do_what_the_table_says_and_a_foreign_site_does_not_exist(
    method: str, path: str, desk: Callable[..., Desk], site: str, other_site: str, talk: Conversation
) -> None:
    allowed, fields = ROUTES[method, path]
    sent = {name: filled(value, site, talk) for name, value in fields.items()}
    there = filled(path, site, talk)
    for role in ("read_only", "operator", "marketer", "administrator"):
        answer = desk(role)(method, there, sent)
        assert answer.status_code == (403 if role not in allowed else answer.status_code), role
        if role in allowed:
            assert answer.status_code in {200, 201, 204, 303}, answer.text
        stranger = desk(role, other_site)
        assert stranger(method, there, sent).status_code == 404, "somebody else's site"
        mine = stranger(method, filled(path, other_site, talk), sent)
        if "<conversation_id>" in path or "<visitor_id>" in path:
            assert mine.status_code in ({404} if role in allowed else {403, 404}), (
                "somebody else's id on one's own site"
            )
    everywhere = desk("administrator", None)
    assert everywhere(method, there, sent).status_code in {200, 201, 204, 303}


@pytest.mark.parametrize(("method", "path"), [case for case in CASES if case.values[0] == "POST"])
def test_without_the_token_or_from_elsewhere_nothing_changes(
    method: str, path: str, desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    fields = {name: filled(value, site, talk) for name, value in ROUTES[method, path][1].items()}
    anna = desk("operator")
    there = filled(path, site, talk)
    assert anna(method, there, fields, X_CSRF_Token="").status_code == 403
    assert anna(method, there, fields, Origin="https://evil.example").status_code == 403
    other = desk("operator")
    assert anna(method, there, fields, X_CSRF_Token=other.headers["X-CSRF-Token"]).status_code == 403
    with rt.db.read() as conn:
        after = conversations.find(conn, site, talk.id)
    assert after == talk


def test_what_visitors_wrote_stays_text(desk: Callable[..., Desk], site: str, talk: Conversation) -> None:
    anna = desk("administrator", name=XSS.replace("@", "")[:90])
    for path in ("", f"/{talk.id}", "/list", f"/{talk.id}/parts", f"/{talk.id}/head"):
        told = anna.get(f"/{site}/inbox{path}")
        assert told.status_code == 200
        assert "onerror=alert(1)&gt;" in told.text, path
        check_inert(told.text)
    card = anna.get(f"/{site}/visitors/{talk.visitor_id}/card").text
    check_inert(card)
    assert "ann-the-secret-browser" not in card, "a browser's id opens what is kept for it"
    assert "unverified" in card
    assert "typed on" in card
    assert 'href="https://shop.example/a?b=1"' in anna.get(f"/{site}/inbox/{talk.id}/parts").text


def check_inert(text: str) -> None:
    assert "<img src=x" not in text
    assert not re.search(r"<script(?! src=\"/)", text)
    assert not re.search(r"(href|src|action|hx-get|hx-post)=[\"']?\s*javascript:", text, re.IGNORECASE)
    assert not re.search(r"<[a-z]+[^>]*\son[a-z]+\s*=", re.sub(r'"[^"]*"', '""', text)), "no inline handlers"
    assert "style=" not in text


def test_an_answer_is_said_once_in_the_name_of_who_gives_it(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    anna, bert = desk("operator", name="Anna"), desk("operator", name="Bert")
    path = f"/{site}/inbox/{talk.id}"
    for _ in range(2):
        assert anna("POST", path + "/say", {"body": "In stock.", "id": "0123456789abcdef"}).status_code == 204
    assert anna("POST", path + "/say", {"body": "Angry", "kind": "note"}).status_code == 204
    assert anna("POST", path + "/say", {"body": "  "}, HX_Request="true").json["message"] == "There is nothing in it."
    with rt.db.read() as conn:
        said = [each for each in parts.list_parts(conn, talk) if each.author_id == anna.operator.id]
    assert [(each.text, each.kind) for each in said if each.kind != "event"] == [
        ("In stock.", "message"),
        ("Angry", "note"),
    ]
    number = said[0].number
    assert "Edit" in anna.get(path).text
    assert f'data-edit="{number}"' not in bert.get(path).text
    assert bert("POST", f"{path}/parts/{number}", {"body": "x"}).status_code == 403
    assert "Again in stock." in anna("POST", f"{path}/parts/{number}", {"body": "Again in stock."}).text
    assert "Taken back" in anna("POST", f"{path}/parts/{number}", {"back": "1"}).text


def test_a_conversation_is_given_to_a_colleague_with_a_note_and_to_nobody_else(
    desk: Callable[..., Desk], rt: Runtime, site: str, other_site: str, talk: Conversation
) -> None:
    anna, bert, stranger = desk("operator", name="Anna"), desk("operator", name="Bert"), desk("operator", other_site)
    looker = desk("read_only")
    path = f"/{site}/inbox/{talk.id}/change"
    for wrong in (stranger.operator.id, looker.operator.id, "nobody"):
        assert anna("POST", path, {"assignee": wrong}).status_code == 422
    for wrong in (
        {"department": "none"},
        {"state": "gone"},
        {"priority": "x"},
        {"until": "x"},
        {"until": "2030-01-01"},
    ):
        assert anna("POST", path, wrong).status_code == 422, wrong
    with rt.db.begin() as conn:
        group = departments.create(conn, site, "Returns", rt.clock())
    head = anna("POST", path, {"assignee": bert.operator.id, "department": group.id, "note": "Please look"}).text
    assert "Bert" in head
    with rt.db.read() as conn:
        found = conversations.find(conn, site, talk.id)
        said = parts.list_parts(conn, talk)
    assert found is not None
    assert (found.assignee_id, found.department_id) == (bert.operator.id, group.id)
    assert "Please look" in [each.text for each in said if each.kind == "note"]
    views = {"mine": 1, "unassigned": 0, "all": 1, group.id: 1}
    for view, number in views.items():
        listed = bert.get(f"/{site}/inbox/list?view={view}").text
        assert listed.count('class="talk ') == number, view
        counted = listed.partition("<template>")[2]
        assert re.findall(r"(All|Mine|Unassigned|Returns)(?: <small>(\d+))?", counted) == [
            ("All", "1"),
            ("Mine", "1"),
            ("Unassigned", ""),
            ("Returns", "1"),
        ], "the tabs' numbers come along"
    assert bert.get(f"/{site}/inbox/list?state=closed").text.count('class="talk ') == 0
    assert bert.get(f"/{site}/inbox/list?q=please+LOOK").text.count('class="talk ') == 1
    log_in.disable(rt, bert.operator.id)
    with rt.db.read() as conn:
        left = conversations.find(conn, site, talk.id)
    assert left is not None
    assert left.assignee_id is None, "who is gone answers nobody"


def test_canned_replies_are_filled_in_for_the_visitor(
    desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation
) -> None:
    with rt.db.begin() as conn:
        for name, text in (("hello", "Hello {{ name }}, {{ operator.name }} here"), ("help", "{{ age }}"), ("x", "x")):
            canned_replies.create(conn, site, name, text, rt.clock())
    told = desk("operator", name="Anna").get(f"/{site}/inbox/{talk.id}/canned?q=he").json
    assert [each["shortcut"] for each in told] == ["hello", "help"]
    assert told[0] == {"shortcut": "hello", "text": f"Hello {XSS}, Anna here", "problem": None}
    assert told[1]["problem"]


def test_who_looked_at_whom_is_noted(desk: Callable[..., Desk], rt: Runtime, site: str, talk: Conversation) -> None:
    anna = desk("operator", name="Anna")
    anna.get(f"/{site}/inbox/{talk.id}")
    anna.get(f"/{site}/visitors/{talk.visitor_id}/card")
    noted = {(each.token, each.role, each.action, each.visitor) for each in access_log.waiting(rt.redis)}
    for each in (("read", talk.visitor_id), ("list", "")):
        assert (anna.operator.email, "operator", *each) in noted


def test_the_navigation_shows_what_a_role_may_see(desk: Callable[..., Desk], site: str) -> None:
    shell.entry("for-tests", "Keys of the house", "console.inbox", right="administer")
    try:
        assert "Keys of the house" in desk("administrator").get(f"/{site}/inbox").text
        assert "Keys of the house" not in desk("operator").get(f"/{site}/inbox").text
    finally:
        del shell.ENTRIES["for-tests"]
