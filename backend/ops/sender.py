"""Sends batches to the collector over one kept connection, and waits when it says so."""

import base64
import json
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from backend.errors import ChimeinError, Invalid, Unauthorized, Unavailable

MAX_EVENTS = 500
MAX_BYTES = 450_000
PATIENCE = 120.0
"""Seconds for which an unreachable or overloaded collector is asked again."""
LONGEST_WAIT = 30.0
FIRST_PATIENCE = 4.0
"""Seconds for which somebody may take to answer the very first question; nobody there is a wrong address."""


class Sender:
    """One connection to `/v1/batch`; not for several threads."""

    def __init__(self, url: str, key: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{url} is no address of chimein: it must start with http:// or https://.")
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection: HTTPConnection = make(parts.hostname, parts.port, timeout=timeout)
        self._first: HTTPConnection = make(parts.hostname, parts.port, timeout=FIRST_PATIENCE)
        self._path = parts.path.rstrip("/") + "/v1/batch"
        self._config = f"{parts.path.rstrip('/')}/v1/config?writeKey={quote(key, safe='')}"
        self._url = url
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode("ascii"),
        }
        self.waited = 0.0

    def check(self) -> None:
        """Asks once, before much is sent: raises where nobody answers, or where the key belongs to no site."""
        try:
            self._first.request("GET", self._config)
            response = self._first.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            raise Unavailable(f"Nobody answers at {self._url} ({reason}); --to names another address.") from None
        finally:
            self._first.close()
        # Any other answer is one; whether events are taken just now is told where they are sent.
        if response.status == 401:
            raise _refusal(response.status, text)

    def send(self, body: bytes) -> dict[str, Any]:
        """The collector's receipt for a batch; sends again, which the messageIds make harmless, for two minutes."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.2
        while True:
            try:
                response, text = self._post(body)
            except (OSError, HTTPException) as error:
                self._connection.close()
                reason, wait = f"{type(error).__name__}: {error}", pause
            else:
                if response.status == 200:
                    return _receipt(text, self._url)
                if response.status not in (429, 502, 503, 504):
                    raise _refusal(response.status, text)
                reason, wait = f"status {response.status}", _seconds(response.headers.get("Retry-After"), pause)
            if time.monotonic() + wait > deadline:
                raise Unavailable(f"The collector at {self._url} cannot be reached: {reason}.")
            time.sleep(wait)
            self.waited += wait
            pause = min(pause * 2, 5.0)

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def _post(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        self._connection.request("POST", self._path, body, self._headers)
        response = self._connection.getresponse()
        return response, response.read()


def batches(events: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The encoded events put together into bodies of `batch`, each with the number of its events."""
    waiting: list[bytes] = []
    size = 0
    for event in events:
        if waiting and (len(waiting) >= MAX_EVENTS or size + len(event) > MAX_BYTES):
            yield len(waiting), _body(waiting)
            waiting, size = [], 0
        waiting.append(event)
        size += len(event) + 1
    if waiting:
        yield len(waiting), _body(waiting)


def encode(event: dict[str, Any]) -> bytes:
    """One event as JSON."""
    return json.dumps(event, separators=(",", ":")).encode("ascii")


def _body(events: list[bytes]) -> bytes:
    return b'{"batch":[%b]}' % b",".join(events)


def _seconds(header: str | None, otherwise: float) -> float:
    try:
        return min(max(float(header or otherwise), 0.05), LONGEST_WAIT)
    except ValueError:
        return otherwise


def _receipt(text: bytes, url: str) -> dict[str, Any]:
    try:
        receipt = json.loads(text)
    except ValueError:
        receipt = None
    if not isinstance(receipt, dict) or "accepted" not in receipt:
        raise Invalid(f"What answers at {url} is not chimein.")
    return receipt


def _refusal(status: int, text: bytes) -> ChimeinError:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = text[:200].decode("utf-8", "replace")
    kind = Unauthorized if status == 401 else Invalid
    return kind(f"The collector refused (status {status}): {message}")
