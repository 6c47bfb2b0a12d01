"""Visitors as the API shows them, from what was sent to the collector (contract, section 3)."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.pipeline.process import Processor
from backend.runtime import Runtime
from tests.contract.conftest import RULE, START, Api

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?Z")


def at(minutes: float) -> str:
    """A moment before the tests' clock starts."""
    return (START - timedelta(hours=2) + timedelta(minutes=minutes)).isoformat()


def track(who: str, event: str, minutes: float, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"{who}-{event}-{minutes}",
        "anonymousId": who,
        "event": event,
        "timestamp": at(minutes),
        "properties": properties,
    }


@pytest.fixture
def send(client: FlaskClient, rt: Runtime, api: Api, site: str) -> Iterator[Any]:
    """Sends events of the site `shop` and lets them take effect."""
    key = api.get(f"/sites/{site}").json["write_key"]
    processor = Processor(rt)

    def sent(*events: dict[str, Any]) -> None:
        answer = client.post("/v1/batch", json={"writeKey": key, "batch": list(events)})
        assert (answer.status_code, answer.json["rejected"]) == (200, []), answer.text
        processor.drain()

    yield sent
    processor.leave()


@pytest.fixture
def ada(send: Any, api: Api, site: str) -> str:
    """The id of a visitor with a history."""
    context = {
        "page": {"url": "https://shop.example/?q=tea", "path": "/", "search": "?q=tea"},
        "campaign": {"source": "newsletter"},
        "locale": "de-AT",
    }
    send(
        {"type": "page", "messageId": "p1", "anonymousId": "ada", "timestamp": at(0), "context": context},
        track("ada", "Products Searched", 1, query="green tea"),
        track("ada", "Product Viewed", 2, product_id="p-1", name="Sencha", price=19.9),
        track("ada", "Product Added", 3, product_id="p-1", name="Sencha", price=19.9, quantity=2),
        {
            "type": "identify",
            "messageId": "i1",
            "anonymousId": "ada",
            "userId": "u-1",
            "timestamp": at(4),
            "traits": {"email": "ada@example.com", "first_name": "Ada"},
        },
    )
    found = api.get(f"/sites/{site}/visitors?anonymous_id=ada").json["items"]
    assert len(found) == 1
    return str(found[0]["id"])


def moments(value: Any, name: str = "") -> Iterator[str]:
    """Every value that stands where a time should."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from moments(inner, key if name != "last_at" else "at")
    elif isinstance(value, list):
        for inner in value:
            yield from moments(inner, name)
    elif isinstance(value, str) and (name.endswith("_at") or name in {"at", "first_seen", "last_seen", "timestamp"}):
        yield value


def test_a_visitor_reads_as_the_contract_says(api: Api, site: str, ada: str) -> None:
    visitor = api.get(f"/sites/{site}/visitors/{ada}").json
    assert visitor["anonymous_ids"] == ["ada"]
    assert visitor["user_id"] == "u-1"
    assert visitor["traits"] == {"email": "ada@example.com", "first_name": "Ada"}
    assert visitor["stage"] == "cart"
    assert visitor["sessions"] == 1
    assert visitor["counts"]["Product Viewed"] == 1
    assert visitor["first_seen"] == at(0).replace("+00:00", "Z")
    assert visitor["last_seen"] == at(4).replace("+00:00", "Z")
    (item,) = visitor["cart"]["items"]
    assert (item["product_id"], item["quantity"], item["price"], item["currency"]) == ("p-1", 2, "19.90", "USD")
    assert (visitor["cart"]["total"], visitor["cart"]["currency"]) == ("39.80", "USD")
    assert visitor["orders"] == {"count": 0, "revenue": "0.00", "currency": "USD", "last_at": None}
    assert "green tea" in [each["query"] for each in visitor["searches"]]
    assert visitor["source"]["first"]["campaign"]["source"] == "newsletter"
    assert {(each["kind"], each["value"]) for each in visitor["identifiers"]} >= {("email", "ada@example.com")}
    for name in ("device", "identifiers", "forms"):
        assert name in visitor
    told = list(moments(visitor))
    assert len(told) > 5
    assert all(MOMENT.fullmatch(each) for each in told)


def test_visitors_are_found_by_what_they_are_known_by(api: Api, site: str, ada: str, send: Any) -> None:
    send(track("bob", "Product Viewed", 5, product_id="p-2"))
    found = {
        query: [each["anonymous_ids"] for each in api.get(f"/sites/{site}/visitors?{query}").json["items"]]
        for query in (
            *("anonymous_id=ada", "user_id=u-1", "email=ada@example.com", "email=ADA@example.com", "stage=cart"),
            *(
                "anonymous_id=ada&stage=cart",
                "anonymous_id=bob",
                "anonymous_id=nobody",
                "user_id=ada",
                "stage=customer",
            ),
        )
    }
    nobody = ("anonymous_id=nobody", "user_id=ada", "stage=customer")
    for query, ids in found.items():
        assert ids == ([] if query in nobody else [["bob"]] if query == "anonymous_id=bob" else [["ada"]]), query
    assert api.get(f"/sites/{site}/visitors?segment=x").status_code == 422
    assert api.get(f"/sites/{site}/visitors?stage=nowhere").status_code == 422


def test_the_list_of_visitors_comes_in_pages_last_seen_first(api: Api, site: str, send: Any) -> None:
    send(*(track(f"visitor-{number}", "Product Viewed", number % 5, product_id="p") for number in range(23)))
    all_at_once = api.all_items(f"/sites/{site}/visitors", 200)
    assert len(all_at_once) == 23
    assert [each["last_seen"] for each in all_at_once] == sorted((e["last_seen"] for e in all_at_once), reverse=True)
    for limit in (1, 4, 22, 23):
        assert api.all_items(f"/sites/{site}/visitors", limit) == all_at_once


def test_a_visitors_events_come_newest_first(api: Api, site: str, ada: str) -> None:
    events = api.all_items(f"/sites/{site}/visitors/{ada}/events", 2)
    assert [each["event"] for each in events] == [
        *("Identify", "Product Added", "Product Viewed", "Products Searched", "Page Viewed"),
    ]
    added = events[1]
    assert added["id"] == "ada-Product Added-3"
    assert added["type"] == "track"
    assert added["properties"]["price"] == 19.9
    assert added["timestamp"] == at(3).replace("+00:00", "Z")
    assert events[0]["traits"]["email"] == "ada@example.com"


def test_an_id_that_was_merged_finds_the_visitor_it_belongs_to(api: Api, site: str, ada: str, send: Any) -> None:
    send(track("phone", "Product Viewed", 6, product_id="p-3"))
    (phone,) = api.get(f"/sites/{site}/visitors?anonymous_id=phone").json["items"]
    send({"type": "identify", "messageId": "i2", "anonymousId": "phone", "userId": "u-1", "timestamp": at(7)})
    (known,) = api.get(f"/sites/{site}/visitors?user_id=u-1").json["items"]
    assert set(known["anonymous_ids"]) == {"ada", "phone"}
    for old in (ada, phone["id"]):
        assert api.get(f"/sites/{site}/visitors/{old}").json == known
        assert len(api.all_items(f"/sites/{site}/visitors/{old}/events", 3)) == 7
    assert len(api.get(f"/sites/{site}/visitors").json["items"]) == 1


def test_an_export_holds_everything_and_an_erasure_leaves_nothing(api: Api, site: str, ada: str, send: Any) -> None:
    send(*(track("ada", "Product Viewed", 10 + number / 100, product_id="p") for number in range(700)))
    answer = api.get(f"/sites/{site}/visitors/{ada}/export")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    export = answer.json
    assert export["visitor"] == api.get(f"/sites/{site}/visitors/{ada}").json
    assert export["events"] == api.all_items(f"/sites/{site}/visitors/{ada}/events", 200)
    assert len(export["events"]) == 705
    assert set(export) == {
        *("visitor", "events", "messages", "webhooks", "enrolments", "conversations", "parts"),
        *("merges", "consents", "segments", "access_log"),
    }
    assert api("DELETE", f"/sites/{site}/visitors/{ada}").status_code == 204
    for path in ("", "/events", "/messages", "/enrolments", "/export"):
        assert api.get(f"/sites/{site}/visitors/{ada}{path}").status_code == 404
    assert api("DELETE", f"/sites/{site}/visitors/{ada}").status_code == 404
    assert api.get(f"/sites/{site}/visitors").json["items"] == []


def test_what_a_rule_did_is_seen_from_all_sides(api: Api, site: str, send: Any, rt: Runtime) -> None:
    now = {name: value for name, value in RULE.items() if name not in {"delay", "cancel"}}
    rule = api.post(f"/sites/{site}/rules", {**now, "status": "active"}).json["id"]
    rt.clock.now = START - timedelta(hours=2)  # type: ignore[attr-defined]  # the events below are fresh then
    send(track("eve", "Product Added", 0, product_id="p-1", price=5))
    (eve,) = api.get(f"/sites/{site}/visitors?anonymous_id=eve").json["items"]
    (enrolment,) = api.get(f"/sites/{site}/visitors/{eve['id']}/enrolments").json["items"]
    assert (enrolment["rule_id"], enrolment["outcome"], enrolment["rule_version"]) == (rule, "sent", 1)
    assert enrolment["event_id"] == "eve-Product Added-0"
    (message,) = api.get(f"/sites/{site}/visitors/{eve['id']}/messages").json["items"]
    assert (message["channel"], message["status"], message["variant"]) == ("popup", "queued", "A")
    assert message["content"]["title"] == "Still yours"
    assert message["id"] == enrolment["message_id"]
    for query in ("", f"?rule={rule}", f"?visitor={eve['id']}", "?channel=popup", "?status=queued"):
        assert api.get(f"/sites/{site}/messages{query}").json["items"] == [message], query
    for query in ("?rule=x", "?visitor=x", f"?visitor={'0' * 32}", "?channel=email", "?status=sent"):
        assert api.get(f"/sites/{site}/messages{query}").json["items"] == [], query
    assert api.get(f"/sites/{site}/messages?status=nonsense").status_code == 422
    explained = api.get(f"/sites/{site}/rules/{rule}/explain?visitor={eve['id']}").json
    assert (explained["rule_id"], explained["visitor_id"]) == (rule, eve["id"])
    gates = {gate["gate"]: gate["open"] for gate in explained["gates"]}
    assert gates["trigger"]
    assert gates["audience"]
    assert not gates["reentry"]
    assert api.get(f"/sites/{site}/rules/{rule}/explain").json["errors"]["visitor"]
    assert api.get(f"/sites/{site}/rules/{rule}/explain?visitor=x").status_code == 404


def test_the_list_of_messages_comes_in_pages_newest_first(api: Api, site: str, send: Any, rt: Runtime) -> None:
    now = {name: value for name, value in RULE.items() if name not in {"delay", "cancel"}}
    api.post(f"/sites/{site}/rules", {**now, "status": "active"})
    rt.clock.now = START - timedelta(hours=2)  # type: ignore[attr-defined]
    send(*(track(f"visitor-{number}", "Product Added", 0, product_id="p") for number in range(9)))
    everything = api.all_items(f"/sites/{site}/messages", 200)
    assert len(everything) == 9
    for limit in (1, 2, 8, 9):
        assert api.all_items(f"/sites/{site}/messages", limit) == everything


def test_a_simulation_tells_what_a_rule_would_have_done(api: Api, site: str, send: Any) -> None:
    for number in range(5):
        send(track(f"visitor-{number}", "Product Added", number, product_id="p", price=5))
    send(track("visitor-1", "Order Completed", 10, order_id="o-1", total=5))
    address = f"/sites/{site}/simulations"
    whole = api.post(address, {"rule": RULE})
    assert whole.status_code == 200, whole.text
    assert set(whole.json) == {"items", "summary", "next_cursor"}
    assert whole.json["next_cursor"] is None
    outcomes = {item["anonymous_id"]: (item["outcome"], item["reason"]) for item in whole.json["items"]}
    assert outcomes == {
        f"visitor-{number}": ("skipped", "cancelled") if number == 1 else ("sent", None) for number in range(5)
    }
    item = next(each for each in whole.json["items"] if each["anonymous_id"] == "visitor-0")
    assert (item["event_id"], item["user_id"]) == ("visitor-0-Product Added-0", None)
    assert (item["entered_at"], item["at"]) == (at(0).replace("+00:00", "Z"), at(30).replace("+00:00", "Z"))
    stored = api.post(f"/sites/{site}/rules", RULE).json["id"]
    assert len(api.post(address, {"rule": stored}).json["items"]) == 5
    assert api.get(f"/sites/{site}/messages").json["items"] == []
    within = api.post(address, {"rule": RULE, "since": at(1), "until": at(3)}).json
    assert {item["anonymous_id"] for item in within["items"]} == {"visitor-1", "visitor-2"}
    assert {item["outcome"] for item in within["items"]} == {"pending"}


def test_the_pages_of_a_simulation_follow_one_another(api: Api, site: str, send: Any) -> None:
    send(*(track(f"visitor-{number}", "Product Added", number, product_id="p", price=5) for number in range(7)))
    address = f"/sites/{site}/simulations"
    whole = api.post(address, {"rule": RULE}).json["items"]
    for where in ("query", "body"):
        items: list[Any] = []
        cursor = None
        while True:
            part = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            query, body = (part, {}) if where == "query" else ({}, part)
            answer = api.post(address, {"rule": RULE, **body}, query_string=query)
            assert answer.status_code == 200, answer.text
            assert len(answer.json["items"]) <= 3
            items += answer.json["items"]
            cursor = answer.json["next_cursor"]
            if cursor is None:
                break
        assert items == whole


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "rule"),
        ({"rule": 1}, "rule"),
        ({"rule": "0" * 32}, "rule"),
        ({"rule": {**RULE, "delay": "soon"}}, "rule.delay"),
        ({"rule": RULE, "since": "yesterday"}, "since"),
        ({"rule": RULE, "since": "2026-01-01"}, "since"),
        ({"rule": RULE, "since": "2026-01-01T00:00:00"}, "since"),
        ({"rule": RULE, "since": "2026-13-01T00:00:00Z"}, "since"),
        ({"rule": RULE, "since": "9999-12-31T23:59:59-12:00"}, "since"),
        ({"rule": RULE, "since": 1}, "since"),
        ({"rule": RULE, "since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"rule": RULE, "limit": 0}, "limit"),
        ({"rule": RULE, "limit": True}, "limit"),
        ({"rule": RULE, "cursor": "x"}, "cursor"),
        ({"rule": RULE, "nonsense": 1}, "nonsense"),
    ],
)
def test_a_simulation_without_sense_is_refused(api: Api, site: str, body: object, where: str) -> None:
    answer = api.post(f"/sites/{site}/simulations", body)
    assert answer.status_code == 422, answer.text
    node = answer.json["errors"]
    for step in where.split("."):
        node = node[step]
    assert node


def test_the_status_is_zero_when_everything_has_been_decided_on(
    api: Api, client: FlaskClient, site: str, rt: Runtime
) -> None:
    key = api.get(f"/sites/{site}").json["write_key"]
    assert api.get("/status").json["pending_events"] == 0
    client.post("/v1/track", json={**track("ada", "Product Viewed", 0), "writeKey": key})
    assert api.get("/status").json["pending_events"] == 1
    processor = Processor(rt)
    processor.drain()
    processor.leave()
    status = api.get("/status").json
    assert (status["pending_events"], status["pending_jobs"], status["due_timers"]) == (0, 0, 0)
