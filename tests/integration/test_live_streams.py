"""The streams of `live` under faults: cut, slow, killed, dropped by the thousand (F6, F28, F29, F31)."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.stack import Shop, Stack, stack, track, wait_for
from tests.streams import Stream, opening

RULE = {
    "name": "Hello",
    "trigger": {"event": "Hello"},
    "reentry": {"policy": "every"},
    "message": {
        "channels": ["popup"],
        "variants": [{"name": "A", "content": {"title": "Hi", "body": "{{ event.properties.text | default: '…' }}"}}],
    },
}


@pytest.fixture(scope="module")
def chimein(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("live") / "var") as running:
        yield running
        assert running.set_aside() == 0


@pytest.fixture
def shop(chimein: Stack) -> Shop:
    made = chimein.site()
    made.rule(RULE)
    return made


@pytest.fixture
def ann() -> str:
    return uuid4().hex


def open_stream(shop: Shop, name: str, **more: Any) -> Stream:
    return Stream(shop.chimein.live_url, shop.greeting(name, **more))


def hello(shop: Shop, *names: str, **properties: Any) -> None:
    shop.send(*[track("Hello", name, properties=properties) for name in names])


def waiting(shop: Shop, ann: str) -> set[str]:
    """What the visitor has not been shown."""
    return {each["id"] for each in shop.inbox(ann).json["items"]}


def seen(*streams: Stream) -> set[str]:
    return {message_id for each in streams for message_id in each.messages()}


def test_a_stream_begins_with_what_waits_and_goes_on_with_what_comes(shop: Shop, ann: str) -> None:
    hello(shop, ann)
    hello(shop, ann)
    with open_stream(shop, ann) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        stream.wait_for_messages(2)
        assert stream.frames[0].event == "retry"
        assert stream.frames[0].data == "3000"
        hello(shop, ann)
        stream.wait_for_messages(3)
        numbers = [frame.id for frame in stream.wait_for("message")]
        assert numbers == [str(number + 1) for number in range(len(numbers))]
        assert seen(stream) == waiting(shop, ann)
        for message_id in seen(stream):
            shop.send(track("Message Shown", ann, properties={"message_id": message_id}))
    with open_stream(shop, ann) as stream:
        hello(shop, ann)
        stream.wait_for_messages(1)
        assert seen(stream) == waiting(shop, ann)


def test_f31_a_silent_stream_has_a_heartbeat(shop: Shop, ann: str) -> None:
    with open_stream(shop, ann) as stream:
        [beat] = stream.wait_for("comment", seconds=60)
        assert beat.data == "hb"
        hello(shop, ann)
        stream.wait_for("message")


def test_two_streams_of_one_browser_and_another_browsers_stream(shop: Shop, ann: str) -> None:
    with open_stream(shop, ann) as one, open_stream(shop, ann) as two, open_stream(shop, "bob") as bob:
        hello(shop, ann)
        one.wait_for("message")
        two.wait_for("message")
        hello(shop, "bob")
        bob.wait_for("message")
        assert seen(one) == seen(two) == waiting(shop, ann)
        assert seen(bob) == waiting(shop, "bob")


def test_f6_no_message_is_missed_when_live_is_killed(shop: Shop) -> None:
    names = [f"v{number}" for number in range(50)]
    first = [open_stream(shop, name) for name in names]
    hello(shop, *names)
    for stream in first[:25]:
        stream.wait_for("message")
    os.kill(shop.chimein.pids["live"], signal.SIGKILL)
    hello(shop, *names)  # while nobody listens
    for stream in first:
        stream.wait(lambda stream: stream.ended)
        stream.close()

    def again(name: str) -> Stream:
        return wait_for(lambda: open_stream(shop, name, lastEventId=1))

    second = [again(name) for name in names]
    hello(shop, *names)
    try:
        for name, stream in zip(names, second, strict=True):
            stream.wait(lambda stream: len(seen(stream)) == 3)
            assert seen(stream) == waiting(shop, name)
    finally:
        for stream in second:
            stream.close()


def test_f7_streams_end_and_come_back_when_redis_is_killed(shop: Shop, ann: str) -> None:
    with open_stream(shop, ann) as stream:
        hello(shop, ann)
        stream.wait_for("message")
        before = shop.chimein.pids["redis"]
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: shop.chimein.pids.get("redis") not in (None, before) and shop.chimein.status("/readyz") == 200)
        # Either it lives on and gets the next message, or it ended and the page comes back.
        hello(shop, ann)
        stream.wait(lambda stream: stream.ended or len(seen(stream)) == 2, 30)
    with open_stream(shop, ann) as stream:
        stream.wait(lambda stream: len(seen(stream)) == 2)
        hello(shop, ann)
        stream.wait(lambda stream: len(seen(stream)) == 3)


def stopped_reader(shop: Shop, ann: str) -> socket.socket:
    """A stream's reader that has read the status and stopped there."""
    place = urlsplit(shop.chimein.live_url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(60)
    slow.connect((place.hostname, place.port))
    slow.sendall(opening(shop.greeting(ann)))
    assert slow.recv(12) == b"HTTP/1.1 200"
    return slow


def holds(port: int, peer: int) -> bool:
    """Whether some process still holds the end at `port` of the connection to `peer`."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(end.rpartition(":")[2], 16) for end in fields[1:3]]
        if ends == [port, peer] and fields[9] != "0":
            return True
    return False


def test_f29_a_reader_that_stops_costs_nobody_else_anything_and_resumes(shop: Shop, ann: str) -> None:
    live = shop.chimein.pids["live"]
    with stopped_reader(shop, ann) as slow:
        memory = resident(live)
        with open_stream(shop, "bob") as bob:
            for turn in range(6):
                shop.send(*[track("Hello", ann, properties={"text": "x" * 8_000}) for _ in range(50)])
                hello(shop, "bob")
                bob.wait_for_messages(turn + 1)
        assert resident(live) - memory < 20_000_000
        # 2.4 MB were for somebody who does not read; after a while they are hung up on.
        port = int(urlsplit(shop.chimein.live_url).port or 0)
        wait_for(lambda: not holds(port, slow.getsockname()[1]), 90)
    with open_stream(shop, ann) as stream:
        expected = waiting(shop, ann)
        assert len(expected) == 300
        stream.wait(lambda stream: seen(stream) >= expected)


@pytest.mark.long
def test_f28_a_thousand_streams_dropped_at_once_come_back_and_the_collector_goes_on(shop: Shop) -> None:
    live = shop.chimein.pids["live"]
    before = open_files(live)
    names = [f"herd-{number}" for number in range(1_000)]
    place = urlsplit(shop.chimein.live_url)

    async def open_one(name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(opening(shop.greeting(name)))
        line = await asyncio.wait_for(reader.readline(), 120)
        assert line.startswith(b"HTTP/1.1 200"), line
        await asyncio.wait_for(reader.readuntil(b"retry: 3000"), 120)
        return reader, writer

    async def herd() -> None:
        streams = await asyncio.gather(*[open_one(name) for name in names])
        assert open_files(live) >= before + 1_000
        for _, writer in streams:
            writer.transport.abort()
        sender = asyncio.create_task(asyncio.to_thread(hello, shop, *names))
        streams = await asyncio.gather(*[open_one(name) for name in names])
        await sender
        for reader, _ in streams:
            await asyncio.wait_for(reader.readuntil(b"event: message"), 120)
        for _, writer in streams:
            writer.transport.abort()

    asyncio.run(herd())
    assert shop.chimein.status("/readyz") == 200
    # Whether a silent reader is there shows at the next heartbeat. A hundred connections to Redis, at most, are kept.
    wait_for(lambda: open_files(live) <= before + 80, 90, pause=1)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid: int) -> int:
    """Bytes of memory that the process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_an_end_of_everything_ends_the_streams(tmp_path: Path) -> None:
    with stack(tmp_path / "var") as chimein:
        stream = open_stream(chimein.demo(), "ann")
        stream.wait_for("retry")
        began = time.monotonic()
        chimein.process.send_signal(signal.SIGTERM)
        stream.wait(lambda stream: stream.ended, 15)
        chimein.process.wait(15)
        assert time.monotonic() - began < 10
        stream.close()
