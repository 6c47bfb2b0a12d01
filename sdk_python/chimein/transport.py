"""How do events travel? As one JSON body over one HTTP connection that is kept open between batches."""

from __future__ import annotations

import base64
import contextlib
import encodings.idna  # noqa: F401 - see below
import http.client
import math
import time
import zlib
from collections.abc import Sequence
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from chimein.encoding import time_text
from chimein.errors import ConfigurationError
from chimein.version import __version__

ENVELOPE = len(b'{"sentAt":"2026-01-01T00:00:00.000+00:00","batch":[]}')
"""Bytes that a body has around its events; each event but the first costs a comma too."""

GZIP_ABOVE = 1024
"""Below this size, packing costs more than it saves."""

LONGEST_WAIT = 300.0
"""Seconds; a `Retry-After` of days is a mistake, not a wish."""

LARGEST_ANSWER = 1_000_000

# Looking up any host name imports `encodings.idna`. Were that left to the first look-up, a child that is forked in the
# middle of it would never again find the encoding: so it is imported above.


class Answer(NamedTuple):
    """What the server said; `retry_after` is in seconds, None where it named no time."""

    status: int
    reason: str
    body: bytes
    retry_after: float | None


class Transport:
    """One server, one write key, at most one connection; not to be used by two threads at once."""

    def __init__(self, host: str, write_key: str, *, gzip: bool, secret_key: str | None = None) -> None:
        url = urlsplit(host)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigurationError(f"host must look like https://events.example.com, not {host!r}")
        if not write_key or not write_key.isascii() or not write_key.isprintable() or ":" in write_key:
            raise ConfigurationError("write_key must be printable ASCII without a colon")
        self._connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._address = (url.hostname, url.port)
        self._path = url.path.rstrip("/") + "/v1/batch"
        self._gzip = gzip
        # It says that no page speaks here; never over a network that others can read.
        private = url.scheme == "https" or url.hostname in ("localhost", "127.0.0.1", "::1")
        secret = secret_key if secret_key and private else ""
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{write_key}:{secret}".encode()).decode(),
            "User-Agent": f"chimein-python/{__version__}",
        }
        self._connection: http.client.HTTPConnection | None = None

    def post(self, events: Sequence[bytes], timeout: float) -> Answer:
        """Sends one batch and reads the answer; raises `OSError` or `HTTPException` where none came."""
        body, headers = self._written(events)
        is_fresh = self._connection is None
        try:
            return self._exchange(body, headers, timeout)
        except ConnectionError:
            # A server may close an idle connection at any moment; that is no failure. Sending the batch once more does
            # no harm, even if it did arrive: the server knows each event by its messageId.
            if is_fresh:
                raise
            return self._exchange(body, headers, timeout)

    def close(self) -> None:
        """Closes the connection, if there is one; the next batch opens another. After a fork, the parent's lives on."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _written(self, events: Sequence[bytes]) -> tuple[bytes, dict[str, str]]:
        """Body and headers; `sentAt` is the moment of this very attempt: it tells the server how wrong our clock is."""
        body = b'{"sentAt":"%b","batch":[%b]}' % (time_text(None).encode(), b",".join(events))
        if not self._gzip or len(body) < GZIP_ABOVE:
            return body, self._headers
        packer = zlib.compressobj(
            1, zlib.DEFLATED, 31
        )  # level 1: a third of the CPU of the default for a tenth more bytes
        return packer.compress(body) + packer.flush(), {**self._headers, "Content-Encoding": "gzip"}

    def _exchange(self, body: bytes, headers: dict[str, str], timeout: float) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(*self._address, timeout=timeout)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            # A server that refuses a large body may answer and close before it has read all of it.
            with contextlib.suppress(BrokenPipeError):
                connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            answer = Answer(
                response.status,
                response.reason,
                response.read(LARGEST_ANSWER),
                _seconds(response.getheader("Retry-After")),
            )
            if not response.isclosed():
                self.close()
        except BaseException:
            self.close()
            raise
        return answer


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds, whether it names seconds or a date; None where it says nothing that can be read."""
    if not header:
        return None
    try:
        wait = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (TypeError, ValueError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        wait = moment.timestamp() - time.time()
    return min(max(wait, 0.0), LONGEST_WAIT) if math.isfinite(wait) else None
