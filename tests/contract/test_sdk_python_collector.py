"""The Python SDK and the collector understand each other: everything the one sends, the other accepts or names."""

import threading
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from backend.runtime import Runtime
from chimein import Client, DeliveryError, EventRejected

Troubles = list[tuple[Exception, list[dict[str, Any]]]]


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def troubles() -> Troubles:
    return []


def client_of(rt: Runtime, site: str, url: str, troubles: Troubles) -> Client:
    found = rt.sites.by_id(site)
    assert found is not None
    return Client(found.write_key, url, on_error=lambda error, events: troubles.append((error, events)))


def logged(rt: Runtime) -> int:
    return sum(rt.log.length(partition) for partition in range(rt.log.partitions))


def test_every_call_with_every_kind_of_value_is_accepted(rt: Runtime, site: str, url: str, troubles: Troubles) -> None:
    with client_of(rt, site, url, troubles) as client:
        odd = {
            "nan": float("nan"),
            "nul": "a\0b",
            "surrogate": "\ud800",
            "price": Decimal("49.90"),
            "at": datetime.now(UTC),
            "tags": {"a", "b"},
            "blob": "я" * 8_000,
            "שלום": "🙂",
        }
        client.track("Product Added", odd, anonymous_id="a-1")
        client.identify(42, {"email": "ann@example.com"}, anonymous_id="a-1", context={"ip": "10.0.0.1"})
        client.page(properties={"url": "https://shop.example/"}, anonymous_id="a-1")
        client.page("Home", "Shop", anonymous_id="a-1", timestamp=datetime(2026, 1, 1))
        client.group("acme", {"plan": "b"}, user_id="42")
        client.alias("a-1", "42")
        assert client.flush(10)
    assert troubles == []
    assert logged(rt) >= 1


def test_an_event_that_the_collector_refuses_is_told_alone(
    rt: Runtime, site: str, url: str, troubles: Troubles
) -> None:
    with client_of(rt, site, url, troubles) as client:
        client.track("Good", user_id="1")
        client.track("Bad", user_id="1", timestamp="no time at all")
        client.track("Good", user_id="1")
        assert client.flush(10)
    [(error, [event])] = troubles
    assert isinstance(error, EventRejected)
    assert event["event"] == "Bad"
    assert logged(rt) >= 1


def test_an_unknown_key_is_told_and_not_retried(rt: Runtime, url: str, troubles: Troubles) -> None:
    with Client("nobody", url, on_error=lambda error, events: troubles.append((error, events))) as client:
        client.track("Viewed", user_id="1")
        assert client.flush(10)
    [(error, _)] = troubles
    assert isinstance(error, DeliveryError)
    assert error.status == 401


def test_a_backend_that_knows_the_secret_key_may_tell_any_form_field(
    rt: Runtime, site: str, url: str, troubles: Troubles
) -> None:
    found = rt.sites.by_id(site)
    assert found is not None
    for secret in (None, found.secret_key):
        with Client(found.write_key, url, secret_key=secret) as client:
            client.track("Form Field Filled", {"field": "vat_id", "value": f"told {secret}"}, user_id="1")
            assert client.flush(10)
    kept = b"".join(
        entry.events for partition in range(rt.log.partitions) for entry in rt.log.entries_after(partition, "0-0", 100)
    )
    assert b"told None" not in kept
    assert f"told {found.secret_key}".encode() in kept


@pytest.mark.parametrize(
    ("host", "sent"),
    [("https://events.example.com", True), ("http://127.0.0.1:8000", True), ("http://events.example.com", False)],
)
def test_the_secret_key_is_sent_where_nobody_else_can_read_it(host: str, sent: bool) -> None:
    from chimein.transport import Transport

    told = Transport(host, "key", gzip=True, secret_key="secret")._headers["Authorization"]
    assert b64decode(told.removeprefix("Basic ")) == (b"key:secret" if sent else b"key:")
