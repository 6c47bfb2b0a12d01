"""Every route of the console, as the application lists them: what right it takes, foreign sites, forged forms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from backend.app import create_app
from backend.runtime import Runtime
from backend.storage import segments
from backend.storage.console_sessions import form_token
from backend.web.auth import ROLES
from tests.contract.conftest import Api
from tests.contract.test_console_pages import Desk, desk, talk

__all__ = ["desk", "talk"]

RIGHTS = {
    "read": """
        GET / GET /<site>/inbox GET /<site>/inbox/list GET /<site>/inbox/<conversation_id>
        GET /<site>/inbox/<conversation_id>/parts GET /<site>/inbox/<conversation_id>/head
        GET /<site>/inbox/<conversation_id>/canned GET /<site>/live GET /<site>/live/now GET /<site>/overview
        GET /<site>/overview/now GET /<site>/rules GET /<site>/rules/<rule_id> GET /<site>/rules/<rule_id>/why
        GET /<site>/segments GET /<site>/segments/<segment_id> POST /<site>/segments/count GET /<site>/settings
        GET /<site>/settings/check GET /<site>/visitors GET /<site>/visitors/<visitor_id>
        GET /<site>/visitors/<visitor_id>/card GET /<site>/visitors/<visitor_id>/export
        GET /<site>/visitors/<visitor_id>/timeline GET /<site>/visitors/<visitor_id>/why/<rule_id>
        GET /<site>/visitors/<visitor_id>/happened GET /<site>/inbox/<conversation_id>/products GET /<site>/account
        POST /<site>/account/name POST /<site>/account/password POST /<site>/account/sessions POST /<site>/push/off
        POST /<site>/account/photo
        POST /<site>/segments/check GET /<site>/settings/chat GET /<site>/settings/departments
        GET /<site>/settings/departments/<department_id> GET /<site>/settings/hours GET /<site>/settings/policy
        GET /<site>/settings/replies GET /<site>/settings/stages
    """,
    "record": """
        POST /<site>/inbox/bulk POST /<site>/inbox/<conversation_id>/change POST /<site>/inbox/<conversation_id>/read
        POST /<site>/inbox/<conversation_id>/say POST /<site>/inbox/<conversation_id>/parts/<int:number>
        POST /<site>/presence POST /<site>/visitors/<visitor_id>/chat POST /<site>/inbox/<conversation_id>/files
        POST /<site>/inbox/<conversation_id>/typing POST /<site>/push POST /<site>/settings/replies
        POST /<site>/settings/replies/<reply_id> POST /<site>/settings/replies/<reply_id>/away
    """,
    "rules": """
        GET /<site>/rules/new GET /<site>/rules/<rule_id>/edit POST /<site>/rules/<rule_id>/restore
        POST /<site>/rules/<rule_id>/state POST /<site>/rules/check POST /<site>/rules/preview POST /<site>/rules/save
        GET /<site>/rules/<rule_id>/simulate POST /<site>/rules/<rule_id>/simulate GET /<site>/segments/new
        GET /<site>/segments/<segment_id>/edit POST /<site>/segments/save POST /<site>/segments/<segment_id>/delete
    """,
    "administer": """
        POST /<site>/settings/advanced POST /<site>/settings/site POST /<site>/settings/tokens
        POST /<site>/settings/tokens/<token_id>/revoke POST /<site>/visitors/<visitor_id>/erase
        POST /<site>/settings/chat POST /<site>/settings/departments POST /<site>/settings/departments/<department_id>
        POST /<site>/settings/departments/<department_id>/close POST /<site>/settings/hours POST /<site>/settings/policy
        POST /<site>/settings/stages GET /<site>/settings/team POST /<site>/settings/team
        GET /<site>/settings/team/<operator_id> POST /<site>/settings/team/<operator_id>
        POST /<site>/settings/team/<operator_id>/access GET /<site>/settings/tokens
    """,
}
OPEN = """
    GET /login POST /login GET /first POST /first GET /invited/<text> POST /invited/<text> POST /logout
    GET /manifest.webmanifest GET /worker.js
"""
"""For whoever comes; `/static/…` too. The guard of `/` is that it asks who one is."""

FORMS: dict[str, dict[str, str]] = {
    "/inbox/bulk": {"ids": "<conversation_id>", "state": "closed"},
    "/change": {"state": "closed"},
    "/say": {"body": "Hello"},
    "/parts/<int:number>": {"body": "Changed"},
    "/read": {"number": "1"},
    "/presence": {"presence": "away"},
    "/chat": {"body": "May I help you?"},
    "/restore": {"version": "1"},
    "/state": {"status": "paused"},
    "/settings/site": {"name": "theirs", "timezone": "UTC", "currency": "EUR"},
    "/settings/advanced": {"name": "policy", "text": "{}"},
    "/settings/tokens": {"name": "theirs", "role": "administrator"},
    "/erase": {"sure": "yes"},
    "/segments/count": {"condition": "{}"},
    "/segments/save": {"name": "theirs", "text": "{}"},
    "/delete": {"sure": "yes"},
    "/settings/departments": {"name": "theirs"},
    "<department_id>": {"name": "theirs"},
    "/close": {"sure": "yes"},
    "/settings/replies": {"shortcut": "theirs", "text": "theirs"},
    "<reply_id>": {"shortcut": "theirs", "text": "theirs"},
    "/settings/team": {"name": "Theirs", "email": "theirs@x.example", "role": "administrator"},
    "<operator_id>": {"name": "Theirs", "role": "administrator"},
    "/access": {"what": "remove", "sure": "yes"},
    "/account/name": {"name": "Theirs"},
    "/account/photo": {"away": "yes"},
}
"""What is sent where it would change something, by how the address ends."""

WITHOUT_IDS = {"POST /<site>/inbox/bulk"}
"""Those that pass over what is not theirs."""


@dataclass
class There:
    """The routes, and the ids of what there is on the first site."""

    routes: list[str]
    ids: dict[str, str]

    def filled(self, text: str, **other: str) -> str:
        """An address, or a field, with its ids; a kind of id that this test does not know is a KeyError."""
        found = {f"<{name}>": value for name, value in {**self.ids, **other}.items()}
        return "/".join(found[each] if each.startswith("<") else each for each in text.split("/"))

    def ask(self, who: Desk, route: str, headers: dict[str, str] | None = None, **other: str) -> Any:
        """The answer to a request as somebody's page makes it."""
        method, path = route.split(" ")
        fields = next((form for end, form in FORMS.items() if path.endswith(end)), {"x": "y"})
        sent = {name: self.filled(value, **other) for name, value in fields.items()} if method == "POST" else None
        return who(method, self.filled(path, **other), sent, **(headers or {}))


def listed(app: Flask) -> Iterator[tuple[str, Any]]:
    for rule in app.url_map.iter_rules():
        path = rule.rule.removeprefix("/console")
        if rule.rule.startswith("/console") and not path.startswith("/static/"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield f"{method} {path}", app.view_functions[rule.endpoint]


@pytest.fixture
def there(app: Flask, api: Api, rt: Runtime, site: str, rule: str, talk: Any) -> There:
    token = api.post("/tokens", {"name": "x", "role": "operator", "site": site}).json["id"]
    group = api.post(f"/sites/{site}/segments", {"name": "List", "manual": True}).json["id"]
    sales = api.post(f"/sites/{site}/departments", {"name": "Sales"}).json["id"]
    reply = api.post(f"/sites/{site}/canned-replies", {"shortcut": "hi", "text": "Hello"}).json["id"]
    bert = {"email": "bert@shop.example", "name": "Bert", "memberships": [{"site": site, "role": "operator"}]}
    ids = {"site": site, "rule_id": rule, "segment_id": group, "token_id": token, "int:number": "1", "text": "x" * 43}
    ids |= {"conversation_id": talk.id, "visitor_id": talk.visitor_id, "department_id": sales, "reply_id": reply}
    ids |= {"operator_id": api.post("/operators", bert).json["id"]}
    return There([route for route, _ in listed(app)], ids)


def state_of(rt: Runtime, site: str, talk: Any, api: Api) -> Any:
    """All that these routes could have changed."""
    with rt.db.read() as conn:
        groups = segments.known(conn, site)
    parts = api.get(f"/sites/{site}/conversations/{talk.id}/parts").json["items"]
    about = [api.get(f"/sites/{site}{path}").json for path in ("", "/rules", f"/conversations/{talk.id}", "/visitors")]
    return [parts, about, groups, api.get("/tokens").json, api.get("/operators").json["items"]]


def test_the_table_of_this_test_names_every_route_and_its_right(app: Flask) -> None:
    told = {name: {f"{method} {path}" for method, path in _pairs(text)} for name, text in RIGHTS.items()}
    found: dict[str, set[str]] = {name: set() for name in RIGHTS}
    free = set()
    for route, view in listed(app):
        right = view.__dict__.get("right")
        if route == "GET /":
            right = "read"
        if right is None:
            free.add(route)
        else:
            found[right].add(route)
    assert found == told
    assert free == {f"{method} {path}" for method, path in _pairs(OPEN)}


def test_what_live_adds_to_the_console_is_its_stream(app: Flask, rt: Runtime) -> None:
    beside = create_app(rt.settings, "live", rt)
    assert [route for route, _ in listed(beside)] == ["GET /<site>/stream"]


def _pairs(text: str) -> list[tuple[str, str]]:
    words = text.split()
    return list(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("role", ["read_only", "operator", "marketer", "administrator"])
def test_nobody_does_more_than_their_role_may_nor_anything_on_a_foreign_site(
    role: str, there: There, desk: Callable[..., Desk], rt: Runtime, site: str, other_site: str, talk: Any, api: Api
) -> None:
    stranger, mine = desk(role, other_site), desk(role)
    before = state_of(rt, site, talk, api)
    for right, text in RIGHTS.items():
        for method, path in _pairs(text):
            route = f"{method} {path}"
            if "<site>" not in path:
                continue
            assert there.ask(stranger, route).status_code == 404, f"{route} of a foreign site"
            nowhere = there.ask(stranger, route, site="0" * 32)
            assert nowhere.status_code == 404, f"{route} of no site"
            if "_id>" in path and right in ROLES[role]:
                # `erase` is not even reached without somebody to erase; `why` asks for the visitor by name.
                answer = there.ask(stranger, route, site=other_site)
                assert answer.status_code == 404, f"{route}: a foreign id on one's own site"
            if right not in ROLES[role]:
                assert there.ask(mine, route).status_code == 403, f"{route} is too much for {role}"
    for route in WITHOUT_IDS:
        there.ask(stranger, route, site=other_site)
    assert state_of(rt, site, talk, api) == before


def test_whoever_is_not_logged_in_sees_the_login_and_changes_nothing(
    app: Flask, there: There, desk: Callable[..., Desk], rt: Runtime, site: str, talk: Any, api: Api
) -> None:
    desk("administrator", None)  # so that there is somebody who could log in
    before = state_of(rt, site, talk, api)
    client = app.test_client()
    for route, view in listed(app):
        method, path = route.split(" ")
        if "right" not in view.__dict__:
            continue
        answer = client.open("/console" + there.filled(path), method=method)
        if method == "GET":
            assert "/console/login" in answer.headers["Location"], route
        else:
            assert answer.status_code == 403, route
    assert state_of(rt, site, talk, api) == before


def test_no_form_of_the_console_can_be_sent_from_elsewhere_or_without_its_token(
    app: Flask, there: There, desk: Callable[..., Desk], rt: Runtime, site: str, talk: Any, api: Api
) -> None:
    anna, other = desk("administrator", None), desk("administrator", None)
    before = state_of(rt, site, talk, api)
    forged = [
        {"X_CSRF_Token": ""},
        {"X_CSRF_Token": "0" * 64},
        {"X_CSRF_Token": other.headers["X-CSRF-Token"]},
        {"X_CSRF_Token": form_token(rt.sites.vault, "")},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ]
    for route in there.routes:
        if route.startswith("GET "):
            continue
        for headers in forged:
            answer = there.ask(anna, route, headers)
            assert answer.status_code == 403, (route, headers)
    assert state_of(rt, site, talk, api) == before
    assert anna.get(f"/{site}/inbox").status_code == 200, "still logged in"
