"""The collector and its surroundings from outside: over HTTP, against a real `chimein up`, as the contract reads."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.stack import Shop, Stack, basic, packed, request, stack, track, wait_for

TEXT = {"Content-Type": "text/plain"}
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def chimein(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("black_box") / "var") as running:
        yield running
        assert running.set_aside() == 0, "an event that was accepted could not be folded"


@pytest.fixture(scope="module")
def shop(chimein: Stack) -> Shop:
    return chimein.site(currency="EUR")


@pytest.fixture
def ann() -> str:
    """A browser that nobody knows yet."""
    return uuid4().hex


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---- processes ----


def test_a_first_start_is_ready_within_twenty_seconds_and_a_second_one_continues(tmp_path: Path) -> None:
    with stack(tmp_path / "var") as first:
        token, port = first.token, first.port
        assert first.status("/healthz") == first.status("/readyz") == 200
        demo = first.demo()
        assert demo.key == "demo"
        demo.send(track("Product Viewed", "one"))
        content = {"title": "Later", "body": "…"}
        later = {"channels": ["popup"], "variants": [{"name": "A", "content": content}]}
        second = Stack(tmp_path / "var")
        assert second.process.wait(60) != 0
        assert "already runs" in second.output
        assert first.status("/readyz") == 200
        shop = first.site("shop")
        shop.rule({"name": "Later", "trigger": {"event": "Soon"}, "delay": "2s", "message": later})
        shop.send(track("Soon", "one"))
        assert shop.outcomes("one") == [(None, None)]
    time.sleep(2)  # its moment passes while nobody is there
    began = time.monotonic()
    with stack(tmp_path / "var", CHIMEIN_PORT=str(port)) as again:
        assert time.monotonic() - began < 20
        assert again.token == token
        again.demo().send(track("Product Viewed", "one"))
        assert again.demo().visitor("one")["counts"]["Product Viewed"] == 2
        shop = Shop(again, again.api("GET", "/sites/shop").json)
        wait_for(lambda: shop.outcomes("one") == [("sent", None)])
        assert len(shop.of("one", "messages")) == 1


def test_status_metrics_and_documents_are_where_the_contract_says(chimein: Stack) -> None:
    assert chimein.api("GET", "/status").json.keys() >= {"pending_events", "pending_jobs", "due_timers"}
    assert request("GET", f"{chimein.url}/api/v1/status").status == 401
    metrics = request("GET", f"{chimein.url}/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert request("GET", f"{chimein.url}/api/openapi.json").json["openapi"].startswith("3.")
    for path, kind in (("/api/docs", "text/html"), ("/chimein.js", "javascript"), ("/demo/", "text/html")):
        answer = request("GET", chimein.url + path)
        assert (answer.status, kind in answer.headers["Content-Type"]) == (200, True)


# ---- who may send, and how it is packed ----


@pytest.mark.parametrize("how", ["basic", "bearer", "body", "batch body", "text/plain", "gzip", "gzip text/plain"])
def test_the_write_key_is_taken_in_three_places_and_the_body_in_every_wrapping(shop: Shop, ann: str, how: str) -> None:
    call = track("Thing Done", ann)
    keyed = {**call, "writeKey": shop.key}
    answer = {
        "basic": lambda: shop.post("track", call, basic(shop.key)),
        "bearer": lambda: shop.post("track", call, {"Authorization": f"Bearer {shop.key}"}),
        "body": lambda: shop.post("track", keyed),
        "batch body": lambda: shop.post("batch", {"batch": [call], "writeKey": shop.key}),
        "text/plain": lambda: shop.post("track", keyed, TEXT),
        "gzip": lambda: shop.post("track", packed(call), {"Content-Encoding": "gzip", **basic(shop.key)}),
        "gzip text/plain": lambda: shop.post("track", packed(keyed), {"Content-Encoding": "gzip", **TEXT}),
    }[how]()
    assert (answer.status, answer.json) == (200, {"success": True, "accepted": 1, "rejected": []})
    shop.chimein.settle()
    assert shop.visitor(ann)["counts"] == {"Thing Done": 1}


@pytest.mark.parametrize("headers", [{}, basic("nobody"), {"Authorization": "Bearer nobody"}])
def test_an_unknown_key_and_none_at_all_are_401(shop: Shop, ann: str, headers: dict[str, str]) -> None:
    for path, body in (("track", track("X", ann)), ("batch", {"batch": [track("X", ann)]})):
        answer = shop.post(path, body, {**headers, "Origin": ORIGIN})
        assert answer.status == 401
        assert answer.json.keys() == {"code", "status", "message", "errors"}
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN), "the page may read why"


def test_every_long_and_short_path_takes_its_call(shop: Shop, ann: str) -> None:
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "track": ("t", {"event": "Thing Done"}),
        "page": ("p", {"name": "Home"}),
        "screen": ("s", {"name": "Start"}),
        "identify": ("i", {"traits": {"first_name": "Ann"}}),
        "group": ("g", {"groupId": "team"}),
        "alias": ("a", {"previousId": ann, "userId": f"user-{ann}"}),
    }
    for long, (short, fields) in calls.items():
        for path in (long, short):
            # Without `type`: the path says it.
            answer = shop.post(path, {"anonymousId": ann, **fields}, basic(shop.key))
            assert (answer.status, answer.json["accepted"]) == (200, 1), answer.text
    for path in ("batch", "b"):
        assert shop.post(path, {"batch": [track("Thing Done", ann)]}, basic(shop.key)).json["accepted"] == 1
    assert shop.post("m", {"series": []}, basic(shop.key)).status == 200
    shop.chimein.settle()
    visitor = shop.visitor(ann)
    assert visitor["counts"] == {
        **dict.fromkeys(("Page Viewed", "Screen Viewed", "Identify", "Group", "Alias"), 2),
        "Thing Done": 4,
    }
    assert visitor["user_id"] == f"user-{ann}"


def test_cors_lets_every_origin_in_unless_the_site_names_its_own(chimein: Stack, shop: Shop, ann: str) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for path in ("track", "t", "batch", "b"):
        preflight = request("OPTIONS", f"{chimein.url}/v1/{path}", headers=asked)
        assert preflight.status in (200, 204)
        assert preflight.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "content-type" in preflight.headers["Access-Control-Allow-Headers"].lower()
    answer = shop.post("track", {**track("X", ann), "writeKey": shop.key}, {**TEXT, "Origin": ORIGIN})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)) == (200, True)
    closed = chimein.site(origins=[ORIGIN])
    for origin, status in ((ORIGIN, 200), ("https://elsewhere.example", 403)):
        answer = closed.post("track", {**track("X", ann), "writeKey": closed.key}, {**TEXT, "Origin": origin})
        assert answer.status == status
    assert closed.post("track", track("X", ann), basic(closed.key)).status == 200, "a server has no origin"


# ---- limits and bad input ----


def padded(size: int, ann: str) -> dict[str, Any]:
    """A track call of exactly `size` bytes, none of its strings too long."""
    call = track("Big", ann, properties={})
    missing = size - len(json.dumps(call))
    texts = [f'"{number:02d}": ""' for number in range(8)]
    share = (missing - sum(len(text) for text in texts) - 2 * 7) // 8
    call["properties"] = {f"{number:02d}": "x" * share for number in range(8)}
    call["properties"]["00"] += "x" * (size - len(json.dumps(call)))
    assert len(json.dumps(call)) == size
    return call


def test_an_event_of_32_kb_passes_and_one_byte_more_does_not(shop: Shop, ann: str) -> None:
    assert shop.post("track", padded(32 * 1024, ann), basic(shop.key)).status == 200
    assert shop.post("track", padded(32 * 1024 + 1, ann), basic(shop.key)).status in (400, 413)
    big = padded(33 * 1024, ann)
    answer = shop.post("batch", {"batch": [track("Small", ann), big, track("Small", ann)]}, basic(shop.key))
    assert (answer.status, answer.json["accepted"]) == (200, 2)
    [rejected] = answer.json["rejected"]
    assert (rejected["index"], rejected["messageId"]) == (1, big["messageId"])
    shop.chimein.settle()
    assert shop.visitor(ann)["counts"] == {"Big": 1, "Small": 2}


def test_2500_events_pass_and_2501_do_not(shop: Shop, ann: str) -> None:
    calls = [{"type": "track", "event": "N", "anonymousId": ann, "messageId": f"{ann}{n}"} for n in range(2_501)]
    assert shop.post("batch", {"batch": calls}, basic(shop.key)).status == 413
    answer = shop.post("batch", {"batch": calls[:2_500]}, basic(shop.key))
    assert (answer.status, answer.json["accepted"]) == (200, 2_500)
    shop.chimein.settle()
    assert shop.visitor(ann)["counts"] == {"N": 2_500}


def test_500_kb_is_the_most_before_and_after_unpacking(shop: Shop, ann: str) -> None:
    calls = [padded(20_000, ann) for _ in range(26)]
    assert shop.post("batch", {"batch": calls}, basic(shop.key)).status == 413
    unpacking = {"Content-Encoding": "gzip", **basic(shop.key)}
    assert shop.post("batch", packed({"batch": calls}), unpacking).status == 413
    bomb = packed({"batch": [], "x": "0" * 50_000_000})
    assert len(bomb) < 500 * 1024
    assert shop.post("batch", bomb, unpacking).status == 413
    assert shop.post("batch", packed({"batch": calls[:25]}), unpacking).json["accepted"] == 25


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"7", b'"text"', b"\xff\xfe", b'{"batch": 7}', b"[" * 30_000, b'{"a":' * 5_000],
)
def test_what_is_not_json_is_400_with_the_one_shape_of_errors(shop: Shop, body: bytes) -> None:
    for path in ("track", "batch"):
        answer = shop.post(path, body, basic(shop.key))
        assert answer.status == 400, answer.text
        assert answer.json.keys() == {"code", "status", "message", "errors"}
        assert answer.json["status"] == 400


MANY = dict.fromkeys(map(str, range(3_000)), 1)
BAD: dict[str, Any] = {
    "no name": {"type": "track", "anonymousId": "a"},
    "nobody": {"type": "track", "event": "X"},
    "an unknown type": {"type": "dance", "event": "X", "anonymousId": "a"},
    "no type": {"event": "X", "anonymousId": "a"},
    "a name that is a number": {"type": "track", "event": 7, "anonymousId": "a"},
    "properties that are a list": {"type": "track", "event": "X", "anonymousId": "a", "properties": [1]},
    "an id that is an object": {"type": "track", "event": "X", "anonymousId": {}},
    "an id of 101 characters": {"type": "track", "event": "X", "anonymousId": "a" * 101},
    "a timestamp that is none": {"type": "track", "event": "X", "anonymousId": "a", "timestamp": "yesterday"},
    "3,000 properties": {"type": "track", "event": "X", "anonymousId": "a", "properties": MANY},
    "NUL": {"type": "track", "event": "X\0", "anonymousId": "a"},
    "not an object": 7,
    "null": None,
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_event_is_named_and_costs_none_of_its_neighbours(shop: Shop, ann: str, what: str) -> None:
    bad = BAD[what]
    if isinstance(bad, dict):
        bad = {**bad, "messageId": f"bad-{ann}"}
    answer = shop.post("batch", {"batch": [track("Good", ann), bad, track("Good", ann)]}, basic(shop.key))
    assert (answer.status, answer.json["success"], answer.json["accepted"]) == (200, True, 2)
    [rejected] = answer.json["rejected"]
    assert rejected["index"] == 1
    assert rejected["messageId"] == (f"bad-{ann}" if isinstance(bad, dict) else None)
    assert rejected["code"]
    assert rejected["message"].endswith(".")
    if isinstance(bad, dict) and "type" in bad and bad["type"] != "dance":
        assert shop.post("track", bad, basic(shop.key)).status == 400
    shop.chimein.settle()
    assert shop.visitor(ann)["counts"] == {"Good": 2}


@pytest.mark.parametrize(
    "raw",
    [rb'"\ud800"', rb'{"deep": ' * 40 + b"1" + b"}" * 40, b"1" * 400, b"1e999", b"-1e999", b"NaN", rb'"\u0000"'],
)
def test_values_that_no_database_holds_are_refused_or_kept_and_never_fatal(shop: Shop, ann: str, raw: bytes) -> None:
    good = json.dumps(track("Good", ann)).encode()
    bad = b'{"type":"track","event":"Odd","anonymousId":"%b","properties":{"value":%b}}' % (ann.encode(), raw)
    answer = shop.post("batch", b'{"batch":[%b,%b,%b]}' % (good, bad, good.replace(b"Good", b"Fine")), basic(shop.key))
    assert answer.status in (200, 400), answer.text
    if answer.status == 200:
        assert answer.json["accepted"] + len(answer.json["rejected"]) == 3
        assert [each["index"] for each in answer.json["rejected"]] in ([], [1])
    shop.chimein.settle()
    shop.send(track("Afterwards", ann))
    assert shop.visitor(ann)["counts"]["Afterwards"] == 1
    assert shop.chimein.set_aside() == 0


def test_names_in_every_script_and_markup_come_back_as_they_were_sent(shop: Shop, ann: str) -> None:
    names = ["Zoë 🦊", "שלום", "<script>alert(1)</script>", "O'Brien\" --", "{{ 7 | times: 7 }}", "日本語" * 100]
    for name in names:
        shop.send({"type": "identify", "anonymousId": ann, "messageId": uuid4().hex, "traits": {"first_name": name}})
        assert shop.visitor(ann)["traits"]["first_name"] == name


# ---- time ----


def test_a_timestamp_stands_as_sent_unless_the_senders_clock_is_off(shop: Shop, ann: str) -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    ago = now - timedelta(minutes=5)

    def stored(said: datetime | str | None, sent_at: datetime | None) -> tuple[datetime, datetime]:
        call = track(uuid4().hex, ann, **({"timestamp": said} if said is not None else {}))
        envelope = {"sentAt": sent_at.isoformat()} if sent_at is not None else {}
        shop.send(call, **envelope)
        [event] = [each for each in shop.of(ann, "events") if each["id"] == call["messageId"]]
        return moment(event["timestamp"]), moment(event["received_at"])

    assert stored(ago, None)[0] == ago
    assert stored(ago, datetime.now(UTC) - timedelta(seconds=5))[0] == ago, "within 10 s: as sent"
    for behind in (hour, -hour):
        sent_at = datetime.now(UTC) - behind
        kept, received = stored(sent_at - timedelta(minutes=5), sent_at)
        assert kept == received - timedelta(minutes=5)
    late = track(uuid4().hex, ann, timestamp=now - hour - timedelta(minutes=1), sentAt=now - hour)
    assert shop.post("track", late, basic(shop.key)).status == 200, "a single call says so itself"
    shop.chimein.settle()
    [event] = [each for each in shop.of(ann, "events") if each["id"] == late["messageId"]]
    assert timedelta(minutes=1) <= moment(event["received_at"]) - moment(event["timestamp"]) < timedelta(minutes=3)
    for said in (None, now + hour, datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)):
        kept, received = stored(said, None)
        assert kept == received


# ---- once ----


def test_one_message_id_is_folded_once_whatever_is_sent_again(shop: Shop, ann: str) -> None:
    call = track("Once", ann)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shop.post("track", call, basic(shop.key)), range(24)))
    assert [answer.status for answer in answers] == [200] * 24
    shop.send(call, call, track("Other", ann), call)
    shop.chimein.settle()
    shop.send(call)
    assert shop.visitor(ann)["counts"] == {"Once": 1, "Other": 1}
    assert len(shop.of(ann, "events")) == 2


def test_an_event_is_folded_once_across_the_kill_of_the_processor(shop: Shop, ann: str) -> None:
    calls = [track("Once", ann) for _ in range(200)]
    for start in range(0, 200, 20):
        answer = shop.post("batch", {"batch": calls[start : start + 20]}, basic(shop.key))
        assert answer.json["accepted"] == 20
    os.kill(shop.chimein.pids["process"], signal.SIGKILL)
    shop.send(*calls)
    assert shop.visitor(ann)["counts"] == {"Once": 200}


# ---- the visitor ----


def test_a_visitor_shows_every_field_of_the_contract(shop: Shop, ann: str) -> None:
    context = {
        "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/17.0 Mobile/15E148 Safari/604.1",
        "locale": "de-AT",
        "timezone": "Europe/Vienna",
        "screen": {"width": 390, "height": 844},
        "campaign": {"source": "newsletter", "name": "spring"},
        "page": {"url": "https://shop.example/?utm_source=newsletter", "referrer": "https://search.example/"},
    }
    start = datetime.now(UTC) - timedelta(minutes=9)

    def minute(number: int) -> datetime:
        return start + timedelta(minutes=number)

    kettle = {"product_id": "K", "name": "Kettle", "price": 19.9, "quantity": 2}
    user = f"user-{ann}"
    shop.send(
        {**track("", ann, timestamp=minute(0), context=context), "type": "page"},
        track("Products Searched", ann, properties={"query": "kettle"}, timestamp=minute(1)),
        track("Product Viewed", ann, properties=kettle, timestamp=minute(2)),
        track("Product Added", ann, properties=kettle, timestamp=minute(3)),
        track(
            "Form Field Filled",
            ann,
            properties={"form": "checkout", "field": "email", "value": "ann@example.com", "page": "/checkout"},
            timestamp=minute(4),
        ),
        {
            "type": "identify", "anonymousId": ann, "userId": user, "messageId": uuid4().hex,
            "traits": {"first_name": "Ann"}, "timestamp": minute(5).isoformat(),
        },
    )  # fmt: skip
    visitor = shop.visitor(ann)
    assert (visitor["anonymous_ids"], visitor["user_id"], visitor["stage"]) == ([ann], user, "cart")
    assert visitor["traits"]["first_name"] == "Ann"
    assert ("email", "ann@example.com") in [(each["kind"], each["value"]) for each in visitor["identifiers"]]
    assert visitor["device"] == visitor["device"] | {"type": "mobile", "locale": "de-AT", "timezone": "Europe/Vienna"}
    assert moment(visitor["first_seen"]) == minute(0)
    assert moment(visitor["last_seen"]) == minute(5)
    assert visitor["sessions"] == 1
    assert visitor["counts"] == {
        "Page Viewed": 1,
        "Products Searched": 1,
        "Product Viewed": 1,
        "Product Added": 1,
        "Form Field Filled": 1,
        "Identify": 1,
    }
    [item] = visitor["cart"]["items"]
    assert (item["product_id"], item["quantity"], item["price"], item["currency"]) == ("K", 2, "19.90", "EUR")
    assert (visitor["cart"]["total"], visitor["cart"]["currency"]) == ("39.80", "EUR")
    assert (visitor["orders"]["count"], visitor["orders"]["revenue"], visitor["orders"]["last_at"]) == (0, "0.00", None)
    assert [each["query"] for each in visitor["searches"]] == ["kettle"]
    for touch in ("first", "last"):
        assert visitor["source"][touch]["campaign"]["source"] == "newsletter"
        assert visitor["source"][touch]["referrer"] == "https://search.example/"
    assert shop.visitors(user_id=user) == shop.visitors(email="ann@example.com") == [visitor]
    shop.send(track("Order Completed", ann, properties={"order_id": "1", "total": 39.8, "products": [kettle]}))
    visitor = shop.visitor(ann)
    assert (visitor["stage"], visitor["cart"]["items"]) == ("customer", [])
    assert (visitor["orders"]["count"], visitor["orders"]["revenue"], visitor["orders"]["currency"]) == (
        1,
        "39.80",
        "EUR",
    )


def test_two_known_people_on_one_device_stay_two(shop: Shop, ann: str) -> None:
    for user in ("first", "second"):
        call = {"type": "identify", "anonymousId": ann, "userId": f"{user}-{ann}", "messageId": uuid4().hex}
        shop.send(call, track("Thing Done", ann, userId=f"{user}-{ann}"))
    for user in ("first", "second"):
        [visitor] = shop.visitors(user_id=f"{user}-{ann}")
        assert visitor["counts"] == {"Identify": 1, "Thing Done": 1}


def test_what_was_seen_anonymously_belongs_to_whoever_is_identified(shop: Shop, ann: str) -> None:
    shop.send(track("Thing Done", ann))
    before = shop.visitor(ann)["id"]
    shop.send({"type": "identify", "anonymousId": ann, "userId": f"u-{ann}", "messageId": uuid4().hex})
    [visitor] = shop.visitors(user_id=f"u-{ann}")
    assert visitor == shop.visitor(ann)
    assert visitor["counts"] == {"Thing Done": 1, "Identify": 1}
    assert shop.api("GET", f"/visitors/{before}").json == visitor


def test_lists_come_in_pages_and_one_visitor_can_be_exported_and_erased(shop: Shop, ann: str) -> None:
    shop.send(*[track("Thing Done", ann) for _ in range(7)])
    visitor = shop.visitor(ann)["id"]
    ids: list[str] = []
    cursor = ""
    while True:
        page = shop.api("GET", f"/visitors/{visitor}/events?limit=3{cursor}").json
        ids += [each["id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(set(ids)) == len(ids) == 7
    exported = shop.api("GET", f"/visitors/{visitor}/export").json
    assert (exported["visitor"]["id"], len(exported["events"])) == (visitor, 7)
    assert shop.api("DELETE", f"/visitors/{visitor}").status == 204
    assert shop.visitors(anonymous_id=ann) == []
    assert shop.api("GET", f"/visitors/{visitor}").status == 404


def test_sites_never_see_each_other(chimein: Stack, shop: Shop, ann: str) -> None:
    other = chimein.site()
    shop.send(track("Thing Done", ann))
    visitor = shop.visitor(ann)["id"]
    assert other.visitors(anonymous_id=ann) == []
    assert other.api("GET", f"/visitors/{visitor}").status == 404
    other.send(track("Another Thing", ann))
    assert shop.visitor(ann)["counts"] == {"Thing Done": 1}
    assert other.visitor(ann)["counts"] == {"Another Thing": 1}
