"""The collector at its edges: every call and form, every way to carry the key, and whatever else comes (issue 2)."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.app import create_app
from backend.pipeline.dead import list_dead
from backend.runtime import build_runtime, close_runtime
from backend.settings import Settings
from backend.storage.sites import create_site, new_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import SECRET, WRITE_KEY, Shop, at, call

BASIC = {"Authorization": "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()}
KEYED = f'"writeKey":"{WRITE_KEY}"'
GOOD = '{"type":"track","event":"Good","anonymousId":"ann"}'

CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("track t", {"event": "Sold"}, "Sold"),
    ("page p", {"name": "Home", "category": "Start"}, "Page Viewed"),
    ("screen s", {"name": "Home"}, "Screen Viewed"),
    ("identify i", {"userId": "u", "traits": {"plan": "paid"}}, "Identify"),
    ("group g", {"groupId": "acme"}, "Group"),
    ("alias a", {"userId": "u", "previousId": "ann"}, "Alias"),
]


def names(shop: Shop) -> list[str]:
    """Processes what is there; the names of all stored events."""
    shop.processor.drain()
    return [event.name for event in shop.stored()]


def test_every_call_and_its_short_form(shop: Shop, subtests: pytest.Subtests) -> None:
    for paths, fields, name in CALLS:
        for path in paths.split():
            with subtests.test(path):
                answer = shop.post(f"/v1/{path}", {"anonymousId": path, "messageId": path, **fields})
                assert answer.status_code == 200
                assert answer.json == {"success": True, "accepted": 1, "rejected": []}
                shop.processor.drain()
                event = {event.message_id: event for event in shop.stored()}[path]
                assert (event.name, event.anonymous_id) == (name, path)


@pytest.mark.parametrize("path", ["batch", "b", "import"])
def test_a_batch_holds_every_type(shop: Shop, path: str) -> None:
    calls = [{"type": paths.split()[0], "anonymousId": "ann", **body} for paths, body, _ in CALLS]
    assert shop.post(f"/v1/{path}", {"batch": calls}).json["accepted"] == len(CALLS)
    assert sorted(names(shop)) == sorted(name for _, _, name in CALLS)


def test_the_librarys_own_metrics_are_taken_and_not_kept(shop: Shop) -> None:
    assert shop.post("/v1/m", {"series": []}).status_code == 200
    assert names(shop) == []


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize(
    "headers",
    [
        BASIC,
        {"Authorization": f"Bearer {WRITE_KEY}"},
        {"Authorization": f"bearer   {WRITE_KEY} "},
        {"Authorization": "Digest x"},
    ],
)
def test_the_key_comes_as_basic_user_as_bearer_or_in_the_body(shop: Shop, path: str, headers: dict[str, str]) -> None:
    body: dict[str, Any] = {"batch": [json.loads(GOOD)]} if path == "/v1/batch" else {"event": "Good", "userId": "u"}
    if "Digest" in headers["Authorization"]:
        body["writeKey"] = WRITE_KEY
    answer = shop.client.post(path, data=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text


def test_an_unknown_key_is_401_and_nothing_is_kept(each_shop: Shop, subtests: pytest.Subtests) -> None:
    basic = [base64.b64encode(text).decode() for text in (b"\xff\xfe:", b":", b"a\0b:", b"nobody:")]
    values = [None, "Bearer nobody", "Bearer ", "Basic !!!", *(f"Basic {text}" for text in basic)]
    for value in values:
        with subtests.test(str(value)):
            headers = {"Authorization": value} if value else {}
            answer = each_shop.client.post("/v1/track", data=GOOD, headers=headers)
            assert answer.status_code == 401, answer.text
            assert answer.json["code"] == "unauthorized"
    for key in ("", "nobody", "ключ", "' OR 1=1 --", None, "x" * 300, 7, "\0"):
        with subtests.test(f"in the body: {key!r}"):
            body = json.dumps({"event": "X", "anonymousId": "a", "writeKey": key})
            answer = each_shop.client.post("/v1/track", data=body)
            assert answer.status_code == (400 if key in {"x" * 300, 7, "\0"} else 401), answer.text
    assert names(each_shop) == []


def test_text_plain_and_gzip_are_taken(shop: Shop) -> None:
    body = json.dumps({"batch": [json.loads(GOOD)], "writeKey": WRITE_KEY}).encode()
    assert shop.client.post("/v1/b", data=body, content_type="text/plain;charset=UTF-8").status_code == 200
    packed = {"Content-Encoding": "gzip"}
    assert shop.client.post("/v1/b", data=gzip.compress(body), headers=packed).status_code == 200
    assert shop.client.post("/v1/track", data=gzip.compress(GOOD.encode()), headers=packed | BASIC).status_code == 200
    assert names(shop) == ["Good"] * 3


def test_a_bomb_and_broken_gzip_are_refused(shop: Shop) -> None:
    packed = {"Content-Encoding": "gzip", **BASIC}
    small = gzip.compress(GOOD.encode())
    table = [
        (gzip.compress(b"[" * 100_000_000), 413),
        (gzip.compress(b'{"batch":[' + b" " * 600_000 + b"]}"), 413),
        (b"not gzip", 400),
        (small[:-5], 400),
        (small + b"more", 400),
        (small + small, 400),
        (b"", 400),
        (zlib.compress(GOOD.encode()), 400),
        (gzip.compress(small), 400),
    ]
    for body, status in table:
        assert shop.client.post("/v1/track", data=body, headers=packed).status_code == status, body[:40]
    for encoding in ("br", "deflate", "gzip, gzip", "x" * 1_000):
        headers = {"Content-Encoding": encoding, **BASIC}
        assert shop.client.post("/v1/track", data=small, headers=headers).status_code == 400
    assert names(shop) == []


# Which pages may call


def site_with_origins(shop: Shop, *origins: str) -> str:
    """The write key of a site for these origins only."""
    site = replace(new_site("closed"), origins=origins)
    with shop.rt.db.begin() as connection:
        return create_site(connection, shop.rt.sites.vault, site, shop.clock()).site.write_key


@pytest.mark.parametrize("path", ["t", "b", "m", "batch", "identify"])
def test_a_preflight_is_answered(shop: Shop, path: str) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,content-encoding",
    }
    answer = shop.client.options(f"/v1/{path}", headers=asked)
    assert answer.status_code in {200, 204}
    assert answer.headers["Access-Control-Allow-Origin"] in {"https://shop.example", "*"}
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "content-encoding"))
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_any_page_may_read_the_answer_where_the_site_names_no_origins(shop: Shop) -> None:
    headers = {"Origin": "https://anywhere.example", **BASIC}
    for body, status in ((GOOD, 200), ("{", 400), ("{}", 400)):
        answer = shop.client.post("/v1/track", data=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] in {"https://anywhere.example", "*"}
        assert "Access-Control-Allow-Credentials" not in answer.headers
    without = shop.client.post("/v1/track", data=GOOD, headers=BASIC)
    assert without.status_code == 200, "a backend has no origin"


def test_only_the_sites_own_pages_may_where_it_names_them(shop: Shop) -> None:
    key = site_with_origins(shop, "https://shop.example")
    table = [
        ("https://shop.example", 200),
        (None, 200),
        ("https://evil.example", 403),
        ("http://shop.example", 403),
        ("https://shop.example:8443", 403),
        ("https://shop.example.evil.example", 403),
        ("null", 403),
    ]
    for origin, status in table:
        headers = {"Authorization": f"Bearer {key}"} | ({"Origin": origin} if origin else {})
        answer = shop.client.post("/v1/track", data=GOOD, headers=headers)
        assert answer.status_code == status, origin
        seen = answer.headers.get("Access-Control-Allow-Origin")
        assert seen == (origin if status == 200 else None), origin
        if origin and status == 200:
            assert "Origin" in answer.headers["Vary"]


# Bad input (issue 2)

EVENT: Mapping[str, Any] = {"type": "track", "event": "Bad", "anonymousId": "ann", "messageId": "bad"}


def raw(**fields: Any) -> str:
    return json.dumps(EVENT | fields)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BAD = {
    "no event at all": "7",
    "null": "null",
    "a list": "[]",
    "text": '"track"',
    "no name": raw(event=None),
    "an empty name": raw(event=""),
    "a number for a name": raw(event=5),
    "a name without end": raw(event="x" * 256),
    "nobody": raw(anonymousId=None),
    "an empty id": raw(anonymousId=""),
    "a list for an id": raw(anonymousId=["ann"]),
    "true for an id": raw(anonymousId=True),
    "a fraction for an id": raw(anonymousId=1.5),
    "an id without end": raw(anonymousId="x" * 101),
    "a message id without end": raw(messageId="x" * 101),
    "a message id that is a number": raw(messageId=7),
    "text for properties": raw(properties="x"),
    "a list for properties": raw(properties=[1]),
    "10,000 properties": raw(properties={f"p{number}": number for number in range(1_200)}),
    "a key without end": raw(properties={"k" * 129: 1}),
    "a text without end": raw(properties={"k": "x" * 8_193}),
    "an integer beyond 2^53": raw(properties={"k": 2**53 + 1}),
    "an integer of 5,000 digits": raw(properties={"k": 0})[:-3] + "9" * 5_000 + "}}",
    "a number beyond all": raw(properties={"k": 0})[:-3] + "1e999}}",
    "not a number": raw(properties={"k": float("nan")}),
    "infinity": raw(properties={"k": float("-inf")}),
    "nesting of 13": raw(properties={"k": 0})[:-3] + nested(12) + "}}",
    "nesting of 5,000": raw(properties={"k": 0})[:-3] + nested(5_000) + "}}",
    "nesting of 5,000 where nobody looks": raw(unknown=0)[:-1].removesuffix("0") + nested(5_000) + "}",
    "nesting of 600 where nobody looks": raw(unknown=0)[:-1].removesuffix("0") + nested(600) + "}",
    "NUL in the name": raw(event="a\0b"),
    "NUL in an id": raw(anonymousId="a\0b"),
    "NUL in a key": raw(properties={"a\0b": 1}),
    "NUL deep inside": raw(properties={"k": [{"l": "\\\0"}]}),
    "NUL where nobody looks": raw(unknown="\0"),
    "half a surrogate pair in the name": raw(event="a\ud800b"),
    "half a surrogate pair inside": raw(properties={"k": "\udfff"}),
    "half a surrogate pair in a key": raw(properties={"\ud83d": 1}),
    "half a surrogate pair where nobody looks": raw(unknown="\ud800"),
    "33 KB": raw(properties={f"k{number}": "x" * 6_700 for number in range(5)}),
    "33 KB where nobody looks": raw(unknown="x" * 33_000),
    "a date that is none": raw(timestamp="yesterday"),
    "the 30th of February": raw(timestamp="2026-02-30T00:00:00Z"),
    "the year 10000": raw(timestamp="+10000-01-01T00:00:00Z"),
    "a number for a date": raw(timestamp=1_700_000_000),
    "a list for sentAt": raw(sentAt=[]),
}
ONLY_IN_BATCH = {
    "no type": raw(type=None),
    "an unknown type": raw(type="delete"),
    "a type in capitals": raw(type="Track"),
}
ALONE = {
    "identify without anybody": ("identify", {"traits": {"a": 1}}),
    "alias without a previous id": ("alias", {"userId": "u", "anonymousId": "a"}),
    "group without a group": ("group", {"userId": "u"}),
    "page without anybody": ("page", {"name": "Home"}),
}


def test_one_bad_event_never_costs_its_neighbours(shop: Shop, subtests: pytest.Subtests) -> None:
    for name, bad in (BAD | ONLY_IN_BATCH).items():
        with subtests.test(name):
            body = f'{{"batch":[{GOOD},{bad},{GOOD}],{KEYED}}}'
            answer = shop.client.post("/v1/batch", data=body.encode("utf-8", "surrogatepass"))
            assert answer.status_code == 200, answer.text
            assert answer.json["success"] is True
            assert answer.json["accepted"] == 2
            [rejected] = answer.json["rejected"]
            assert rejected["index"] == 1
            assert rejected["code"]
            assert rejected["message"].endswith(".")
            if '"messageId": "bad"' in bad:
                assert rejected["messageId"] == "bad"
    assert names(shop) == ["Good"] * 2 * len(BAD | ONLY_IN_BATCH)
    assert list_dead(shop.rt) == []


def test_a_bad_event_in_a_single_call_is_refused_and_nothing_is_kept(shop: Shop, subtests: pytest.Subtests) -> None:
    for name, bad in BAD.items():
        with subtests.test(name):
            answer = shop.client.post("/v1/track", data=bad.encode("utf-8", "surrogatepass"), headers=BASIC)
            assert answer.status_code == (413 if len(bad) > 32 * 1024 else 400), answer.text
            assert set(answer.json) == {"code", "status", "message", "errors"}
            assert answer.json["status"] == answer.status_code
    assert names(shop) == []


@pytest.mark.parametrize(("path", "body"), ALONE.values(), ids=ALONE)
def test_each_call_has_what_it_cannot_do_without(shop: Shop, path: str, body: dict[str, Any]) -> None:
    assert shop.post(f"/v1/{path}", body).status_code == 400
    batch = shop.post("/v1/batch", {"batch": [{"type": path, **body}, json.loads(GOOD)]})
    assert batch.json["accepted"] == 1
    assert batch.json["rejected"][0]["index"] == 0


HTML = "</script><script>alert(1)</script><!--"
FINE: dict[str, dict[str, Any]] = {
    "emoji and right to left": {"event": "שלום 🛒 مرحبا", "properties": {"имя": "👩‍👩‍👧", "‮": "‏"}},
    "HTML in every field": dict.fromkeys(
        ("event", "userId", "anonymousId", "messageId", "unknown"), "<script>alert(1)</script>"
    ),
    "HTML inside": {
        "event": "X",
        "properties": {"<b>": "</script><!--"},
        "context": {"page": {"title": "<img onerror>"}},
    },
    "unknown keys": {"event": "X", "unknown": {"a": [1]}, "integrations": {"All": True}, "_metadata": {}},
    "strange numbers where nobody looks": {"event": "X", "unknown": [10**30, -0.0, 1e-300]},
    "a written backslash and u0000": {"event": "X", "properties": {"k": "\\u0000"}},
    "nesting of 12": {"event": "X", "properties": {"k": json.loads(nested(10))}},
    "32 KB less a little": {"event": "X", "properties": {f"k{number}": "x" * 8_000 for number in range(4)}},
    "250 properties": {"event": "X", "properties": {f"p{number}": number for number in range(250)}},
    "numbers for ids": {"event": "X", "anonymousId": 17, "userId": 4},
    "null everywhere": {
        "event": "X",
        "properties": None,
        "context": None,
        "traits": None,
        "timestamp": None,
        "userId": None,
    },
    "control characters": {"event": "X", "properties": {"k": "\x01\t\n\x7f "}},
    "the last character there is": {"event": "\U0010ffff￿", "properties": {"￾": 1}},
}


def test_strange_but_good_events_are_kept_as_they_are(each_shop: Shop, subtests: pytest.Subtests) -> None:
    """Stored on both databases, read again, and understood by a simulation."""
    shop = each_shop
    for name, fields in FINE.items():
        with subtests.test(name):
            one = {"type": "track", "anonymousId": "ann", "messageId": name} | fields
            batch = {"batch": [one, json.loads(GOOD)], "context": {"locale": "he-IL"}}
            assert shop.post("/v1/batch", batch).json["accepted"] == 2
            assert shop.post("/v1/track", {**one, "messageId": f"{name} again"}).status_code == 200
            shop.processor.drain()
            assert list_dead(shop.rt) == []
            event = {event.message_id: event for event in shop.stored()}[one["messageId"]]
            assert event.name == one["event"]
            assert event.properties == (one.get("properties") or {})
            user_id = one.get("userId")
            assert event.anonymous_id == str(one["anonymousId"])
            assert event.user_id == (None if user_id is None else str(user_id))
    found = shop.simulate({"trigger": {"event": "X"}, "reentry": {"policy": "every"}}, until=at(hours=1))
    assert found.summary["entered"] == 2 * sum(fields["event"] == "X" for fields in FINE.values())


NO_BATCH = (
    ("", 400),
    ("not json", 400),
    ("{", 400),
    ("[]", 400),
    ("7", 400),
    ("null", 400),
    ("{}", 400),
    ('{"batch":null}', 400),
    ('{"batch":{}}', 400),
    ('{"batch":"x"}', 400),
    (f'{{"batch":[{GOOD}', 400),
    (f'{{"batch":[{GOOD}]}} trailing', 400),
    (f'{{"batch":[{GOOD},]}}', 400),
    (f'{{"batch":[{GOOD},{{oops}}]}}', 400),
    (f'{{"batch":[{GOOD}}}]', 400),
    (f'{{"batch":[{GOOD}],"context":[]}}', 400),
    (f'{{"batch":[{GOOD}],"context":"\\u0000"}}', 400),
    (f'{{"batch":[{GOOD}],"context":{{"a":"\\u0000"}}}}', 400),
    (f'{{"batch":[{GOOD}],"context":{{"a":{nested(50)}}}}}', 400),
    (f'{{"batch":[{GOOD}],"sentAt":"never"}}', 400),
    (nested(200_000), 400),
    ('{"batch":' + nested(200_000), 400),
    ('"' + "\\" * 300_001, 400),
    ('{"batch":["' + '\\"' * 200_000, 400),
)


def test_a_body_that_is_no_batch_is_400(shop: Shop, subtests: pytest.Subtests) -> None:
    for body, status in NO_BATCH:
        with subtests.test(body[:60]):
            answer = shop.client.post("/v1/batch", data=body, headers=BASIC)
            assert answer.status_code == status, answer.text
            assert set(answer.json) == {"code", "status", "message", "errors"}
    assert names(shop) == []


@pytest.mark.parametrize(
    "body", [b"\xff\xfe{}", b'{"event":"\xc3\x28","anonymousId":"a"}', b'{"event":"\xed\xa0\x80"}']
)
def test_what_is_not_utf_8_is_not_json(shop: Shop, body: bytes) -> None:
    assert shop.client.post("/v1/track", data=body, headers=BASIC).status_code == 400
    assert shop.client.post("/v1/batch", data=b'{"batch":[' + body + b"]}", headers=BASIC).status_code == 400


def test_an_empty_batch_is_no_mistake(shop: Shop) -> None:
    assert shop.post("/v1/batch", {"batch": []}).json == {"success": True, "accepted": 0, "rejected": []}
    assert shop.post("/v1/batch", {"batch": [json.loads(GOOD)], "context": None}).json["accepted"] == 1
    assert names(shop) == ["Good"]


def test_2500_events_are_taken_and_2501_are_not(shop: Shop) -> None:
    short = {"type": "page", "anonymousId": "a"}
    assert shop.post("/v1/batch", {"batch": [short] * 2_500}).json["accepted"] == 2_500
    assert shop.post("/v1/batch", {"batch": [short] * 2_501}).status_code == 413
    assert names(shop) == ["Page Viewed"] * 2_500


def test_500_kb_are_taken_and_more_are_not_packed_or_not(shop: Shop) -> None:
    def body(size: int) -> bytes:
        start = f'{{"batch":[{GOOD}],{KEYED},"padding":"'.encode()
        return start + b"x" * (size - len(start) - 2) + b'"}'

    packed = {"Content-Encoding": "gzip"}
    assert shop.client.post("/v1/batch", data=body(500 * 1024)).status_code == 200
    assert shop.client.post("/v1/batch", data=body(500 * 1024 + 1)).status_code == 413
    assert shop.client.post("/v1/batch", data=gzip.compress(body(500 * 1024)), headers=packed).status_code == 200
    assert shop.client.post("/v1/batch", data=gzip.compress(body(500 * 1024 + 1)), headers=packed).status_code == 413
    refused = shop.client.post("/v1/batch", data=body(3_000_000), headers={"Origin": "https://shop.example"})
    assert refused.status_code == 413
    assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example", "the page must learn why"


def test_only_post_collects(shop: Shop) -> None:
    for method in ("get", "put", "delete", "patch"):
        assert getattr(shop.client, method)("/v1/track", data=GOOD, headers=BASIC).status_code == 405


# Time (contract, section 2)


MOMENTS: tuple[tuple[Any, Any, Any], ...] = (
    (None, None, at()),
    (at(minutes=-5), None, at(minutes=-5)),
    (at(minutes=-5), at(seconds=-10), at(minutes=-5)),
    (at(minutes=-5), at(seconds=-10.001), at(minutes=-5, seconds=10.001)),
    (at(minutes=-5), at(hours=-1), at(minutes=55)),
    (at(hours=-1, minutes=-5), at(hours=-1), at(minutes=-5)),
    (at(minutes=55), at(hours=1), at(minutes=-5)),
    (at(seconds=5), at(seconds=5), at()),
    (at(seconds=5), None, at()),
    (at(minutes=1), at(minutes=1), at()),
    (at(days=365), None, at()),
    (at(days=365), at(), at()),
    ("1970-01-01T00:00:00Z", None, at()),
    ("1970-01-01T00:00:10Z", "1970-01-01T00:01:00Z", at(seconds=-50)),
    ("1999-12-31T23:59:59.999Z", None, at()),
    ("2000-01-01T00:00:00Z", None, at().replace(year=2000, month=1, day=1, hour=0)),
    ("2100-01-01T00:00:00Z", None, at()),
    ("2026-03-01T10:00:00+02:00", None, at(hours=-1)),
    ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00", at()),
    ("9999-12-31T23:59:59-14:00", None, at()),
    ("9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z", at()),
    ("2026-03-01T08:00:00", None, at(hours=-1)),
)


def test_when_it_happened(shop: Shop, subtests: pytest.Subtests) -> None:
    """`receivedAt - (sentAt - timestamp)` where the sender's clock is off by more than ten seconds."""
    expected: dict[str, tuple[str, datetime]] = {}
    for timestamp, sent_at, settled in MOMENTS:
        fields = {"timestamp": timestamp, "sentAt": sent_at}
        told = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in fields.items()}
        one = {"type": "track", "event": "X", "anonymousId": "ann"}
        requests: dict[str, tuple[str, dict[str, Any]]] = {
            "single": ("/v1/track", one | told),
            "batch": ("/v1/batch", {"batch": [one | {"timestamp": told["timestamp"]}], "sentAt": told["sentAt"]}),
            "sentAt of the event": ("/v1/batch", {"batch": [one | told]}),
        }
        for way, (path, body) in requests.items():
            message_id = f"{way} {len(expected)}"
            (body["batch"][0] if "batch" in body else body)["messageId"] = message_id
            assert shop.post(path, body).status_code == 200
            expected[message_id] = (f"{way}: {told}", min(settled, at()))  # never in the future
    shop.processor.drain()
    stored = {event.message_id: event for event in shop.stored()}
    for message_id, (told_, settled) in expected.items():
        with subtests.test(told_):
            assert stored[message_id].timestamp == settled
            assert stored[message_id].received_at == at()


def test_the_batchs_sent_at_counts_where_an_event_has_another(shop: Shop) -> None:
    one = {"type": "track", "event": "X", "anonymousId": "ann", "timestamp": at(hours=-2).isoformat()}
    shop.post("/v1/batch", {"batch": [one | {"sentAt": at(hours=-1).isoformat()}], "sentAt": at().isoformat()})
    shop.processor.drain()
    assert [event.timestamp for event in shop.stored()] == [at(hours=-2)]


def test_rudderstacks_libraries_name_the_moment_otherwise(shop: Shop) -> None:
    one = {"type": "track", "event": "X", "anonymousId": "ann", "channel": "web", "integrations": {"All": True}}
    shop.post("/v1/track", one | {"originalTimestamp": at(minutes=-5).isoformat(), "sentAt": at().isoformat()})
    both = {"originalTimestamp": at(hours=-5).isoformat(), "timestamp": at(hours=-1).isoformat()}
    shop.post("/v1/batch", {"batch": [one | both], "sentAt": at().isoformat()})
    shop.processor.drain()
    assert [event.timestamp for event in shop.stored()] == [at(hours=-1), at(minutes=-5)]


def test_a_batchs_context_is_every_events_unless_it_says_otherwise(shop: Shop) -> None:
    one, two = call("X", messageId="one"), call("X", messageId="two", context={"locale": "fr", "x": 1})
    shop.post("/v1/batch", {"batch": [one, two], "context": {"locale": "de", "timezone": "Europe/Berlin"}})
    shop.processor.drain()
    assert {event.message_id: event.context for event in shop.stored()} == {
        "one": {"locale": "de", "timezone": "Europe/Berlin"},
        "two": {"locale": "fr", "x": 1, "timezone": "Europe/Berlin"},
    }


@contextmanager
def without_redis(database_url: str, folder: Path) -> Iterator[FlaskClient]:
    """The web application of a shop whose Redis is gone."""
    gone = f"unix://{folder}/gone.sock"
    settings = Settings.load({}, data_dir=str(folder), database_url=database_url, redis_url=gone, secret_key=SECRET)
    rt = build_runtime(settings)
    try:
        yield create_app(settings, runtime=rt).test_client()
    finally:
        close_runtime(rt)


def test_a_log_that_is_away_is_503_with_a_moment_to_come_back(shop: Shop, sqlite_url: str, tmp_path: Path) -> None:
    """F9; and health tells of it (I10)."""
    assert shop.client.get("/readyz").status_code == 200
    with without_redis(sqlite_url, tmp_path) as client:
        for path, body in (("/v1/track", json.loads(GOOD)), ("/v1/batch", {"batch": [json.loads(GOOD)]})):
            answer = client.post(path, data=json.dumps(body | {"writeKey": WRITE_KEY}))
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_who_sends_too_fast_must_wait_and_others_need_not(shop: Shop) -> None:
    app = create_app(replace(shop.rt.settings, caller_rate=2, proxies=1), runtime=shop.rt)
    client = app.test_client()

    def send(number: int, address: str) -> Any:
        headers = {"X-Forwarded-For": f"6.6.6.{number % 250}, {address}", **BASIC}  # the first is anybody's claim
        return client.post("/v1/track", json={**json.loads(GOOD), "messageId": str(number)}, headers=headers)

    answers = [send(number, "1.1.1.1") for number in range(60)]
    taken = [each.status_code for each in answers].count(200)
    assert 20 <= taken < 40
    refused = answers[-1]
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json["code"] == "too_many_requests"
    assert send(1_000, "2.2.2.2").status_code == 200
    assert len(names(shop)) == taken + 1
