"""How do I test what my program reports? Against a small real server that remembers what it was sent.

with Collector() as collector:
    client = Client("key", collector.url)
    ...
    client.flush()
    assert collector.events[0]["event"] == "Order Completed"
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One request as it came: `headers` by lower-case name, `size` of the body as sent, `at` on the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    size: int
    at: float


class Response(NamedTuple):
    """What the server is to answer; status 0 closes the connection without a word."""

    status: int = 200
    body: dict[str, Any] = {"success": True}  # noqa: RUF012 - a NamedTuple's default, never changed
    headers: dict[str, str] = {}  # noqa: RUF012


Respond = Callable[[Request], "Response | None"]


class Collector:
    """A server on 127.0.0.1, on a free port by default; `respond` decides on each answer, None meaning "success"."""

    def __init__(self, respond: Respond | None = None, *, port: int = 0) -> None:
        self.respond = respond
        self.requests: list[Request] = []
        self.events: list[dict[str, Any]] = []
        """The events of all requests that were answered with success, in order of arrival."""
        self._connections: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens: a client's `host`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return len(self._connections)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, events: int, timeout: float = 10.0) -> bool:
        """Waits until so many events were accepted; False if they did not come in time."""
        deadline = time.monotonic() + timeout
        while len(self.events) < events:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def received(self, request: Request) -> Response:
        """Notes a request and decides on its answer."""
        self.requests.append(request)
        response = (self.respond(request) if self.respond else None) or Response()
        if 200 <= response.status < 300:
            self.events.extend(request.body["batch"])
        return response

    def connected(self, connection: socket.socket) -> None:
        """Notes a connection."""
        self._connections.append(connection)

    def drop_connections(self) -> None:
        """Closes all connections, as a server does with those that idle for too long."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            collector.connected(self.connection)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            data = zlib.decompress(raw, 31) if headers.get("content-encoding") == "gzip" else raw
            response = collector.received(Request(self.path, headers, json.loads(data), len(raw), time.monotonic()))
            if not response.status:
                self.close_connection = True
                return
            body = json.dumps(response.body).encode()
            self.send_response(response.status)
            for name, value in {**response.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
