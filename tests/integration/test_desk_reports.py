"""What conversations brought about, out of both databases; and conversations as files that hurt nobody."""

import json
import re
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from backend.pipeline import converse
from backend.pipeline.converse import Speaker
from backend.pipeline.report_desk import report_on_conversations
from backend.storage import conversations, tables
from backend.storage.times import to_micros
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import START, Shop, call, identify
from tests.integration.test_conversations import all_of, chat
from tests.integration.test_notices import ANNA, BERT, HEADERS, staff

WEEK = timedelta(days=7)


def get(shop: Shop, path: str, **headers: str) -> Any:
    answered = shop.client.get(f"/api/v1/sites/{shop.site.id}/conversations{path}", headers=HEADERS | headers)
    assert answered.status_code == 200, answered.text
    return answered


def order(order_id: str | None, total: Any, **fields: Any) -> dict[str, Any]:
    return call("Order Completed", {"total": total} | ({"order_id": order_id} if order_id else {}), **fields)


def test_the_report_tells_who_answered_how_soon_and_what_was_bought_then(each_shop: Shop) -> None:
    shop = each_shop
    staff(shop)
    shop.send(order("before", 99))
    shop.clock.forward(minutes=1)
    shop.send(chat("Is it in stock?"))
    [found] = all_of(shop)
    shop.clock.forward(minutes=2)
    converse.say(shop.rt, shop.site, found.id, "It is.", ANNA)
    shop.clock.forward(minutes=1)
    converse.say(shop.rt, shop.site, found.id, "Ours", ANNA, kind="note")
    converse.say(shop.rt, shop.site, found.id, "In red too.", BERT)
    shop.clock.forward(minutes=7)
    converse.change(shop.rt, shop.site, found.id, {"state": "closed"}, BERT)
    shop.send(call("Live Chat Conversation Rated", {"conversation_id": found.id, "rating": 4}))
    shop.clock.forward(days=1)
    # They sign in on the way to the checkout, and the order is told of twice, by the browser and by the backend.
    shop.send(identify("u"), order("o-1", "19.90", userId="u", anonymousId="ann"))
    shop.clock.forward(seconds=1)
    shop.send(order("o-1", "20.10", userId="u"))
    shop.send(chat("Never answered", anonymousId="bob"), order(None, 5, anonymousId="bob"))
    shop.send(order("stranger", 1000, anonymousId="eve"))
    shop.clock.forward(days=8)
    shop.send(order("late", 77, userId="u"))
    told = report_on_conversations(shop.rt, shop.site, None, None, "operator", WEEK)
    totals = told["totals"]
    assert (told["currency"], totals["opened"], totals["answered"], totals["closed"]) == ("USD", 2, 1, 1)
    assert totals["first_response"] == {"median": 120, "p90": 120, "working": {"median": 120, "p90": 120}}
    assert totals["resolution"]["median"] == 600
    assert (totals["ratings"]["count"], totals["ratings"]["mean"]) == (1, 4)
    assert (totals["orders"], totals["revenue"]) == (2, Decimal("25.10"))
    assert totals["open"] == {"most": 1, "at_end": 1}
    rows = {row["operator"]: row for row in told["rows"]}
    assert (rows[ANNA.id]["answered"], rows[ANNA.id]["parts"], rows[ANNA.id]["orders"]) == (1, 1, 0)
    assert (rows[BERT.id]["closed"], rows[BERT.id]["parts"], rows[BERT.id]["revenue"]) == (1, 1, Decimal("20.10"))
    assert (rows[BERT.id]["name"], rows[BERT.id]["ratings"]["count"]) == ("Bert", 1)
    assert (rows[None]["orders"], rows[None]["revenue"]) == (1, Decimal(5)), "nobody answered, and it is not lost"
    short = report_on_conversations(shop.rt, shop.site, None, None, None, timedelta(hours=2))["totals"]
    assert (short["orders"], short["revenue"]) == (1, Decimal(5))
    told = get(shop, "/report?by=day&since=2026-03-01&until=2026-03-01").json
    assert [(row["day"], row["opened"], row["revenue"]) for row in told["rows"]] == [("2026-03-01", 1, "0.00")]
    assert told["working_hours"] is False
    assert get(shop, "/report?since=2027-01-01").json["totals"]["opened"] == 0


@pytest.mark.long
def test_ten_thousand_conversations_are_reported_row_by_row(each_shop: Shop) -> None:
    """Prints how long it takes, with `-s`."""
    shop, count = each_shop, 10_000
    talks, parts = [], []
    for number in range(count):
        visitor, at = f"{number:032x}", to_micros(START) - (number + 1) * 200_000_000
        key = {"visitor_id": visitor, "site_id": shop.site.id}
        talks.append(
            {**key, "id": visitor, "opened_by": "visitor", "state": "closed", "created_at": at, "last_at": at + 5}
        )
        for place, (author, kind) in enumerate(
            [("visitor", "message"), ("operator", "message")] * 2 + [("operator", "event")]
        ):
            content = '{"event":"state","to":"closed"}' if kind == "event" else "{}"
            told = {"author": author, "author_id": ANNA.id if author == "operator" else None, "kind": kind}
            made = {"id": f"{number}-{place}", "number": place + 1, "channel": "chat", "text": "x", "content": content}
            parts.append({**key, "conversation_id": visitor, "at": at + place * 1_000_000, **told, **made})
    people = [
        {"visitor_id": each["visitor_id"], "site_id": shop.site.id, "stage": "new", "last_seen": 0, "profile": "{}"}
        for each in talks
    ]
    with shop.rt.db.begin() as connection:
        for table, rows in ((tables.visitors, people), (tables.conversations, talks), (tables.parts, parts)):
            connection.execute(insert(table), rows)
    begin, busy = time.perf_counter(), time.process_time()
    told = report_on_conversations(shop.rt, shop.site, None, None, "operator", WEEK)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    print(f"{count} conversations in {seconds:.2f} s, of which {busy:.2f} s are ours")
    assert (told["totals"]["opened"], told["totals"]["parts"]) == (count, 2 * count)


EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


@pytest.fixture
def spoken(each_shop: Shop) -> Shop:
    """A shop with a conversation that is full of traps."""
    shop = each_shop
    staff(shop)
    shop.send(identify("u", {"name": EVIL}), chat(EVIL + "\nsecond line", userId="u", anonymousId="ann"))
    [found] = all_of(shop)
    converse.say(shop.rt, shop.site, found.id, "Good day", ANNA)
    converse.say(shop.rt, shop.site, found.id, "a secret note", Speaker(None, EVIL), kind="note")
    told = {"tags": [EVIL[:50]], "assignee_id": BERT.id}
    converse.change(shop.rt, shop.site, found.id, told, Speaker(ANNA.id, EVIL))
    rated = {"conversation_id": found.id, "rating": 2, "text": EVIL}
    shop.send(call("Live Chat Conversation Rated", rated, userId="u", anonymousId="ann"))
    shop.send(
        chat(
            "",
            userId="u",
            anonymousId="ann",
            properties={"attachments": ["</p><script>x</script>"], "message_body": ""},
        )
    )
    return shop


def test_one_conversation_as_a_page_runs_nothing_and_fetches_nothing(spoken: Shop) -> None:
    [found] = all_of(spoken)
    answered = get(spoken, f"/{found.id}/export")
    text = answered.text
    assert answered.headers["Content-Type"].startswith("text/html")
    assert answered.headers["Content-Disposition"] == f'attachment; filename="conversation-{found.id}.html"'
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    policy = answered.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert set(re.findall(r"<([a-z0-9]+)", text)) <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "dl", "dt", "dd", "ol", "li", "header", "b", "span"),
        *("time", "p"),
    }
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "http" not in re.sub(r'http-equiv="', "", text), "nothing is fetched from anywhere"
    assert ">Anna</b>" in text
    assert "a secret note" in text
    plain = get(spoken, f"/{found.id}/export?notes=false").text
    assert "a secret note" not in plain
    assert "assigned" not in plain
    assert "Good day" in plain


def test_all_conversations_come_as_lines_and_who_looked_is_noted(spoken: Shop) -> None:
    spoken.send(chat("Of bob", anonymousId="bob"))
    lines = [json.loads(line) for line in get(spoken, "/export").text.splitlines()]
    assert [line["record"] for line in lines].count("conversation") == 2
    place, current = 0, None
    for line in lines:
        if line["record"] == "conversation":
            place, current = 0, line["id"]
            continue
        assert line["conversation_id"] == current, "behind its conversation"
        assert line["number"] > place, "in order"
        place = line["number"]
    assert {line["author_name"] for line in lines if line.get("author") == "operator"} == {"Anna", None}
    assert "a secret note" in repr(lines)
    assert "a secret note" not in get(spoken, "/export?notes=false").text
    with spoken.rt.db.read() as connection:
        ids = {each.visitor_id for each in conversations.list_conversations(connection, spoken.site.id)}
    looks = spoken.client.get(f"/api/v1/sites/{spoken.site.id}/access-log", headers=HEADERS).json["items"]
    exported = [each for each in looks if each["action"] == "export"]
    assert {each["visitor"] for each in exported if each["visitor"]} == ids
    assert {each["shown"] for each in exported if not each["visitor"]} == {2}
    late = (spoken.clock() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert get(spoken, f"/export?since={late}").text == ""
    [first, *_] = all_of(spoken)
    one = [json.loads(line) for line in get(spoken, f"/{first.id}/export?format=jsonl").text.splitlines()]
    assert {line.get("conversation_id", line["id"]) for line in one} == {first.id}
