"""A page's end of `POST /v1/live` for tests: a thread that reads frames as they come."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Frame:
    """One server-sent event, or a comment; `at` is when it was here, on the monotonic clock."""

    event: str
    data: Any
    id: str | None
    at: float


def opening(body: bytes) -> bytes:
    """The bytes of the request that opens a stream, for whoever reads the socket itself."""
    return b"POST /v1/live HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


class Stream:
    """An open stream; as a context manager it hangs up at the end."""

    def __init__(self, live_url: str, body: bytes, **headers: str) -> None:
        place = urlsplit(live_url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        self._connection.request("POST", "/v1/live", body, {"Content-Type": "text/plain", **headers})
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.headers = self.response.headers
        self.frames: list[Frame] = []
        self.ended = False
        self._came = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._read, daemon=True)
        if self.status == 200:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up."""
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(2)
        if self._thread.is_alive():
            self._thread.join(10)
        self.response.close()
        self._connection.close()

    def messages(self) -> dict[str, Any]:
        """The messages that came so far, by id: until it is shown, one may come more than once."""
        with self._came:
            return {frame.data["id"]: frame.data for frame in self.frames if frame.event == "message"}

    def wait_for_messages(self, count: int, seconds: float = 60) -> dict[str, Any]:
        """The messages, when there are as many as `count`."""
        self.wait(lambda stream: len(stream.messages()) >= count, seconds)
        return self.messages()

    def wait(self, true: Callable[[Self], Any], seconds: float = 60) -> Any:
        """What `true` answers about this stream, as soon as it is true."""
        deadline = time.monotonic() + seconds
        with self._came:
            while not (seen := true(self)):
                left = deadline - time.monotonic()
                assert left > 0, f"waited {seconds} s; ended: {self.ended}; came: {self.frames}"
                self._came.wait(min(left, 0.5))
            return seen

    def wait_for(self, event: str, count: int = 1, seconds: float = 60) -> list[Frame]:
        """The frames of this kind, when there are as many as `count`."""

        def enough(stream: Self) -> list[Frame]:
            found = [frame for frame in stream.frames if frame.event == event]
            return found if len(found) >= count else []

        found: list[Frame] = self.wait(enough, seconds)
        return found

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            while raw := self.response.readline():
                line = raw.decode().rstrip("\n")
                if line.startswith(":"):
                    self._add(Frame("comment", line[1:].strip(), None, time.monotonic()))
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    data = json.loads(fields["data"]) if "data" in fields else fields.get("retry")
                    kind = fields.get("event", "message" if "data" in fields else "retry")
                    self._add(Frame(kind, data, fields.get("id"), time.monotonic()))
                    fields = {}
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        with self._came:
            self.ended = True
            self._came.notify_all()

    def _add(self, frame: Frame) -> None:
        with self._came:
            self.frames.append(frame)
            self._came.notify_all()
