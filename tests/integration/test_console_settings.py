"""The console's settings, segments, simulations and accounts: what is kept, and what is refused beside which field."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.operator import EVERY_SITE, Membership
from backend.domain.segment import parse_segment
from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.storage import (
    canned_replies,
    console_sessions,
    conversations,
    departments,
    desks,
    operators,
    passwords,
    segments,
)
from backend.storage.sites import create_site, new_site
from backend.web.trial import AT_ONCE, Slot
from tests.core_fixtures import Shop, call, popup_rule, redis_url, shop, sqlite_template, sqlite_url
from tests.integration.test_console_pages import PAYLOAD, Desk, sit_down

__all__ = ["redis_url", "shop", "sqlite_template", "sqlite_url"]

PASSWORD = "kettle on the quiet stove"


def beside(answer: Any, name: str) -> str:
    """What is said to be wrong beside a field; nothing: nothing is."""
    found = re.search(rf'id="wrong-{re.escape(name)}">([^<]*)<', answer.text)
    return "" if found is None else found[1]


def hire(shop: Shop, name: str, *given: Membership) -> str:
    with shop.rt.db.begin() as conn:
        told = given or (Membership(site_id=shop.site.id, role="operator"),)
        return operators.create(conn, f"{name.lower()}@shop.example", name, told, shop.clock()).id


def on(shop: Shop, operator_id: str) -> Membership | None:
    with shop.rt.db.read() as conn:
        found = operators.find(conn, operator_id)
    assert found is not None
    return found.on(shop.site.id)


@pytest.fixture
def boss(shop: Shop) -> Desk:
    """An administrator of the site alone."""
    return sit_down(shop, "administrator")


def test_somebody_is_invited_by_a_link_that_is_shown_once(shop: Shop, boss: Desk) -> None:
    told = {"name": PAYLOAD[:90], "email": "Bert@Shop.example", "role": "operator", "capacity": "3", "everywhere": "on"}
    page = boss.post("/settings/team", **told)
    link = re.search(r"/console/invited/([\w-]{20,})<", page.text)
    assert link is not None
    assert link[1] not in boss.get("/settings/team").text
    assert "<script>alert" not in page.text
    with shop.rt.db.read() as conn:
        made = operators.by_email(conn, "bert@shop.example")
    assert made is not None
    assert made.memberships == (Membership(site_id=shop.site.id, role="operator", capacity=3),), (
        "here, and not everywhere"
    )
    assert "already" in beside(boss.post("/settings/team", **told), "email")
    for name, wrong in (("email", "nobody"), ("name", ""), ("role", "queen"), ("capacity", "many"), ("capacity", "0")):
        again = boss.post("/settings/team", **told | {"email": "new@shop.example"} | {name: wrong})
        assert beside(again, name), (name, wrong)
        assert 'value="new@shop.example"' in again.text or name == "email", "what was typed is still there"
    with shop.rt.db.read() as conn:
        assert operators.by_email(conn, "new@shop.example") is None


def test_an_operator_is_changed_as_far_as_they_belong_to_the_site(shop: Shop, boss: Desk) -> None:
    bert, path = hire(shop, "Bert"), "/settings/team/"
    with shop.rt.db.begin() as conn:
        other = create_site(conn, shop.rt.sites.vault, new_site("other"), shop.clock()).site.id
        mine = departments.create(conn, shop.site.id, "Returns", shop.clock()).id
        theirs = departments.create(conn, other, "Theirs", shop.clock()).id
    told = {"name": "Bert B.", "role": "marketer", "capacity": "4", "departments": mine}
    assert boss.post(path + bert, **told).status_code == 303
    assert on(shop, bert) == Membership(site_id=shop.site.id, role="marketer", departments=(mine,), capacity=4)
    assert "Not of this site" in beside(boss.post(path + bert, **told | {"departments": theirs}), "departments")
    assert boss.post(f"/settings/departments/{mine}/close").status_code == 303
    assert on(shop, bert) == Membership(site_id=shop.site.id, role="marketer", capacity=4), "it is no more"
    del told["departments"]

    elsewhere = Membership(site_id=other, role="administrator")
    carl = hire(shop, "Carl", Membership(site_id=shop.site.id, role="operator"), elsewhere)
    assert boss.post(path + carl, **told | {"name": "Karl", "role": "read_only"}).status_code == 303
    with shop.rt.db.read() as conn:
        kept = operators.find(conn, carl)
    assert kept is not None
    assert kept.name == "Carl", "they are called so on the other site too"
    assert {each.site_id: each.role for each in kept.memberships} == {shop.site.id: "read_only", other: "administrator"}
    for do in ("disable", "reset"):
        assert "only an administrator of every site" in boss.post(f"{path}{carl}/access", do=do).text
    everybody = hire(shop, "Eva", Membership(site_id=EVERY_SITE, role="administrator"))
    assert boss.get(path + everybody).status_code == 404
    assert "Eva" in boss.get("/settings/team").text
    assert boss.post(f"{path}{everybody}/access", do="remove").status_code == 404


def test_nobody_takes_their_own_rights_away(shop: Shop, boss: Desk) -> None:
    with shop.rt.db.read() as conn:
        me = operators.by_email(conn, "administrator-none@shop.example")
    assert me is not None
    told = {"name": "Anna", "role": "operator", "capacity": "5"}
    assert "your own role" in beside(boss.post(f"/settings/team/{me.id}", **told), "role")
    for do in ("disable", "remove", "reset"):
        assert "Another administrator" in boss.post(f"/settings/team/{me.id}/access", do=do).text
    assert boss.post(f"/settings/team/{me.id}", **told | {"role": "administrator"}).status_code == 303


def test_what_somebody_had_to_answer_goes_to_whom_it_is_given_and_they_may_come_back(shop: Shop, boss: Desk) -> None:
    shop.send(call("Product Added", {"product_id": "p"}))
    bert, carl, reader = (
        hire(shop, "Bert"),
        hire(shop, "Carl"),
        hire(shop, "Rita", Membership(site_id=shop.site.id, role="read_only")),
    )
    talk, _ = converse.start(shop.rt, shop.site, shop.profile().id, "Hello", Speaker(bert, "Bert"))

    def held_by(operator_id: str | None = None) -> str | None:
        if operator_id is not None:
            converse.change(shop.rt, shop.site, talk.id, {"assignee_id": operator_id}, Speaker(None, "x"))
        with shop.rt.db.read() as conn:
            found = conversations.find(conn, shop.site.id, talk.id)
        assert found is not None
        return found.assignee_id

    assert held_by(bert) == bert
    assert "<b>1</b> conversation" in boss.get(f"/settings/team/{bert}").text
    assert boss.post(f"/settings/team/{bert}/access", do="disable", heir=carl).status_code == 303
    assert held_by() == carl
    boss.post(f"/settings/team/{carl}", name="Carl", role="read_only", capacity="5", heir=reader)
    assert held_by() is None, "who answers nobody holds nothing, and inherits nothing"
    assert boss.post(f"/settings/team/{bert}/access", do="enable").status_code == 303
    assert held_by(bert) == bert
    assert boss.post(f"/settings/team/{bert}/access", do="remove").status_code == 303
    assert held_by() is None
    assert boss.get(f"/settings/team/{bert}").status_code == 404
    again = boss.post("/settings/team", name="Bert", email="bert@shop.example", role="operator", capacity="10")
    assert "/console/invited/" in again.text
    assert on(shop, bert) == Membership(site_id=shop.site.id, role="operator", capacity=10)


def test_departments_have_names_of_their_own_and_hours_if_they_say_so(shop: Shop, boss: Desk) -> None:
    made = boss.post("/settings/departments", name="Returns").headers["Location"].partition("?")[0]
    path = made.partition(f"/console/{shop.site.id}")[2]
    assert "already" in beside(boss.post("/settings/departments", name="RETURNS"), "name")
    told = {"name": "Returned goods", "hours": "own", "zone": "Europe/Vienna", "day-mon": "9–13", "routing": "previous"}
    assert boss.post(path, **told).status_code == 303
    with shop.rt.db.read() as conn:
        kept = desks.document_of(conn, shop.site.id, path.rpartition("/")[2])
    assert kept == {
        "hours": {"zone": "Europe/Vienna", "windows": [{"from": "09:00", "to": "13:00", "weekdays": ["mon"]}]},
        "routing": "previous",
    }
    assert "09:00–13:00" in boss.get(path).text
    wrong = boss.post(
        path, **told | {"zone": "Europe/Wien", "day-tue": "late", "unanswered_after": "5 min", "name": ""}
    )
    assert "09:00–13:00" in beside(wrong, "day-tue")
    assert "Europe/Vienna" in beside(wrong, "zone")
    assert beside(wrong, "unanswered_after")
    assert beside(wrong, "name")
    assert boss.post(path, name="Returned goods", hours="site").status_code == 303
    with shop.rt.db.read() as conn:
        assert desks.document_of(conn, shop.site.id, path.rpartition("/")[2]) == {}
    assert boss.post(path + "/close").status_code == 303
    assert boss.get(path).status_code == 404


def test_working_hours_are_kept_as_the_api_writes_them_and_nothing_else_is_lost(shop: Shop, boss: Desk) -> None:
    told = {
        "hours": "own",
        "zone": "Europe/Vienna",
        "day-mon": "09:00–13:00, 14:00–18:00",
        "holidays": "12-25",
        "exceptions": "2026-12-24 9-12",
        "routing": "round_robin",
        "unanswered_after": "3m",
        "mail_after": "10m",
        "digest_after": "",
        "text-closed-en": "Back {when}.",
    }
    assert boss.post("/settings/hours", **told).status_code == 303
    policy = shop.site_now().policy
    assert policy.conversation.mail_after == timedelta(minutes=10)
    assert policy.desk == {
        "hours": {
            "zone": "Europe/Vienna",
            "windows": [
                {"from": "09:00", "to": "13:00", "weekdays": ["mon"]},
                {"from": "14:00", "to": "18:00", "weekdays": ["mon"]},
            ],
            "holidays": ["12-25"],
            "exceptions": [{"date": "2026-12-24", "windows": [{"from": "09:00", "to": "12:00"}]}],
        },
        "routing": "round_robin",
        "unanswered_after": "3m",
        "digest_after": None,
        "texts": {"closed": {"en": "Back {when}."}},
    }
    bad = {"zone": "Wien", "holidays": "13-40", "routing": "loudest", "unanswered_after": "2d", "mail_after": "8d"}
    wrong = boss.post("/settings/hours", **told | bad | {"text-closed-ru": "Скоро", "exceptions": "2026-02-30 closed"})
    for name in (*bad, "text-closed-ru", "exceptions"):
        assert beside(wrong, name), name
    both = boss.post("/settings/hours", **told | {"day-tue": "late", "zone": "Wien"})
    assert beside(both, "day-tue"), "what cannot be read,"
    assert beside(both, "zone"), "and what cannot be meant, at once"
    assert shop.site_now().policy == policy
    assert boss.post("/settings/hours", **told | {"hours": "always"}).status_code == 303
    assert "hours" not in (shop.site_now().policy.desk or {})


def test_the_policys_form_says_what_is_wrong_where_it_is_and_leaves_what_it_does_not_tell_of(
    shop: Shop, boss: Desk
) -> None:
    written = '{"placeholders": ["guest"], "caps": [{"count": 9, "within": "9d", "category": "promotional"}]}'
    assert boss.post("/settings/advanced", name="policy", text=written).status_code == 303
    told = {
        "max_event_age": "10m",
        "dismiss_backoff": "2d",
        "access_log_kept": "400d",
        "holdout": "2,5",
        "retention": "Page Viewed 90d\n* 400d",
        "hide_query": "email, phone",
        "consent-show": "marketing",
        "cap-0-count": "1",
        "cap-0-window": "session",
        "cap-0-channels": "popup, chat",
        "cap-1-count": "3",
        "cap-1-window": "7d",
        "quiet": "on",
        "quiet-from": "21:00",
        "quiet-to": "09:00",
        "quiet-then": "abort",
    }
    assert boss.post("/settings/policy", **told).status_code == 303
    policy = shop.site_now().policy
    caps = ({"count": 1, "per": "session", "channels": ["popup", "chat"]}, {"count": 3, "within": "7d"})
    assert (policy.holdout, policy.placeholders, policy.caps) == (2.5, ("guest",), caps)
    assert policy.retention == {"Page Viewed": timedelta(days=90), "*": timedelta(days=400)}
    assert policy.quiet_hours == {"from": "21:00", "to": "09:00", "then": "abort"}
    assert (policy.consent.show, policy.consent.mail, policy.hide_query) == ("marketing", None, ("email", "phone"))
    shown = boss.get("/settings/policy").text
    assert 'value="popup, chat"' in shown
    bad = {
        "holdout": "half",
        "dismiss_backoff": "soon",
        "retention": "Page Viewed",
        "cap-0-window": "week",
        "cap-1-channels": "pigeon",
        "quiet-from": "9 pm",
        "phone_region": "Austria",
    }
    wrong = boss.post("/settings/policy", **told | bad)
    for name in bad:
        assert beside(wrong, name), name
    assert shop.site_now().policy == policy
    assert boss.post("/settings/policy", **{name: text for name, text in told.items() if name != "quiet"})
    assert shop.site_now().policy.quiet_hours is None


def test_the_chats_words_are_changed_by_language_and_others_stay(shop: Shop, boss: Desk) -> None:
    written = '{"texts": {"en": {"sent": "Gone", "chat": "Old"}, "pl": {"chat": "Czat"}}}'
    assert boss.post("/settings/advanced", name="policy", text=written).status_code == 303
    told = {"launcher": "on", "en-chat": "Ask us", "ru-greeting": "Здравствуйте", "pl-chat": "Napisz"}
    assert boss.post("/settings/chat", **told).status_code == 303
    kept = shop.site_now()
    assert kept.policy.texts == {
        "en": {"sent": "Gone", "chat": "Ask us"},
        "ru": {"greeting": "Здравствуйте"},
        "pl": {"chat": "Napisz"},
    }
    assert (kept.attention.launcher, kept.attention.sound) == (True, False)
    assert "{time}" in beside(boss.post("/settings/chat", **told | {"en-replies_in": "Soon"}), "en-replies_in")
    assert beside(boss.post("/settings/chat", **told | {"ru-chat": "x" * 301}), "ru-chat")
    assert shop.site_now().policy.texts == kept.policy.texts


def test_stages_are_written_with_their_mistakes_at_their_place(shop: Shop, boss: Desk) -> None:
    def send(stages: Any) -> dict[str, Any]:
        return dict(boss.post("/settings/stages", whole=json.dumps({"stages": stages})).json)

    trial = {"name": "trial", "enter": {"performed": "Trial Started"}}
    assert send(["new", "cart", trial, "customer"])["saved"]
    assert shop.site_now().funnel.names == ("new", "cart", "trial", "customer")
    wrong = send(["new", {"name": "trial", "enter": {"field": "profile.stage", "op": "equals", "value": 1}}])
    assert any(path.startswith("stages.1.enter") for path, _ in wrong["mistakes"])
    assert send(None)["mistakes"]
    assert send(["new", {"name": "a", "enter": {"segment": "gone"}}])["mistakes"]
    assert "no JSON" in boss.post("/settings/stages", whole="{").json["mistakes"][0][1]
    shop.rule(
        popup_rule(
            "Product Added", name="Of the trial", audience={"field": "profile.stage", "op": "eq", "value": "trial"}
        )
    )
    warned = send(["new", "cart"])
    assert "trial" in warned["warnings"][0][1]
    assert shop.site_now().funnel.names == ("new", "cart")


def test_segments_are_made_changed_and_deleted_unless_something_asks_for_them(shop: Shop) -> None:
    shop.send(call("Product Added", {"product_id": "p", "name": "Lamp", "price": 10}))
    desk = sit_down(shop, "marketer")

    def send(path: str, document: Any, **more: str) -> dict[str, Any]:
        return dict(desk.post(f"/segments/{path}", whole=json.dumps(document), **more).json)

    document = {"name": "Carts", "condition": {"all": [{"performed": "Product Added", "within": "7d"}]}}
    assert send("check", document, count="on") == {"mistakes": [], "size": 1, "total": 1}
    assert send("check", document) == {"mistakes": []}
    wrong = {"name": "Carts", "condition": {"all": [{"field": "profile.stage", "op": "equals", "value": "cart"}]}}
    assert [path for path, _ in send("check", wrong)["mistakes"]] == ["condition.all.0.op"]
    assert send("save", wrong)["mistakes"] == send("check", wrong)["mistakes"]
    made = send("save", document)["saved"].rpartition("/")[2].partition("?")[0]
    assert send("save", document)["mistakes"], "the name is taken"
    assert send("save", document | {"name": PAYLOAD[:90]}, id=made, version="1")["saved"]
    assert "meantime" in send("save", document, id=made, version="1")["mistakes"][0][1]
    assert desk.post("/segments/save", whole="[]").json["mistakes"]
    assert desk.post("/segments/save", whole="[" * 30_000).json["mistakes"]
    for path in (f"/segments/{made}", f"/segments/{made}/edit", "/segments/new"):
        assert "<script>alert" not in desk.get(path).text
    rule_id = shop.rule(popup_rule(None, name="To carts", trigger={"segment": made}))
    refused = desk.post(f"/segments/{made}/delete", sure="yes")
    assert "To carts" in refused.text
    shop.set_rule(rule_id, "archived")
    with shop.rt.db.begin() as conn:
        by_hand = segments.create_segment(
            conn, shop.site.id, parse_segment({"name": "List", "manual": True}), shop.clock()
        )
    assert desk.post(f"/segments/{by_hand.id}/delete").headers["Location"].endswith(by_hand.id), "without the tick"
    assert desk.post(f"/segments/{by_hand.id}/delete", sure="yes").status_code == 303
    assert desk.get(f"/segments/{by_hand.id}").status_code == 404


def test_a_rule_is_tried_out_on_days_of_the_sites_clock_and_nothing_is_sent(shop: Shop) -> None:
    shop.send(call("Product Added", {"product_id": "p", "name": "Lamp", "price": 10}))
    rule_id = shop.rule(popup_rule("Product Added", name="Cart left", delay="30m"), status="draft")
    desk, path = sit_down(shop, "marketer"), f"/rules/{rule_id}/simulate"
    day = shop.clock().date()
    shop.clock.forward(hours=1)
    answer = desk.post(path, since=day.isoformat(), until=day.isoformat())
    last = json.loads(answer.text.strip().splitlines()[-1])["html"]
    assert re.search(r"<h3>Entered</h3><b>1</b>", last)
    assert re.search(r"<h3>Would have been sent</h3><b>1</b>", last)
    assert f"/visitors/{shop.profile().id}" in last
    before = day - timedelta(days=2)
    empty = desk.post(path, since=before.isoformat(), until=before.isoformat()).text
    assert "Nobody would have entered" in json.loads(empty.strip().splitlines()[-1])["html"]
    for since, until in (
        ("", ""),
        ("2026-02-30", "2026-03-01"),
        ("9999-12-31", "9999-12-31"),
        ("2026-03-01", "2026-02-01"),
    ):
        refused = desk.post(path, since=since, until=until)
        assert (refused.status_code, bool(refused.json["message"])) == (422, True), (since, until)
    with shop.client.application.app_context():
        slots = [Slot() for _ in range(AT_ONCE)]
        busy = desk.post(path, since=day.isoformat(), until=day.isoformat())
        for each in slots:
            each.release()
    assert busy.status_code == 429
    assert desk.post(path, since=day.isoformat(), until=day.isoformat()).status_code == 200


def test_an_operator_changes_their_password_and_every_other_session_ends(shop: Shop) -> None:
    desk = sit_down(shop, "operator")
    with shop.rt.db.begin() as conn:
        me = operators.by_email(conn, "operator-none@shop.example")
        assert me is not None
        operators.set_password(conn, me.id, passwords.hash_of(PASSWORD), shop.clock())
        other = console_sessions.start(conn, shop.rt.sites.vault, me.id, shop.clock(), PAYLOAD)
    page = desk.get("/account").text
    assert "<script>alert" not in page
    assert desk.post("/account/name", name=PAYLOAD[:90]).status_code == 303
    assert "<script>alert" not in desk.get("/account").text
    assert beside(desk.post("/account/name", name=" "), "name")
    change = "/account/password"
    assert "not your password" in beside(desk.post(change, before="guess", password="a longer one indeed"), "before")
    assert beside(desk.post(change, before=PASSWORD, password="password123"), "password")
    with shop.rt.db.read() as conn:
        assert passwords.matches(operators.password_of(conn, me.id), PASSWORD)
        assert console_sessions.find(conn, shop.rt.sites.vault, other, shop.clock()) is not None
    assert desk.post(change, before=PASSWORD, password="seven quiet lamps").status_code == 303
    with shop.rt.db.read() as conn:
        assert passwords.matches(operators.password_of(conn, me.id), "seven quiet lamps")
        assert console_sessions.find(conn, shop.rt.sites.vault, other, shop.clock()) is None
        assert console_sessions.find(conn, shop.rt.sites.vault, desk.text, shop.clock()) is not None
    for _ in range(10):
        desk.post(change, before="guess", password="a longer one indeed")
    assert "Too many attempts" in desk.post(change, before="seven quiet lamps", password="a longer one indeed").text


def test_who_only_reads_sees_settings_as_they_are_and_no_button_to_change_them(shop: Shop) -> None:
    desk = sit_down(shop, "read_only")
    for path in ("/settings", "/settings/departments", "/settings/hours", "/settings/chat", "/settings/policy"):
        text = desk.get(path).text
        assert not re.search(r"<button class=\"button primary\"", text), path
        assert shop.site.secret_key not in text
    for tab in ("team", "tokens"):
        assert f"/settings/{tab}" not in desk.get("/settings").text


def test_replies_are_put_by_changed_and_thrown_away(shop: Shop) -> None:
    desk = sit_down(shop, "operator")
    for shortcut in ("/hello", "hello2"):
        assert desk.post("/settings/replies", shortcut=shortcut, text="Hello {{ first_name }}!").status_code == 303
    assert "Hello {{ first_name }}!" in desk.get("/settings/replies").text
    assert beside(desk.post("/settings/replies", shortcut="Hello", text="Again"), "shortcut"), "taken"
    for name, wrong in (("shortcut", "two words"), ("text", "{{ first_name"), ("text", "")):
        assert beside(desk.post("/settings/replies", **{"shortcut": "new", "text": "New", name: wrong}), name)
    with shop.rt.db.read() as conn:
        first, second = canned_replies.list_replies(conn, shop.site.id)
    path = f"/settings/replies/{second.id}"
    assert beside(desk.post(path, shortcut=first.shortcut, text="x"), "shortcut")
    assert desk.post(path, shortcut="bye", text=PAYLOAD.partition("{{")[0]).status_code == 303
    assert "<script>alert" not in desk.get("/settings/replies").text
    assert desk.post(f"/settings/replies/{first.id}/away").status_code == 303
    with shop.rt.db.read() as conn:
        assert [each.shortcut for each in canned_replies.list_replies(conn, shop.site.id)] == ["bye"]
