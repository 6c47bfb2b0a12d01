"""From an event to the open page: POST, fold, decide, publish, stream, while other visitors' events flow."""

import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import redis

from backend.storage.log import partition_of
from tests.bench.load import request
from tests.bench.report import Line
from tests.stack import Shop, Stack, stack
from tests.streams import opening

SAMPLES = 250
RATE = 500
IDLE = 5_000
RULE = {
    "name": "At once",
    "trigger": {"event": "Ping"},
    "reentry": {"policy": "every"},
    "message": {
        "channels": ["popup"],
        "variants": [{"name": "A", "content": {"title": "{{ event.properties.mark }}"}}],
    },
}


def run() -> list[Line]:
    """Milliseconds from the POST to the frame, in the middle and at 95 %, beside a bare reader of the log."""
    with tempfile.TemporaryDirectory(prefix="chimein-") as folder, stack(Path(folder) / "var") as chimein:
        shop = chimein.site()
        shop.rule(RULE)
        with traffic(chimein):
            time.sleep(2)
            bare, ours = _sample(shop)
        with ExitStack() as streams:
            kilobytes = idle(shop, streams)
    remark = f"{RATE} events/s of others; {len(ours)} samples"
    name = "POST to a bare reader of the log"
    return [
        Line(
            "event to page, median",
            statistics.median(ours),
            "ms",
            name,
            statistics.median(bare),
            "at most 25 ms",
            remark,
        ),
        Line("event to page, 95 %", at(ours, 0.95), "ms", name, at(bare, 0.95), "at most 80 ms", remark),
        Line("an idle stream", kilobytes, "kB", "", None, "at most 30 kB", f"{IDLE:,} streams in one process"),
    ]


def at(values: list[float], share: float) -> float:
    return sorted(values)[int(share * len(values))]


@contextmanager
def traffic(chimein: Stack) -> Iterator[None]:
    """The other visitors, in a process of their own."""
    command = [sys.executable, "-m", "backend", "loadtest", "--rate", str(RATE), "--seconds", "3600", "--batch", "5"]
    with subprocess.Popen(
        [*command, "--to", chimein.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as other:
        try:
            yield
            if other.poll() is not None:
                raise RuntimeError("The load generator ended early.")
        finally:
            other.kill()


def _sample(shop: Shop) -> tuple[list[float], list[float]]:
    """Milliseconds to the bare reader and to the page, measured in turns by one thread."""
    visitor = uuid4().hex
    chance = random.Random(1)
    bare: list[float] = []
    ours: list[float] = []
    state = shop.chimein.state
    with (
        redis.Redis.from_url(state["redis_url"]) as client,
        socket.create_connection(("127.0.0.1", shop.chimein.port), timeout=30) as collector,
        open_stream(shop, visitor) as page,
    ):
        collector.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        status = shop.chimein.api("GET", "/status").json
        key = f"chimein:{{{partition_of(visitor, status['partitions'])}}}:log"

        def reader(mark: bytes) -> Callable[[], None]:
            last = client.xinfoopen_stream(key)["last-generated-id"] if client.exists(key) else "0-0"

            def wait() -> None:
                after = last
                while True:
                    for _, entries in _pairs(client.xread({key: after}, block=10_000)):
                        for entry_id, fields in entries:
                            after = entry_id
                            if mark in fields[b"e"]:
                                return

            return wait

        def frame(mark: bytes) -> Callable[[], None]:
            def wait() -> None:
                received = b""
                while mark not in received or not received.endswith(b"\n\n\r\n"):
                    part = page.recv(65_536)
                    if not part:
                        raise ConnectionError("The stream ended.")
                    received += part

            return wait

        for number in range(2 * SAMPLES + 20):
            mark = uuid4().hex
            name, prepare, found = ("Ping", frame, ours) if number % 2 else ("Quiet", reader, bare)
            event = {
                "type": "track",
                "event": name,
                "anonymousId": visitor,
                "messageId": mark,
                "properties": {"mark": mark},
            }
            packed = request("/v1/track", json.dumps(event).encode()).replace(
                b"Bearer demo", f"Bearer {shop.key}".encode()
            )
            wait = prepare(mark.encode())
            time.sleep(chance.uniform(0.005, 0.04))
            began = time.perf_counter()
            collector.sendall(packed)
            wait()
            took = (time.perf_counter() - began) * 1000
            if number >= 20:
                found.append(took)
            answer = collector.recv(65_536)
            if b" 200 " not in answer[:16]:
                raise AssertionError(answer)
    return bare, ours


def _pairs(answer: Any) -> list[tuple[bytes, Any]]:
    # RESP3 answers a mapping of key to a list of lists of entries, RESP2 a list of pairs.
    if isinstance(answer, dict):
        return [(key, value[0]) for key, value in answer.items()]
    return list(answer or ())


@contextmanager
def open_stream(shop: Shop, visitor: str) -> Iterator[socket.socket]:
    place = urlsplit(shop.chimein.live_url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=60) as connection:
        connection.sendall(opening(shop.greeting(visitor)))
        received = b""
        while b"retry:" not in received:
            part = connection.recv(65_536)
            if not part:
                raise ConnectionError(received)
            received += part
        yield connection


def idle(shop: Shop, streams: ExitStack) -> float:
    """Opens the streams of so many pages; the kilobytes of memory that each takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < IDLE + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 200) if hard > 0 else IDLE + 200, hard))
    live = shop.chimein.pids["live"]
    for number in range(50):
        streams.enter_context(open_stream(shop, f"first-{number}"))
    before = _resident(live)
    for number in range(IDLE):
        streams.enter_context(open_stream(shop, f"idle-{number}"))
    return (_resident(live) - before) / IDLE / 1024


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
