"""Feeds by URL and files by upload: fetched as safely as webhooks are sent, read in little memory, reported on."""

import asyncio
import gzip
import json
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from backend.channels.outbound import Allowed, Outbound
from backend.ops import asgi
from backend.ops.asgi import Adapter
from backend.pipeline import import_products as importing
from backend.pipeline.fetch_feeds import Fetcher
from backend.pipeline.import_products import import_products
from backend.storage import feeds, products
from backend.storage.feeds import Feed
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, Shop
from tests.integration.web_server import Asked, answer, web_server

RSS = "<rss xmlns:g='http://base.google.com/ns/1.0'><channel>{}</channel></rss>"
ITEM = "<item><g:id>{}</g:id><g:title>Product {}</g:title><g:price>{} EUR</g:price></item>"


def feed_of(shop: Shop, url: str, **more: Any) -> Feed:
    now = shop.clock()
    made = Feed(id=uuid4().hex, site_id=shop.site.id, url=url, created_at=now, due_at=now, **more)
    with shop.rt.db.begin() as connection:
        feeds.add(connection, made)
    return made


def state_of_feed(shop: Shop, feed: Feed) -> Feed:
    with shop.rt.db.read() as connection:
        found = feeds.get(connection, shop.site.id, feed.id)
    assert found is not None
    return found


def fetch(shop: Shop, feed: Feed, **limits: Any) -> dict[str, Any]:
    """The report of one fetch."""
    out = Outbound(allowed=Allowed.of("127.0.0.1"), **{"total_seconds": 3.0, "most_read": 2**20, **limits})
    assert Fetcher(shop.rt, out).run()
    return dict(state_of_feed(shop, feed).report or {})


def ids(shop: Shop) -> list[str]:
    with shop.rt.db.read() as connection:
        return [each.id for each in products.find(connection, shop.site.id, limit=10_000)]


def test_a_feed_is_fetched_read_and_due_again(each_shop: Shop) -> None:
    shop = each_shop
    body = RSS.format("".join(ITEM.format(n, n, n) for n in range(1, 4)) + "<item><g:price>1</g:price></item>")
    with web_server(answer(200, body)) as server:
        feed = feed_of(shop, server.url("/feed.xml"), every=timedelta(hours=6))
        report = fetch(shop, feed)
        assert (report["rows"], report["created"], report["rejected"], report["failed"]) == (4, 3, 1, None)
        assert report["errors"][0]["field"] == "id"
        assert state_of_feed(shop, feed).due_at == shop.clock() + timedelta(hours=6)
        assert not Fetcher(shop.rt, Outbound()).run()
        shop.clock.forward(hours=6)
        assert fetch(shop, feed)["unchanged"] == 3
    assert ids(shop) == ["1", "2", "3"]
    [asked, _] = server.asked
    assert asked.headers["accept-encoding"] == "gzip"


def test_a_packed_feed_is_read_and_a_bomb_is_not(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MOST_BYTES", 2**20)
    packed = gzip.compress(RSS.format(ITEM.format("a", "A", 5)).encode())
    bomb = gzip.compress(b"id,name\n" + b"x" * 20_000_000)
    for data, failed in ((packed, None), (bomb, "A file has at most 1 MB, unpacked.")):

        def script(_: Asked, connection: socket.socket, data: bytes = data) -> None:
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

        with web_server(script) as server:
            assert fetch(shop, feed_of(shop, server.url()))["failed"] == failed
    assert ids(shop) == ["a"]


def drip(_: Asked, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nid,name\na,")
    threading.Event().wait(2)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (answer(301, "", Location="http://127.0.0.1/elsewhere"), "301: redirects are not followed"),
        (answer(404, "gone"), "answered 404"),
        (lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nid,name\na,Tea\n", "cut short"),
        (drip, "within 1 s"),
        (lambda *_: b"nonsense\r\n\r\n", "got lost"),
        (lambda *_: answer(200, "id\n" + "a\n" * 1_000_000), "longer than 1 MB"),
    ],
)
def test_what_does_not_come_whole_changes_nothing_and_is_tried_again(shop: Shop, script: Any, sentence: str) -> None:
    with web_server(script) as server:
        feed = feed_of(shop, server.url(), every=timedelta(hours=6), format="csv")
        report = fetch(shop, feed, total_seconds=1.0)
    assert sentence in report["failed"], report
    assert ids(shop) == []
    assert state_of_feed(shop, feed).due_at == shop.clock() + timedelta(minutes=15)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1"])
def test_a_feed_reaches_nothing_private(shop: Shop, host: str) -> None:
    with web_server(answer(200, "id\na\n")) as server:
        feed = feed_of(shop, f"http://{host}:{server.port}/feed")
        assert Fetcher(shop.rt).run()
    report = state_of_feed(shop, feed).report
    assert report is not None
    assert report["failed"]
    assert server.asked == []
    assert ids(shop) == []


def test_a_name_that_leads_to_a_private_address_is_not_called(shop: Shop) -> None:
    feed = feed_of(shop, "https://shop.example/feed")
    assert Fetcher(shop.rt, Outbound(resolve=lambda *_: ["127.0.0.1"])).run()
    assert "private" in str(state_of_feed(shop, feed).report)


def test_two_ticks_do_not_fetch_one_feed_at_once(each_shop: Shop) -> None:
    shop = each_shop
    feed_of(shop, "https://shop.example/feed")
    with shop.rt.db.begin() as connection:
        assert feeds.claim(connection, shop.clock()) is not None
        assert feeds.claim(connection, shop.clock()) is None
    shop.clock.forward(seconds=feeds.LEASE.total_seconds())
    with shop.rt.db.begin() as connection:
        assert feeds.claim(connection, shop.clock()) is not None  # the first has died


def test_a_long_file_is_read_in_little_memory(shop: Shop) -> None:
    class Endless:
        """A feed of 60,000 items, made while it is read: 12 MB, of which no two differ but in their ids."""

        def __init__(self) -> None:
            self._parts = self._made()
            self._rest = b""

        def _made(self) -> Iterator[bytes]:
            yield b"<rss><channel>"
            for number in range(60_000):
                yield f"<item><id>{number % 300}</id><description>{'x' * 170}</description></item>".encode()
            yield b"</channel></rss>"

        def readable(self) -> bool:
            return True

        closed = False

        def readinto(self, buffer: Any) -> int:
            while len(self._rest) < len(buffer) and (part := next(self._parts, None)) is not None:
                self._rest += part
            size = min(len(self._rest), len(buffer))
            buffer[:size] = self._rest[:size]
            self._rest = self._rest[size:]
            return size

    tracemalloc.start()
    report = import_products(shop.rt, shop.site.id, Endless(), "feed", "xml")  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.rows, report.created, report.failed) == (60_000, 300, None)
    assert peak < 12_000_000


Answered = tuple[int, dict[str, Any], int]


def upload(
    shop: Shop, adapter: Adapter, data: bytes, token: str | None = ADMIN, during: Callable[[], Any] | None = None
) -> Answered:
    """(status, body, pieces of the file that were read) of a file sent through the adapter that `web` runs on."""
    pieces = [data[start : start + 65_536] for start in range(0, len(data), 65_536)] or [b""]
    sent: list[dict[str, Any]] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        if during is not None and read == 0:
            await during()
        read += 1
        return {"type": "http.request", "body": pieces[read - 1], "more_body": read < len(pieces)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/csv"), (b"content-length", str(len(data)).encode())]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v1/sites/{shop.site.id}/products",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    asyncio.run(adapter(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]), read


@pytest.fixture
def adapter(shop: Shop) -> Iterator[Adapter]:
    made = Adapter(shop.client.application.wsgi_app, threads=2)
    yield made
    made.close()


def test_a_file_far_larger_than_other_bodies_is_taken(shop: Shop, adapter: Adapter) -> None:
    rows = b"id,name\n" + b"".join(b"p%d,%s\n" % (n % 50, b"x" * 200) for n in range(25_000))
    assert len(rows) > 4 * asgi.MAX_BODY
    status, report, _ = upload(shop, adapter, rows)
    assert status == 200, report
    assert (report["rows"], report["created"], report["failed"]) == (25_000, 50, None)


@pytest.mark.parametrize("token", [None, "nonsense"])
def test_who_may_not_send_a_file_is_answered_before_it_comes(shop: Shop, adapter: Adapter, token: str | None) -> None:
    status, body, read = upload(shop, adapter, b"x" * 1_000_000, token)
    assert (status, body["code"], read) == (401, "unauthorized", 0)


def test_a_file_that_is_too_large_is_refused(shop: Shop, adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "MAX_UPLOAD", 3 * 2**20)
    status, body, read = upload(shop, adapter, b"x" * 5 * 2**20)
    assert (status, body["code"]) == (413, "too_large")
    assert str(3 * 2**20) in body["message"]
    assert read < 60


def test_only_so_many_files_are_on_their_way_at_once(shop: Shop, adapter: Adapter) -> None:
    adapter._uploads = asgi.UPLOADS - 1
    seen: list[int] = []

    async def another() -> None:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"method": "POST", "path": f"/api/v1/sites/{shop.site.id}/products", "type": "http"}
        await adapter(scope, another, send)  # type: ignore[arg-type]
        seen.append(sent[0]["status"])

    assert upload(shop, adapter, b"id\na\n", during=another)[0] == 200
    assert seen == [429]
    assert adapter._uploads == asgi.UPLOADS - 1
