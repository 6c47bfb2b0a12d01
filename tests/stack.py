"""A whole chimein for tests: `with stack(directory) as chimein:` runs the real `chimein up`, and leaves nothing."""

import base64
import gzip
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from tests.up_process import Up, wait_until_gone

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answer:
    """What an HTTP server said."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


def request(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, *, timeout: float = 30
) -> Answer:
    """One request; a body that is not bytes goes as JSON. Errors are answers too; no answer is an OSError."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    made = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(made, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def basic(key: str) -> dict[str, str]:
    """The header that gives a write key as Segment's libraries do."""
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def packed(body: Any) -> bytes:
    """JSON under gzip."""
    return gzip.compress(json.dumps(body).encode())


def track(event: str, anonymous_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A track call with an id of its own; moments may be datetimes."""
    made: dict[str, Any] = {"type": "track", "event": event, "messageId": uuid4().hex}
    if anonymous_id is not None:
        made["anonymousId"] = anonymous_id
    told = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in fields.items()}
    return made | told


def wait_for(look: Callable[[], Found], seconds: float = 60, pause: float = 0.1) -> Found:
    """What `look` answers as soon as that is true; how it fails in between does not matter."""
    deadline = time.monotonic() + seconds
    seen: Any = None
    while True:
        try:
            if seen := look():
                return seen
        except (OSError, LookupError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"still {seen!r} after {seconds} s")
        time.sleep(pause)


class Stack(Up):
    """One running `chimein up`, and what tests ask of it over HTTP."""

    COMMAND = (str(Path(sys.executable).with_name("chimein")),)

    @property
    def live_url(self) -> str:
        """Where the streams are."""
        return str(self.state["live_url"])

    @property
    def pids(self) -> dict[str, int]:
        """The process of each part, without the supervisor."""
        return dict(self.state["pids"])

    def site(self, name: str | None = None, **fields: Any) -> "Shop":
        """A new site with rules and visitors of its own."""
        answer = self.api("POST", "/sites", {"name": name or f"shop-{uuid4().hex[:8]}", **fields})
        assert answer.status == 201, answer.text
        return Shop(self, answer.json)

    def demo(self) -> "Shop":
        """The site that every installation begins with."""
        return Shop(self, self.api("GET", "/sites/demo").json)

    def api(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Answer:
        """Calls the API, as an administrator unless another token is given."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return request(method, f"{self.url}/api/v1{path}", body, headers)

    def pending(self) -> int:
        """How many accepted events have not taken effect."""
        return int(self.api("GET", "/status").json["pending_events"])

    def settle(self, seconds: float = 60) -> None:
        """Waits until every accepted event has been folded and decided on."""
        wait_for(lambda: self.pending() == 0, seconds)

    def set_aside(self) -> int:
        """How many events could not be folded."""
        return int(self.api("GET", "/status").json["dead_events"])


class Shop:
    """One site of a running chimein."""

    def __init__(self, chimein: Stack, told: Mapping[str, Any]) -> None:
        self.chimein = chimein
        self.id: str = told["id"]
        self.key: str = told["write_key"]
        self.secret: str = told["secret_key"]

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """A request to the collector as it stands; the write key must be in it."""
        return request("POST", f"{self.chimein.url}/v1/{path}", body, headers)

    def send(self, *calls: Mapping[str, Any], **envelope: Any) -> None:
        """These calls as one batch; all of them must be accepted. Returns when they have taken effect."""
        answer = self.post("batch", {"batch": calls, **envelope}, basic(self.key))
        assert (answer.status, answer.json["accepted"]) == (200, len(calls)), answer.text
        self.chimein.settle()

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        """Calls the API below this site as an administrator."""
        return self.chimein.api(method, f"/sites/{self.id}{path}", body)

    def rule(self, document: Mapping[str, Any]) -> str:
        """The id of a new rule that is active."""
        answer = self.api("POST", "/rules", {**document, "status": "active"})
        assert answer.status == 201, answer.text
        return str(answer.json["id"])

    def visitors(self, **query: str) -> list[Any]:
        """The visitors that the API finds."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return list(self.api("GET", f"/visitors?{asked}").json["items"])

    def visitor(self, anonymous_id: str) -> Any:
        """The one visitor behind a browser; LookupError while there is none."""
        found = self.visitors(anonymous_id=anonymous_id)
        if len(found) != 1:
            raise LookupError(f"{len(found)} visitors are {anonymous_id}")
        return found[0]

    def of(self, anonymous_id: str, what: str) -> list[Any]:
        """The `events`, `messages` or `enrolments` of the visitor behind a browser, newest first."""
        return list(self.api("GET", f"/visitors/{self.visitor(anonymous_id)['id']}/{what}?limit=200").json["items"])

    def outcomes(self, anonymous_id: str) -> list[tuple[str | None, str | None]]:
        """How the visitor's enrolments ended, in order of entry."""
        return [(each["outcome"], each["reason"]) for each in reversed(self.of(anonymous_id, "enrolments"))]

    def greeting(self, anonymous_id: str | None, **more: Any) -> bytes:
        """What a page says of itself to `live` and to `inbox`."""
        return json.dumps({"writeKey": self.key, "anonymousId": anonymous_id, **more}).encode()

    def inbox(self, anonymous_id: str | None, **more: Any) -> Answer:
        """What a page that cannot stream is answered."""
        return self.post("inbox", self.greeting(anonymous_id, **more), {"Content-Type": "text/plain"})


@contextmanager
def stack(directory: Path, *, check_output: bool = True, **environ: str) -> Iterator[Stack]:
    """Starts everything on a data directory, and ends it with SIGTERM: in order, no child left, no traceback."""
    chimein = Stack(directory, None, **environ)
    try:
        chimein.wait_until_ready()
        pids = list(chimein.pids.values())
        yield chimein
        if chimein.process.poll() is None:
            pids += chimein.pids.values()
            chimein.stop(signal.SIGTERM, 30)
        assert chimein.process.returncode == 0, chimein.output
        assert wait_until_gone(pids) == [], chimein.output
        if check_output:
            assert "Traceback" not in chimein.output, chimein.output
    except BaseException:
        print(chimein.output[-10_000:])
        raise
    finally:
        if chimein.process.poll() is None:
            chimein.stop(signal.SIGTERM, 30)
