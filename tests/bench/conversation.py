"""A talk under load, from one side to the other while others' events flow and pages wait; and a busy site's inbox."""

import http.client
import json
import re
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from tests.bench.live import IDLE, at, idle, open_stream, traffic
from tests.bench.load import read_answer, request
from tests.bench.report import Line
from tests.stack import Shop, Stack, basic, packed, stack, track

SAMPLES = 150
TALKS = 10_000
LOADS = 30
RATE = 500


def run() -> list[Line]:
    """Milliseconds from either side to the other, and of the inbox; a bare round trip is the baseline."""
    with tempfile.TemporaryDirectory(prefix="chimein-") as folder, stack(Path(folder) / "var") as chimein:
        shop, other = chimein.site(), chimein.site()
        desk = Desk(chimein)
        empty = [desk.load(f"/console/{other.id}/inbox") for _ in range(LOADS)]
        visitor = uuid4().hex
        shop.send(track("Live Chat Message Sent", visitor, properties={"message_body": "Good morning"}))
        with ExitStack() as streams:
            kilobytes = idle(shop, streams)
            with traffic(chimein):
                time.sleep(2)
                bare, asked, answered = _talk(shop, desk, visitor)
        _fill(other)
        full = [desk.load(f"/console/{other.id}/inbox") for _ in range(LOADS)]
    remark = f"{RATE} events/s of others, {IDLE:,} streams open; {SAMPLES} parts each way"
    bare_name, wanted = "a round trip to web", "at most 150 ms"
    middle = statistics.median
    return [
        Line("visitor to operator, median", middle(asked), "ms", bare_name, middle(bare), wanted, remark),
        Line("visitor to operator, 95 %", at(asked, 0.95), "ms", bare_name, at(bare, 0.95), "", remark),
        Line("operator to visitor, median", middle(answered), "ms", bare_name, middle(bare), wanted, remark),
        Line("operator to visitor, 95 %", at(answered, 0.95), "ms", bare_name, at(bare, 0.95), "", remark),
        Line("a waiting page", kilobytes, "kB", "", None, "at most 30 kB", f"{IDLE:,} streams in one process"),
        Line(
            "inbox page, median",
            middle(full),
            "ms",
            "of an empty inbox",
            middle(empty),
            wanted,
            f"{TALKS:,} conversations",
        ),
    ]


class Desk:
    """An operator's browser: a cookie, and what it asks for."""

    def __init__(self, chimein: Stack) -> None:
        self._chimein = chimein
        self._cookies: dict[str, str] = {}
        form = {
            "csrf_token": re.findall(rb'name="csrf_token" value="([^"]+)"', self._ask("GET", "/console/first"))[
                0
            ].decode(),
            "token": chimein.token,
            "name": "Anna Berg",
            "email": "anna@shop.example",
            "password": "kettle on the quiet stove",
        }
        self._ask("POST", "/console/first", urlencode(form))

    def load(self, path: str) -> float:
        """Milliseconds that a page takes."""
        began = time.perf_counter()
        self._ask("GET", path)
        return (time.perf_counter() - began) * 1000

    def stream(self, site_id: str) -> socket.socket:
        """The open stream of a site's desk."""
        place = urlsplit(str(self._chimein.state["live_url"]))
        opened = socket.create_connection((place.hostname or "", place.port or 0), timeout=60)
        head = f"GET /console/{site_id}/stream HTTP/1.1\r\nHost: {place.netloc}\r\nCookie: {self._cookie()}\r\n\r\n"
        opened.sendall(head.encode())
        received = b""
        while b": hello" not in received:
            received += _more(opened)
        return opened

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Cookie": self._cookie(), "Content-Type": "application/x-www-form-urlencoded"}
        web = http.client.HTTPConnection("127.0.0.1", self._chimein.port, timeout=60)
        web.request(method, path, body, headers | {"Sec-Fetch-Site": "same-origin"})
        with closing(web), web.getresponse() as answer:
            told = answer.read()
            if answer.status not in (200, 303):
                raise AssertionError(f"{path}: {answer.status} {told[:500]!r}")
            for line in answer.headers.get_all("Set-Cookie", ()):
                self._cookies |= {name: each.value for name, each in SimpleCookie(line).items()}
        return told

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())


def _talk(shop: Shop, desk: Desk, visitor: str) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of a round trip, from the visitor to the desk, and from the desk to the page, in turns."""
    talk = shop.api("GET", "/conversations").json["items"][0]["id"]
    bare: list[float] = []
    asked: list[float] = []
    answered: list[float] = []
    with (
        socket.create_connection(("127.0.0.1", shop.chimein.port), timeout=30) as web,
        open_stream(shop, visitor) as page,
        desk.stream(shop.id) as console,
    ):
        web.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(SAMPLES + 5):
            took = {"bare": 0.0, "asked": 0.0, "answered": 0.0}
            began = time.perf_counter()
            web.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            read_answer(web)
            took["bare"] = time.perf_counter() - began
            for name, path, key, body, other in (
                ("asked", "/v1/track", shop.key, {"anonymousId": visitor, "event": "Live Chat Message Sent"}, console),
                (
                    "answered",
                    f"/api/v1/sites/{shop.id}/conversations/{talk}/parts",
                    shop.chimein.token,
                    {},
                    page,
                ),
            ):
                mark = f"mark-{uuid4().hex}"
                told = {"messageId": mark, "properties": {"message_body": mark}} if body else {"body": mark}
                packet = request(path, json.dumps(body | told).encode()).replace(
                    b"Bearer demo", f"Bearer {key}".encode()
                )
                began = time.perf_counter()
                web.sendall(packet)
                received = b""
                while mark.encode() not in received or not received.endswith(b"\n\n\r\n"):
                    received += _more(other)
                took[name] = time.perf_counter() - began
                read_answer(web)
            if number >= 5:
                for found, name in ((bare, "bare"), (asked, "asked"), (answered, "answered")):
                    found.append(took[name] * 1000)
            time.sleep(0.02)
    return bare, asked, answered


def _fill(shop: Shop) -> None:
    """Ten thousand visitors who each wrote something."""
    for first in range(0, TALKS, 500):
        batch = [
            track(
                "Live Chat Message Sent",
                f"v{number}",
                properties={"message_body": f"Question {number}: is it in stock?"},
            )
            for number in range(first, first + 500)
        ]
        answer = shop.post("batch", packed({"batch": batch}), {**basic(shop.key), "Content-Encoding": "gzip"})
        if answer.status != 200:
            raise AssertionError(answer.text)
    shop.chimein.settle(600)


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65_536)
    if not part:
        raise ConnectionError("The server hung up.")
    return part
