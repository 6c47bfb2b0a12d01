"""Consent, the access log and erasure through the API, and each bad input."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.pipeline.process import Processor
from backend.runtime import Runtime
from tests.contract.conftest import Api

RULE = {
    "name": "Any",
    "trigger": {"event": "Ping"},
    "message": {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "t", "body": "b"}}]},
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
def ada(send: Callable[..., Any], api: Api, site: str) -> str:
    send({"type": "identify", "userId": "ada", "anonymousId": "ada-browser", "traits": {"email": "ada@example.com"}})
    [found] = api.get(f"/sites/{site}/visitors?user_id=ada").json["items"]
    return str(found["id"])


def looks(api: Api, site: str, **query: str) -> list[tuple[str, str, str]]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return [
        (each["token"], each["action"], each["operation"])
        for each in api.get(f"/sites/{site}/access-log?{asked}").json["items"]
        if each["visitor"] is not None
    ]


def lists(api: Api, site: str) -> list[dict[str, Any]]:
    """The looks at whole lists, oldest first."""
    found = api.get(f"/sites/{site}/access-log?limit=200").json["items"]
    return [each for each in reversed(found) if each["visitor"] is None]


def test_who_looked_at_whom_is_noted(api: Api, as_role: Callable[..., Api], site: str, ada: str) -> None:
    before = len(looks(api, site))
    desk = as_role("operator")
    desk.get(f"/sites/{site}/visitors/{ada}")
    desk.get(f"/sites/{site}/visitors/{ada}/events")
    desk.get(f"/sites/{site}/visitors?email=ada@example.com")
    desk.get(f"/sites/{site}/visitors/{'0' * 32}")
    desk.get(f"/sites/{site}/visitors/{ada}/export")
    found = looks(api, site)[: len(looks(api, site)) - before][::-1]
    assert [each[1:] for each in found] == [
        ("read", "get_a_visitor"),
        ("read", "list_events_of_a_visitor"),
        ("list", "list_all_visitors"),
        ("export", "export_a_visitor"),
    ]
    assert len({each[0] for each in found}) == 1, "by the token's name"
    assert looks(api, site, visitor=ada, action="export") == [found[-1]]
    assert looks(api, site, visitor="0" * 32) == []
    assert looks(api, site, token="nobody") == []
    first = api.get(f"/sites/{site}/access-log?limit=1").json
    second = api.get(f"/sites/{site}/access-log?limit=1&cursor={first['next_cursor']}").json
    assert first["items"] != second["items"]


def test_an_erasure_is_in_the_log_without_the_id_and_is_found_by_it(api: Api, site: str, ada: str) -> None:
    api.get(f"/sites/{site}/visitors/{ada}")
    assert api("DELETE", f"/sites/{site}/visitors/{ada}").status_code == 204
    assert api("DELETE", f"/sites/{site}/visitors/{ada}").status_code == 404
    assert looks(api, site, visitor=ada)[0][1] == "erase"
    assert ada not in api.get(f"/sites/{site}/access-log").text
    told = api.get(f"/sites/{site}/privacy").json
    assert told["erased"]["persons"] == 1
    assert told["erased"]["last_at"] is not None


def test_consent_is_recorded_read_and_exported(api: Api, as_role: Callable[..., Api], site: str, ada: str) -> None:
    address = f"/sites/{site}/visitors/{ada}/consent"
    assert api.get(address).json == {"consent": {"necessary": True}, "history": []}
    body = {"marketing": True, "analytics": False, "source": "operator", "text": "May we write?"}
    answer = as_role("operator")("PUT", address, body)
    assert answer.status_code == 200
    assert answer.json["consent"] == {"necessary": True, "marketing": True, "analytics": False}
    api("PUT", address, {"marketing": False})
    told = api.get(address).json
    assert told["consent"] == {"necessary": True, "marketing": False, "analytics": False}
    newest = told["history"][0]
    assert (newest["category"], newest["granted"], newest["source"], newest["text"]) == (
        "marketing",
        False,
        "api",
        None,
    )
    assert [each["text"] for each in told["history"]].count("May we write?") == 2
    visitor = api.get(f"/sites/{site}/visitors/{ada}").json
    assert visitor["consent"] == told["consent"]
    export = api.get(f"/sites/{site}/visitors/{ada}/export").json
    assert export["consents"] == told["history"]
    assert export["merges"][0]["source"] == "identify"
    assert {"export", "consent", "read", "list"} >= {each["action"] for each in export["access_log"]}


def test_an_export_comes_as_lines_too(api: Api, site: str, ada: str) -> None:
    address = f"/sites/{site}/visitors/{ada}/export"
    api("PUT", f"/sites/{site}/visitors/{ada}/consent", {"marketing": True})
    answer = api("GET", address, headers={"Accept": "application/x-ndjson"})
    assert answer.mimetype == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["kind"] for each in lines[:2]] == ["visitor", "event"]
    assert {each["kind"] for each in lines} >= {"visitor", "event", "merge", "consent", "access"}
    assert lines[0]["traits"] == {"email": "ada@example.com"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "_schema"),
        ({"source": "operator"}, "_schema"),
        ({"necessary": False}, "necessary"),
        ({"marketing": "yes"}, "marketing"),
        ({"marketing": None}, "marketing"),
        ({"marketing": True, "source": "page"}, "source"),
        ({"marketing": True, "text": "x" * 1_001}, "text"),
        ({"marketing": True, "at": "2199-01-01T00:00:00Z"}, "at"),
        ({"marketing": True, "at": "yesterday"}, "at"),
        ({"advertising": True}, "advertising"),
    ],
)
def test_what_is_no_consent_is_refused_with_its_path(
    api: Api, site: str, ada: str, body: dict[str, Any], path: str
) -> None:
    answer = api("PUT", f"/sites/{site}/visitors/{ada}/consent", body)
    assert answer.status_code == 422
    assert path in answer.json["errors"]
    assert api.get(f"/sites/{site}/visitors/{ada}/consent").json["history"] == []


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"consent": {"store": "everything"}}, ["consent", "store"]),
        ({"consent": {"other": "marketing"}}, ["consent", "other"]),
        ({"consent": "analytics"}, ["consent"]),
        ({"retention": {"Page Viewed": "1h"}}, ["retention", "Page Viewed"]),
        ({"retention": {"Page Viewed": "long"}}, ["retention", "Page Viewed"]),
        ({"retention": ["90d"]}, ["retention"]),
        ({"honour_dnt": "yes"}, ["honour_dnt"]),
        ({"hide_query": "email"}, ["hide_query"]),
        ({"access_log_kept": "1m"}, ["access_log_kept"]),
    ],
)
def test_what_is_no_policy_is_refused_with_its_path(
    api: Api, site: str, policy: dict[str, Any], path: list[str]
) -> None:
    answer = api("PATCH", f"/sites/{site}", {"policy": policy})
    assert answer.status_code == 422
    found = answer.json["errors"]["policy"]
    for part in path:
        assert part in found
        found = found[part]


def test_a_policy_is_kept_and_changed_key_by_key(api: Api, site: str) -> None:
    told = {
        "consent": {"store": "analytics"},
        "retention": {"Page Viewed": "90d", "*": "400d"},
        "hide_query": ["Email"],
    }
    answer = api("PATCH", f"/sites/{site}", {"policy": told})
    assert answer.status_code == 200, answer.text
    api("PATCH", f"/sites/{site}", {"policy": {"consent": {"mail": "marketing"}, "honour_dnt": True}})
    policy = api.get(f"/sites/{site}").json["policy"]
    assert policy["consent"] == {"store": "analytics", "show": None, "mail": "marketing"}
    assert policy["retention"] == told["retention"]
    assert policy["hide_query"] == ["email"]
    assert (policy["honour_dnt"], policy["honour_gpc"], policy["access_log_kept"]) == (True, True, "400d")


def test_secrets_are_taken_out_before_anything_is_stored(api: Api, site: str, send: Any, rt: Runtime) -> None:
    card, page = "4111 1111 1111 1111", "https://shop.example/reset?token=t0psecret&utm_source=x"
    send(
        {
            "type": "track",
            "event": "Form Field Filled",
            "anonymousId": "eve",
            "properties": {"field": "comment", "value": f"charge {card}"},
            "context": {"ip": "203.0.113.77", "page": {"url": page}},
        },
        {
            "type": "track",
            "event": "Note",
            "anonymousId": "eve",
            "properties": {"text": card, "password": "hunter2", "order_id": "4111111111111111"},
        },
    )
    [visitor] = api.get(f"/sites/{site}/visitors?anonymous_id=eve").json["items"]
    text = api.get(f"/sites/{site}/visitors/{visitor['id']}/export").text
    for secret in (card, "hunter2", "t0psecret", "203.0.113.77"):
        assert secret not in text
    assert "203.0.113.0" in text
    assert "utm_source=x" in text
    assert "4111111111111111" in text, "an order's number is no card"
    assert b"hunter2" not in b"".join(
        entry.events for partition in range(rt.log.partitions) for entry in rt.log.entries_after(partition, "0-0", 100)
    ), "not even in the log"


def test_a_page_cannot_tell_form_fields_that_are_not_on_the_sites_list(
    api: Api, client: FlaskClient, site: str, send: Any
) -> None:
    keys = api.get(f"/sites/{site}").json
    api("PATCH", f"/sites/{site}", {"capture": {"forms": ["email", "Size"]}})

    def filled(who: str, **more: str) -> dict[str, Any]:
        told = {"email": "ann@example.com", "phone": "+43 1 234567", "size": "XL", "password": "hunter2", **more}
        return {
            "batch": [
                {
                    "type": "track",
                    "event": "Form Field Filled",
                    "anonymousId": who,
                    "properties": {"form": "f", "field": field, "value": value, "page": "/checkout"},
                }
                for field, value in told.items()
            ]
        }

    def credentials(secret: str) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"{keys['write_key']}:{secret}".encode()).decode()}

    callers = {"page": "", "liar": "chi_sec_guessed", "backend": keys["secret_key"]}
    for who, secret in callers.items():
        body = filled(who, comment="card 4111 1111 1111 1111")
        assert client.post("/v1/batch", json=body, headers=credentials(secret)).json["accepted"] == 5
        lone = {**body["batch"][1], "properties": {**body["batch"][1]["properties"], "form": "g"}}
        assert client.post("/v1/track", json=lone, headers=credentials(secret)).status_code == 200
    send({"type": "track", "event": "End", "anonymousId": "other"})
    found = {}
    for who in callers:
        [visitor] = api.get(f"/sites/{site}/visitors?anonymous_id={who}").json["items"]
        found[who] = sorted((each["form"], each["field"]) for each in visitor["forms"])
        export = api.get(f"/sites/{site}/visitors/{visitor['id']}/export").text
        assert not any(secret in export for secret in ("hunter2", "4111 1111"))
        assert ("234567" in export) == (who == "backend")
    assert found["page"] == found["liar"] == [("f", "email"), ("f", "size")]
    assert found["backend"] == [("f", "email"), ("f", "phone"), ("f", "size"), ("g", "phone")]


def test_whoever_reads_or_exports_a_list_is_noted_with_what_they_asked_for(
    api: Api, as_role: Callable[..., Api], site: str, ada: str, send: Any, rt: Runtime
) -> None:
    send({"type": "track", "event": "Page Viewed", "anonymousId": "bob-browser"})
    segment = api("POST", f"/sites/{site}/segments", {"name": "regulars", "manual": True}).json["id"]
    api("POST", f"/sites/{site}/segments/{segment}/members", {"visitors": [ada]})
    send({"type": "track", "event": "Page Viewed", "anonymousId": "bob-browser"})
    rule = api("POST", f"/sites/{site}/rules", RULE).json["id"]
    before = len(lists(api, site))
    desk = as_role("operator")
    for asked in (
        *(
            "visitors",
            "visitors?stage=new&limit=1",
            "visitors?email=Ada@Example.com",
            "visitors?email=nobody@example.com",
        ),
        *("visitors?user_id=ada", f"visitors?segment={segment}", f"segments/{segment}/visitors"),
        *(f"segments/{segment}/export", f"segments/{segment}/export?format=jsonl"),
        *("messages?channel=email", "webhooks", f"rules/{rule}/enrolments"),
    ):
        answer = desk.get(f"/sites/{site}/{asked}")
        assert answer.status_code == 200, answer.text
        assert answer.data
    api("POST", f"/sites/{site}/simulations", {"rule": rule, "since": "2020-01-01T00:00:00Z"})
    found = lists(api, site)[before:]
    told = [(each["action"], each["operation"], each["shown"], each["filter"]) for each in found]

    def hashed(kind: str, value: str) -> str:
        return f"hash:{rt.sites.vault.tombstone(api.get(f'/sites/{site}').json['id'], kind, value)}"

    assert told == [
        ("list", "list_all_visitors", 2, {}),
        ("list", "list_all_visitors", 1, {"stage": "new"}),
        ("list", "list_all_visitors", 1, {"email": hashed("email", "ada@example.com")}),
        ("list", "list_all_visitors", 0, {"email": hashed("email", "nobody@example.com")}),
        ("list", "list_all_visitors", 1, {"user_id": hashed("user", "ada")}),
        ("list", "list_all_visitors", 1, {"segment": segment}),
        ("list", "list_members_of_a_segment", 1, {"segment": segment}),
        ("export", "export_members", 1, {"segment": segment, "format": "csv"}),
        ("export", "export_members", 1, {"segment": segment, "format": "jsonl"}),
        ("list", "list_all_messages", 0, {"channel": "email"}),
        ("list", "list_all_webhooks", 0, {}),
        ("list", "list_enrolments_of_a_rule", 0, {"rule": rule}),
        ("list", "simulate_a_rule", 0, {"rule": rule}),
    ]
    assert len({each["token"] for each in found[:-1]}) == 1
    assert {each["role"] for each in found[:-1]} == {"operator"}
    assert looks(api, site, visitor=ada, action="export") == [(found[0]["token"], "export", "export_members")] * 2
    everything = api.get(f"/sites/{site}/access-log?limit=200").text.lower()
    assert "example.com" not in everything
    again = api.get(f"/sites/{site}/visitors/{ada}/export").json["access_log"]
    assert "export_members" in {each["operation"] for each in again}, "they learn of it when they ask"


def test_who_breaks_off_an_export_is_noted_with_what_they_got(
    api: Api, site: str, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.web.api import lists as exports

    monkeypatch.setattr(exports, "AT_ONCE", 2)
    send(*({"type": "track", "event": "Page Viewed", "anonymousId": f"v{number}"} for number in range(5)))
    viewed = {"field": "profile.counts.Page Viewed", "op": "gte", "value": 1}
    segment = api("POST", f"/sites/{site}/segments", {"name": "viewers", "condition": viewed}).json["id"]
    send(*({"type": "track", "event": "Page Viewed", "anonymousId": f"v{number}"} for number in range(5)))
    answer = api("GET", f"/sites/{site}/segments/{segment}/export", buffered=False)
    pieces = answer.iter_encoded()
    assert next(pieces).startswith(b"visitor_id")
    assert next(pieces).count(b"\n") == 2
    answer.close()
    assert [(each["action"], each["shown"]) for each in lists(api, site)] == [("export", 2)]
    assert len(looks(api, site, action="export")) == 2
