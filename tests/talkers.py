"""Visitors and operators who talk through a running chimein, hundreds in one thread: for tests that kill processes.

They do what the widget and the console do: send until it is acknowledged, under one id; listen on a stream; when it
breaks, come back and ask for what they missed. What each was shown is kept, to be compared with what the database has.
"""

import asyncio
import html
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

Told = tuple[str, str]
"""Who said it, and what."""

PARTS = re.compile(r'<li class="part by-(\w+) [^"]*" id="p-(\d+)".*?<div class="text" dir="auto">(.*?)</div>', re.S)


@dataclass
class Measured:
    """What happened on the way."""

    latencies: dict[str, list[float]] = field(default_factory=lambda: {"to operator": [], "to visitor": []})
    retries: Counter[str] = field(default_factory=Counter)
    reconnects: Counter[str] = field(default_factory=Counter)
    sent_at: dict[str, float] = field(default_factory=dict)
    first_try: set[str] = field(default_factory=set)
    refetched: int = 0
    twice: list[str] = field(default_factory=list)

    def arrived(self, way: str, text: str) -> None:
        """Somebody's stream told of this text; those count that were accepted at once."""
        began = self.sent_at.get(text)
        if began is not None and text not in self.first_try:
            self.first_try.add(text)
            self.latencies[way].append(time.monotonic() - began)


async def call(
    base: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, seconds: float = 30
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers, body; OSError where nobody answers."""
    place = urlsplit(base)

    async def whole() -> bytes:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(_head(method, path, place.netloc, body, headers) + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    try:
        raw = await asyncio.wait_for(whole(), seconds)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise OSError(str(error)) from error
    head, found, content = raw.partition(b"\r\n\r\n")
    if not found:
        raise OSError("the answer broke off")
    status, told = _headers(head)
    if len(content) < int(told.get("content-length", "0")):
        raise OSError("the answer broke off")
    return status, told, content


async def frames(
    base: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream: first `("open", None)`, then what it tells, until it breaks."""
    place = urlsplit(base)
    reader, writer = await asyncio.wait_for(asyncio.open_connection(place.hostname, place.port), 10)
    try:
        writer.write(_head(method, path, place.netloc, body, headers) + body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        status, _ = _headers(head)
        if status != 200:
            raise OSError(f"the stream was answered {status}")
        yield "open", None
        event, data = "", ""
        while raw := await asyncio.wait_for(reader.readline(), 60):
            line = raw.decode().rstrip("\r\n")
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = value
            elif not line and event:
                yield event, json.loads(data)
                event, data = "", ""
    finally:
        writer.close()


def _head(method: str, path: str, host: str, body: bytes, headers: Mapping[str, str] | None) -> bytes:
    told = {"Host": host, "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
    # HTTP/1.0: the body comes as it is, and ends with the connection.
    lines = [f"{method} {path} HTTP/1.0", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode()


def _headers(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *rest = raw.decode("latin-1").split("\r\n")
    lines = [each.partition(":") for each in rest if each]
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in lines}


class Talker:
    """A stream that comes back, and words that are sent until they arrived: of visitors and operators alike."""

    def __init__(self, name: str, live: Callable[[], str], web: str, measured: Measured, seed: int) -> None:
        self.name, self.live, self.web, self.measured = name, live, web, measured
        self.chance = random.Random(seed)
        self.acknowledged: list[str] = []
        self.talking = True
        self.over = False

    async def listen(self) -> None:
        """Holds the stream, and opens it again whenever it breaks."""
        while not self.over:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                await self.hold()
            if not self.over:
                self.measured.reconnects[type(self).__name__] += 1
                await asyncio.sleep(self.chance.uniform(0.5, 2.0))

    async def hold(self) -> None:
        raise NotImplementedError

    async def send(self, what: str, text: str, once: Callable[[], Any]) -> None:
        """Tries until it is acknowledged."""
        self.measured.sent_at[text] = time.monotonic()
        while True:
            try:
                status = await once()
            except OSError:
                status = 0
            if status in (200, 204):
                self.acknowledged.append(text)
                return
            assert status in (0, 429, 500, 502, 503), (what, status)
            self.measured.first_try.add(text)  # its way was no usual one
            self.measured.retries[f"{what} {status}"] += 1
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """What is answered with 200, asked for until it is."""
        while True:
            try:
                status, _, content = await call(self.web, method, path, body, headers)
            except OSError:
                status, content = 0, b""
            if status == 200:
                return content
            assert status in (0, 429, 500, 502, 503), (path, status, content[:300])
            self.measured.retries[f"look {status}"] += 1
            await asyncio.sleep(self.chance.uniform(0.2, 0.8))


class Visitor(Talker):
    """A page with the chat open: `shown` is what it shows, by number."""

    def __init__(self, *args: Any, key: str, pause: float) -> None:
        super().__init__(*args)
        self.key, self.pause = key, pause
        self.shown: dict[int, Told] = {}
        self.conversation: str | None = None
        self._stale = asyncio.Event()

    @property
    def _greeting(self) -> bytes:
        return json.dumps({"writeKey": self.key, "anonymousId": self.name}).encode()

    async def hold(self) -> None:
        plain = {"Content-Type": "text/plain"}
        opened = frames(self.live(), "POST", "/v1/live", self._greeting, plain)
        reload_at = time.monotonic() + self.chance.uniform(20, 120)
        try:
            async for event, data in opened:
                if event == "part":
                    self._show(data)
                    if data["author"] == "operator":
                        self.measured.arrived("to visitor", data["text"])
                elif event == "conversation" and any(self._behind(each) for each in data["talks"]):
                    self._stale.set()
                if self.over or time.monotonic() > reload_at:
                    return
        finally:
            await opened.aclose()

    def _behind(self, standing: Mapping[str, Any]) -> bool:
        return bool(standing["last"] > max(self.shown, default=0))

    def _show(self, part: Mapping[str, Any]) -> None:
        self.conversation = part["conversation_id"]
        told = (part["author"], part["text"])
        if self.shown.setdefault(part["number"], told) != told:
            self.measured.twice.append(f"{self.name} {part['number']}: {told} and {self.shown[part['number']]}")

    async def catch_up(self) -> None:
        """Asks for what was missed, whenever the stream told that there is something."""
        while not self.over:
            await self._stale.wait()
            self._stale.clear()
            await self.look()

    async def look(self) -> None:
        """What the server has, beside what is shown."""
        self.measured.refetched += 1
        told = json.loads(await self.ask("POST", "/v1/conversation", self._greeting, {"Content-Type": "text/plain"}))
        for each in told["conversations"]:
            for part in each["parts"]:
                self._show(part)

    async def talk(self) -> None:
        """Says one thing after the other."""
        number = 0
        await asyncio.sleep(self.chance.uniform(0, self.pause))
        while self.talking:
            number += 1
            text = f"{self.name} says {number}"
            properties = {"message_body": text} | ({"conversation_id": self.conversation} if self.conversation else {})
            event = {"type": "track", "event": "Live Chat Message Sent", "messageId": uuid4().hex}
            event |= {"anonymousId": self.name, "properties": properties}
            body = json.dumps({"batch": [event], "writeKey": self.key}).encode()

            async def once(body: bytes = body) -> int:
                return (await call(self.web, "POST", "/v1/batch", body, {"Content-Type": "application/json"}))[0]

            await self.send("say", text, once)
            await asyncio.sleep(self.chance.expovariate(1 / self.pause))


class Operator(Talker):
    """A console: `shown` is, by conversation, what its thread shows; it answers the visitors who are its own."""

    def __init__(self, *args: Any, site: str, cookie: str, token: str, mine: Callable[[str], bool]) -> None:
        super().__init__(*args)
        self.site, self.mine = site, mine
        self.headers = {"Cookie": cookie, "HX-Request": "true"}
        self.forms = {"Origin": self.web, "X-CSRF-Token": token, "Content-Type": "application/x-www-form-urlencoded"}
        self.shown: dict[str, dict[int, Told]] = {}
        self.answered: set[str] = set()
        self.reloading = True
        self._turn: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()

    async def hold(self) -> None:
        path = f"/console/{self.site}/stream"
        opened = frames(self.live(), "GET", path, headers={"Cookie": self.headers["Cookie"]})
        reload_at = time.monotonic() + self.chance.uniform(10, 40)
        try:
            async for event, data in opened:
                if event == "open":
                    for each in list(self.shown):
                        self._due(each)
                elif event == "part":
                    self._hear(data["conversation"]["id"], data["part"])
                if self.over:
                    return
                if self.reloading and time.monotonic() > reload_at:  # the page is loaded again: nothing is on it
                    self.shown = {each: {} for each in self.shown}
                    return
        finally:
            await opened.aclose()

    def _hear(self, conversation: str, part: Mapping[str, Any]) -> None:
        if part["author"] == "visitor" and self.mine(part["text"]):
            self.measured.arrived("to operator", part["text"])
            self.shown.setdefault(conversation, {})
        if conversation in self.shown:
            self._due(conversation)

    def _due(self, conversation: str) -> None:
        if conversation not in self._waiting:
            self._waiting.add(conversation)
            self._turn.put_nowait(conversation)

    async def answer(self) -> None:
        """Looks at whatever conversation has something new, and answers what is there."""
        while not self.over:
            conversation = await self._turn.get()
            self._waiting.discard(conversation)
            await self.look(conversation)
            for author, text in list(self.shown[conversation].values()):
                if author != "visitor" or text in self.answered or not self.talking:
                    continue
                self.answered.add(text)
                if self.chance.random() < 0.8:
                    await self._say(conversation, f"{self.name} on “{text}” ({len(self.acknowledged)})")

    async def look(self, conversation: str) -> None:
        """The parts behind the last that is shown, as the console asks for them; on a page just loaded, all of them."""
        thread, base = self.shown[conversation], f"/console/{self.site}/inbox/{conversation}/parts"
        self.measured.refetched += 1
        found = self._parts(await self.ask("GET", f"{base}?after={max(thread, default=0)}", headers=self.headers))
        while not thread and found and min(found) > 1:
            earlier = self._parts(await self.ask("GET", f"{base}?before={min(found)}", headers=self.headers))
            found = earlier | found
            if not earlier:
                break
        for number, told in found.items():
            if self.shown[conversation].setdefault(number, told) != told:
                self.measured.twice.append(f"{self.name} {conversation} {number}: {told}")

    def _parts(self, content: bytes) -> dict[int, Told]:
        found = PARTS.findall(content.decode())
        return {int(number): (author, html.unescape(text)) for author, number, text in found}

    async def _say(self, conversation: str, text: str) -> None:
        body = urlencode({"body": text, "id": uuid4().hex}).encode()
        path = f"/console/{self.site}/inbox/{conversation}/say"

        async def once() -> int:
            return (await call(self.web, "POST", path, body, {**self.headers, **self.forms}))[0]

        await self.send("answer", text, once)
