"""Segment's own Python library, unchanged but for its host, against the collector over real HTTP."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from werkzeug.serving import make_server

from backend.app import create_app
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import WRITE_KEY, Shop

analytics = pytest.importorskip("segment.analytics.client", reason="segment-analytics-python is not installed")


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """Where the shop's collector listens."""
    server = make_server("127.0.0.1", 0, create_app(shop.rt.settings, runtime=shop.rt), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize("gzip", [False, True])
def test_every_call_of_the_library_arrives(shop: Shop, address: str, gzip: bool) -> None:
    shop.clock.now = datetime.now(UTC)
    failed: list[object] = []
    client = analytics.Client(
        WRITE_KEY, host=address, gzip=gzip, on_error=lambda error, _: failed.append(error), max_retries=0
    )
    client.identify("u", {"email": "u@example.com", "since": datetime(2020, 1, 1, tzinfo=UTC)}, anonymous_id="ann")
    client.track("u", "Product Added", {"product_id": "mug", "price": 19.9, "name": "чашка"})
    client.track("u", "Order Completed", {"total": 19.9}, context={"locale": "uk-UA"}, message_id="order")
    client.page("u", "Docs", "Home", {"url": "https://shop.example/"})
    client.screen("u", "App", "Start")
    client.group("u", "acme", {"plan": "paid"})
    client.alias("ann", "u")
    client.flush()
    client.join()
    assert failed == []
    shop.clock.now = datetime.now(UTC)
    shop.processor.drain()
    person = shop.profile(user_id="u")
    assert person.counts == {
        "Identify": 1,
        "Product Added": 1,
        "Order Completed": 1,
        "Page Viewed": 1,
        "Screen Viewed": 1,
        "Group": 1,
        "Alias": 1,
    }
    assert person.traits["email"] == "u@example.com"
    assert person.orders.count == 1
    assert person.groups == ("acme",)
    assert person.device.locale == "uk-UA"
    events = {event.name: event for event in shop.stored()}
    assert events["Order Completed"].message_id == "order"
    assert events["Page Viewed"].properties == {"name": "Home", "category": "Docs", "url": "https://shop.example/"}
    assert events["Product Added"].context["library"]["name"] == "analytics-python"


def test_a_wrong_key_is_told_to_the_library(address: str) -> None:
    failed: list[object] = []
    client = analytics.Client("nobody", host=address, on_error=lambda error, _: failed.append(error), max_retries=0)
    client.track("u", "X")
    client.flush()
    client.join()
    [error] = failed
    assert getattr(error, "status", None) in {401, "401"} or "401" in str(error)


def test_two_thousand_events_of_the_library_all_count_once(shop: Shop, address: str) -> None:
    shop.clock.now = datetime.now(UTC)
    client = analytics.Client(WRITE_KEY, host=address, gzip=True, thread=2, upload_size=100)
    for number in range(2_000):
        client.track(f"u{number % 20}", "Product Viewed", {"n": number})
    client.flush()
    client.join()
    shop.clock.now = datetime.now(UTC)
    shop.processor.drain()
    assert {shop.profile(user_id=f"u{number}").counts["Product Viewed"] for number in range(20)} == {100}
