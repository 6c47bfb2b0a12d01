"""The console's pages: who may see which, of whose site, and that nothing which a visitor says does anything there."""

import json
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pytest

from backend.domain.operator import Membership
from backend.domain.segment import parse_segment
from backend.pipeline import access
from backend.storage import (
    access_log,
    canned_replies,
    console_sessions,
    conversations,
    departments,
    operators,
    rules,
    segments,
    tokens,
    visitors,
)
from backend.storage.console_sessions import form_token
from backend.storage.sites import create_site, new_site
from backend.web.console import site_pages
from tests.core_fixtures import POPUP, Shop, call, identify, popup_rule, redis_url, shop, sqlite_template, sqlite_url

__all__ = ["redis_url", "shop", "sqlite_template", "sqlite_url"]

COOKIE = "chimein-console"
READ = {"read_only", "operator", "marketer", "administrator"}
RECORD = READ - {"read_only"}
RULES = {"marketer", "administrator"}
ADMINISTER = {"administrator"}

# endpoint: who may, and what is sent where it changes something
PAGES: dict[str, tuple[set[str], dict[str, str] | None]] = {
    "live": (READ, None),
    "live_now": (READ, None),
    "start_chat": (RECORD, {"body": "May I help you?"}),
    "visitors": (READ, None),
    "visitor": (READ, None),
    "timeline": (READ, None),
    "export_visitor": (READ, None),
    "erase_visitor": (ADMINISTER, {}),  # without the tick it changes nothing
    "segments": (READ, None),
    "segment": (READ, None),
    "count_condition": (READ, {"condition": '{"performed": "Product Added"}'}),
    "rules": (READ, None),
    "rule": (READ, None),
    "rule_state": (RULES, {"status": "paused"}),
    "rule_restore": (RULES, {"version": "1"}),
    "rule_why": (READ, None),
    "rule_new": (RULES, None),
    "rule_edit": (RULES, None),
    "rule_check": (RULES, {"rule": "{}"}),
    "rule_preview": (RULES, {"rule": "{}"}),
    "rule_save": (RULES, {"rule": "{}"}),
    "overview": (READ, None),
    "overview_now": (READ, None),
    "segment_new": (RULES, None),
    "segment_edit": (RULES, None),
    "segment_check": (READ, {"whole": '{"condition": {"performed": "Product Added"}}', "count": "on"}),
    "segment_save": (RULES, {"whole": "{}"}),
    "segment_delete": (RULES, {}),  # without the tick it changes nothing
    "rule_simulate": (RULES, None),
    "simulate_rule": (RULES, {"since": "2026-01-01", "until": "2026-12-31"}),
    "settings": (READ, None),
    "check": (READ, None),
    "settings_site": (ADMINISTER, {"name": "shop", "timezone": "UTC", "currency": "USD"}),
    "settings_advanced": (ADMINISTER, {"name": "policy", "text": "{}"}),
    "team": (ADMINISTER, None),
    "invite_operator": (ADMINISTER, {"name": "Bert", "email": "not one"}),
    "operator": (ADMINISTER, None),
    "change_operator": (ADMINISTER, {"name": "Bert", "role": "operator", "capacity": "5"}),
    "operator_access": (ADMINISTER, {"do": "nothing"}),
    "departments": (READ, None),
    "open_department": (ADMINISTER, {"name": ""}),
    "department": (READ, None),
    "change_department": (ADMINISTER, {"name": "Returns"}),
    "close_department": (ADMINISTER, {}),
    "hours": (READ, None),
    "change_hours": (ADMINISTER, {"hours": "always"}),
    "chat": (READ, None),
    "change_chat": (ADMINISTER, {}),
    "replies": (READ, None),
    "can_reply": (RECORD, {"shortcut": ""}),
    "change_reply": (RECORD, {"shortcut": "hello", "text": "Hello!"}),
    "throw_reply_away": (RECORD, {}),
    "stages": (READ, None),
    "save_stages": (ADMINISTER, {"whole": "{}"}),
    "policy": (READ, None),
    "change_policy": (ADMINISTER, {"holdout": "0"}),
    "tokens": (ADMINISTER, None),
    "new_token": (ADMINISTER, {"name": "x", "role": "read_only"}),
    "revoke_token": (ADMINISTER, {}),
    "account": (READ, None),
    "account_name": (READ, {"name": "Anna"}),
    "account_photo": (READ, {"away": "yes"}),
    "account_password": (READ, {}),
    "end_sessions": (READ, {}),
}
VARIANT = {"name": "A", "content": {"title": "Dear {{ first_name }}, {{ product.name }}", "body": "Hello"}}
PAYLOAD = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}"


@dataclass
class Desk:
    """A browser in which somebody is logged in, and the ids of what there is on the site."""

    shop: Shop
    text: str
    site: str
    ids: dict[str, str]

    def address(self, endpoint: str) -> tuple[str, str]:
        """The method of a page and its address."""
        app = self.shop.client.application
        rule = next(each for each in app.url_map.iter_rules() if each.endpoint == f"console.{endpoint}")
        path = re.sub(r"<(\w+)>", lambda found: self.ids.get(found[1], self.site), rule.rule)
        return ("POST" if "POST" in (rule.methods or ()) else "GET"), path

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Any:
        """A request as this browser sends it, its forms with their token."""
        client = self.shop.client
        client.set_cookie(COOKIE, self.text)
        token = form_token(self.shop.rt.sites.vault, self.text)
        data = None if form is None else {"csrf_token": token, **form}
        return client.open(path, method=method, data=data, headers={"Origin": "http://localhost", **headers})

    def get(self, path: str, **headers: str) -> Any:
        """The page at this path of the site."""
        return self.ask("GET", f"/console/{self.site}{path}", **headers)

    def post(self, path: str, **form: str) -> Any:
        """What a form of the site at this path is answered."""
        return self.ask("POST", f"/console/{self.site}{path}", form)


def sit_down(shop: Shop, role: str, site_id: str | None = None) -> Desk:
    """Somebody of this role on the shop's site, or on another one, logged in."""
    rt = shop.rt
    with rt.db.begin() as connection:
        given = [Membership(site_id=site_id or shop.site.id, role=role)]
        made = operators.create(connection, f"{role}-{site_id}@shop.example", "Anna", given, rt.clock())
        text = console_sessions.start(connection, rt.sites.vault, made.id, rt.clock(), "tests")
    return Desk(shop, text, shop.site.id, {})


@pytest.fixture
def known(shop: Shop) -> dict[str, str]:
    """The ids of a visitor, a rule, a segment and a token."""
    rule_id = shop.rule(popup_rule("Product Added", name="Cart left"))
    with shop.rt.db.begin() as connection:
        made = segments.create_segment(
            connection, shop.site.id, parse_segment({"name": "Buyers", "manual": True}), shop.clock()
        )
        token, _ = tokens.create_token(
            connection, shop.rt.sites.vault, name="x", role="operator", site_id=shop.site.id, now=shop.clock()
        )
        given = [Membership(site_id=shop.site.id, role="operator")]
        bert = operators.create(connection, "bert@shop.example", "Bert", given, shop.clock())
        group = departments.create(connection, shop.site.id, "Returns", shop.clock())
        reply = canned_replies.create(connection, shop.site.id, "hello", "Hello!", shop.clock())
    shop.send(call("Product Added", {"product_id": "p", "name": "Lamp", "price": 10}))
    return {
        "visitor_id": shop.profile().id,
        "rule_id": rule_id,
        "segment_id": made.id,
        "token_id": token.id,
        "operator_id": bert.id,
        "department_id": group.id,
        "reply_id": reply.id,
        "site": shop.site.id,
    }


def test_every_page_about_a_site_stands_in_the_table() -> None:
    assert set(site_pages._KEYS) == set(PAGES)


@pytest.mark.parametrize("role", sorted(READ))
def test_each_page_lets_in_the_roles_that_may_see_it_and_nobody_else(
    shop: Shop, known: dict[str, str], role: str
) -> None:
    desk = replace(sit_down(shop, role), ids=known)
    for endpoint, (may, form) in PAGES.items():
        if endpoint in ("close_department", "throw_reply_away"):
            continue  # last: what they take away, others of this table ask for
        method, path = desk.address(endpoint)
        status = desk.ask(method, path, form).status_code
        assert status == 403 if role not in may else status in {200, 303}, (endpoint, status)
    for endpoint in ("close_department", "throw_reply_away"):
        assert desk.ask(*desk.address(endpoint), {}).status_code == (303 if role in PAGES[endpoint][0] else 403)


def test_somebody_of_another_site_finds_no_page_of_this_one_and_nothing_of_it_under_their_own(
    shop: Shop, known: dict[str, str]
) -> None:
    with shop.rt.db.begin() as connection:
        theirs = create_site(connection, shop.rt.sites.vault, new_site("other"), shop.clock()).site.id
    desk = sit_down(shop, "administrator", theirs)
    for site_id in (shop.site.id, theirs):
        here = replace(desk, site=site_id, ids={**known, "site": site_id})
        for endpoint, (_, form) in PAGES.items():
            if site_id == theirs and not (site_pages._KEYS[endpoint] and endpoint != "erase_visitor"):
                continue  # a page about their own site, with nothing of ours in its address
            method, path = here.address(endpoint)
            answer = here.ask(method, path, form)
            if endpoint == "rule_why" and site_id == theirs:
                path += f"?visitor={known['visitor_id']}"
                answer = here.ask(method, path, form)
            assert answer.status_code == 404, (site_id == theirs, endpoint, answer.status_code)
    erased = replace(desk, site=theirs).post(f"/visitors/{known['visitor_id']}/erase", sure="yes")
    assert erased.status_code == 404
    assert shop.profile().id == known["visitor_id"]


def test_who_is_not_logged_in_is_sent_to_the_login_and_a_form_without_its_token_is_refused(
    shop: Shop, known: dict[str, str]
) -> None:
    stranger = Desk(shop, "", shop.site.id, known)
    for endpoint, (_, form) in PAGES.items():
        method, path = stranger.address(endpoint)
        shop.client.delete_cookie(COOKIE)
        answer = shop.client.open(path, method=method, data=form)
        if method == "GET":
            assert (answer.status_code, "/console/login" in answer.headers["Location"]) == (302, True), endpoint
        else:
            assert answer.status_code == 403, endpoint
    desk = sit_down(shop, "administrator")
    path = f"/console/{shop.site.id}/visitors/{known['visitor_id']}/erase"
    assert desk.ask("POST", path, {"csrf_token": "0" * 64, "sure": "yes"}).status_code == 403
    assert shop.profile().id == known["visitor_id"]


class Tags(HTMLParser):
    """What a page would do: its scripts, its handlers, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def test_nothing_that_a_visitor_says_does_anything_on_any_page(shop: Shop, known: dict[str, str]) -> None:
    shop.rule(popup_rule("Product Added", name=PAYLOAD))
    evil = "javascript:alert(1)//" + PAYLOAD
    page = {"title": PAYLOAD, "url": evil, "path": "/" + PAYLOAD, "referrer": evil}
    told = {PAYLOAD: PAYLOAD, "name": PAYLOAD, "first_name": PAYLOAD, "email": "a@shop.example", "url": evil}
    item = {"product_id": PAYLOAD, "name": PAYLOAD, "price": 5, "url": evil, "image_url": evil}
    campaign = {"source": PAYLOAD, "name": PAYLOAD}
    shop.send(
        {"type": "page", "messageId": "m1", "anonymousId": "ann", "properties": page, "context": {"page": page}},
        call("Product Added", item, context={"page": page, "campaign": campaign, "userAgent": PAYLOAD}),
        call("Products Searched", {"query": PAYLOAD}),
        call("Form Field Filled", {"form": PAYLOAD, "field": PAYLOAD, "value": "+43 660 1234567", "page": evil}),
        call(PAYLOAD, told),
        call("Live Chat Message Sent", {"message_body": PAYLOAD}),
        identify(PAYLOAD, told),
    )
    desk = replace(sit_down(shop, "administrator"), ids={**known, "visitor_id": shop.profile().id})
    for endpoint, (_, form) in PAGES.items():
        if endpoint == "export_visitor" or form is not None:
            continue
        for query in ("", f"?visitor={desk.ids['visitor_id']}", "?q=" + PAYLOAD.replace("&", "%26")):
            method, path = desk.address(endpoint)
            answer = desk.ask(method, path + query)
            assert answer.mimetype == "text/html", endpoint
            tags = Tags()
            tags.feed(answer.text)
            assert "49" not in re.findall(r"'(\d+)", answer.text), endpoint  # no template ran what was said
            for tag, attributes in tags.found:
                assert tag != "img" or attributes.get("src", "").startswith("/assets/"), endpoint
                assert tag != "script" or attributes.get("src", "").startswith("/console/"), endpoint
                assert not [name for name in attributes if name.startswith("on")], endpoint
                leads = [attributes.get(name, "") for name in ("href", "action", "src", "hx-get", "hx-post")]
                assert all(each.startswith(("", "/", "#")) and "javascript:" not in each.lower()[:20] for each in leads)
    exported = desk.ask(*desk.address("export_visitor"))
    assert exported.headers["Content-Disposition"].startswith("attachment")
    assert exported.mimetype == "application/json"


def test_whoever_is_shown_is_noted_once_an_hour_where_the_list_renews_itself(shop: Shop, known: dict[str, str]) -> None:
    desk = sit_down(shop, "operator")
    desk.get("/live")
    for _ in range(3):
        desk.get("/live/now")
    desk.get(f"/visitors/{known['visitor_id']}")
    access.bring_in(shop.rt)
    with shop.rt.db.read() as connection:
        found = access_log.list_looks(connection, shop.site.id, limit=50)
    looked = sorted((each.action, each.token) for each in found if each.visitor == known["visitor_id"])
    assert looked == [("list", "operator-none@shop.example"), ("read", "operator-none@shop.example")]


def test_a_chat_is_begun_once_though_its_form_is_sent_twice(shop: Shop, known: dict[str, str]) -> None:
    desk, path = sit_down(shop, "operator"), f"/visitors/{known['visitor_id']}/chat"
    for _ in range(2):
        answer = desk.post(path, body="May I help you?", part_id="a" * 32)
        assert answer.status_code == 303
    with shop.rt.db.read() as connection:
        found = conversations.list_conversations(connection, shop.site.id)
    assert [(each.preview, each.opened_by) for each in found] == [("May I help you?", "operator")]
    assert desk.post(path, body="  ").status_code == 422


def test_a_visitor_is_found_by_address_user_id_browser_and_own_id(shop: Shop, known: dict[str, str]) -> None:
    shop.send(identify("u-1", {"email": "ann@shop.example", "name": "Ann Example"}))
    desk = sit_down(shop, "operator")
    profile = shop.profile()
    for words in ("ann@shop.example", "u-1", "ann", profile.id):
        assert f"/visitors/{profile.id}" in desk.get(f"/visitors?q={words}").text, words
    assert "Nobody found" in desk.get("/visitors?q=somebody").text
    assert desk.get("/visitors?cursor=nonsense").status_code in {400, 422}
    assert "no such stage" in desk.get("/visitors?stage=nonsense").text


def test_settings_are_changed_or_refused_with_the_place_of_the_mistake(shop: Shop) -> None:
    desk = sit_down(shop, "administrator")
    fine = {"name": "shop", "timezone": "Europe/Vienna", "currency": "eur", "origins": "https://shop.example"}
    fine["title"] = " The Kettle Shop "
    assert desk.post("/settings/site", **fine, honour_gpc="on").status_code == 303
    kept = shop.site_now()
    assert (kept.timezone, kept.currency, kept.origins) == ("Europe/Vienna", "EUR", ("https://shop.example",))
    assert kept.called == "The Kettle Shop"
    assert (kept.policy.honour_gpc, kept.policy.require_signature) == (True, False)
    answer = desk.post("/settings/site", **fine | {"timezone": "Europe/Nowhere"})
    assert "timezone" in answer.text
    assert 'role="alert"' in answer.text
    assert shop.site_now().timezone == "Europe/Vienna"
    answer = desk.post("/settings/advanced", name="policy", text='{"holdout": "trial"}')
    assert 'role="alert"' in answer.text
    assert "trial" in answer.text  # what was typed is still there
    assert "no JSON" in desk.post("/settings/advanced", name="policy", text="{").text
    made = desk.post("/settings/tokens", name="Report", role="read_only").text
    text = re.search(r"chi_tok_[\w-]+", made)
    assert text is not None
    assert text[0] not in desk.get("/settings/tokens").text
    for role in ("read_only", "operator", "marketer"):
        assert shop.site.secret_key not in sit_down(shop, role).get("/settings").text


def test_the_self_check_tells_whether_pages_report(shop: Shop) -> None:
    desk = sit_down(shop, "operator")
    assert "Nothing has been reported yet" in desk.get("/settings/check").text
    page = {"url": "https://shop.example/lamp", "path": "/lamp"}
    shop.send({"type": "page", "messageId": "m", "anonymousId": "ann", "properties": page, "context": {"page": page}})
    shop.clock.forward(seconds=12)
    told = desk.get("/settings/check").text
    assert "It reports." in told
    assert "12 s" in told
    assert "https://shop.example/lamp" in told
    shop.clock.forward(hours=1)
    assert "Quiet." in desk.get("/settings/check").text


def test_an_erased_visitor_has_no_page_any_more(shop: Shop, known: dict[str, str]) -> None:
    desk = sit_down(shop, "administrator")
    answer = desk.post(f"/visitors/{known['visitor_id']}/erase", sure="yes")
    assert answer.headers["Location"].endswith("/visitors?done=erased")
    assert desk.get(f"/visitors/{known['visitor_id']}").status_code == 404
    with shop.rt.db.read() as connection:
        assert visitors.load_profile(connection, known["visitor_id"]) is None


def test_a_rule_is_switched_explained_and_put_back(shop: Shop, known: dict[str, str]) -> None:
    desk, rule_id = sit_down(shop, "marketer"), known["rule_id"]
    assert desk.post(f"/rules/{rule_id}/state", status="paused").status_code == 303
    assert "paused" in desk.get(f"/rules/{rule_id}").text
    told = desk.get(f"/rules/{rule_id}/why?visitor=ann").text
    assert "Product Added happened last" in told
    assert "gate-shut" in told
    assert "Nobody is known" in desk.get(f"/rules/{rule_id}/why?visitor=nobody").text
    assert desk.post(f"/rules/{rule_id}/restore", version="7").status_code == 404
    counted = desk.post("/segments/count", condition='{"field": "profile.stage", "op": "eq", "value": "cart"}').text
    assert "<b>1</b> of 1 visitors" in counted
    wrong = desk.post("/segments/count", condition='{"field": "profile.stage", "op": "equals", "value": "cart"}').text
    assert "condition.op" in wrong


def test_a_rule_is_written_with_its_mistakes_at_their_place_shown_as_it_would_be_said_and_kept(
    shop: Shop, known: dict[str, str]
) -> None:
    shop.send(identify("u-1", {"first_name": "<b>Ann</b>"}))
    desk = sit_down(shop, "marketer")
    rule = popup_rule("Product Added", name="Hello", message={**POPUP, "variants": [VARIANT]})
    wrong = {**rule, "audience": {"all": [{"field": "profile.stage", "op": "equals", "value": "cart"}]}}
    found = desk.post("/rules/check", rule=json.dumps(wrong)).json["mistakes"]
    assert [path for path, _ in found] == ["audience.all.0.op"]
    assert desk.post("/rules/check", rule="{").json["mistakes"][0][1].startswith("This is no JSON")
    assert desk.post("/rules/save", rule=json.dumps(wrong)).json["mistakes"] == found
    said = desk.post("/rules/preview", rule=json.dumps(rule), visitor="u-1").json["said"]
    assert [each["content"]["title"] for each in said] == ["Dear <b>Ann</b>, Lamp"]
    missing = json.dumps(rule).replace("first_name", "nickname")
    assert "nickname" in desk.post("/rules/preview", rule=missing, visitor="u-1").json["said"][0]["mistake"]
    assert (
        desk.post("/rules/preview", rule=json.dumps({"message": {"variants": [1, {"content": 2}]}})).status_code == 200
    )

    kept = desk.post("/rules/save", rule=json.dumps(rule)).json["saved"]
    rule_id = kept.rpartition("/")[2].partition("?")[0]
    again = desk.post("/rules/save", rule=json.dumps(rule | {"name": "Hi"}), id=rule_id, version="1").json
    assert "saved" in again
    late = desk.post("/rules/save", rule=json.dumps(rule), id=rule_id, version="1").json["mistakes"]
    assert "has changed in the meantime" in late[0][1]
    with shop.rt.db.read() as connection:
        stored = rules.get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    assert (stored.status, stored.version, stored.document["name"]) == ("draft", 2, "Hi")
