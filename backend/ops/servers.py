"""The two servers that face the network: `web` on uvicorn, `live` on gevent. Why these: backend/ADR.md."""

import asyncio
import io
import resource
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backend.ops.asgi import MAX_BODY, WSGI, Adapter
from backend.ops.ports import BACKLOG, listen
from backend.settings import Settings

if TYPE_CHECKING:
    from gevent.pywsgi import WSGIServer

REQUEST_SECONDS = 15.0
"""Within this time a request must have come as a whole, and a new connection must have begun one."""
IDLE_SECONDS = 75
"""So long a connection is kept between two requests."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's head that are read before it must be complete."""
DRAIN_SECONDS = 4
"""So long running requests may take to end after SIGTERM."""

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def serve_web(settings: Settings) -> None:
    """Serves web until SIGTERM; requests that run then are answered."""
    # Before the application: a second process shall find the port taken, not start half.
    listener = listen(settings.host, settings.port)
    from backend.app import create_app

    run_web(create_app(settings, role="web"), listener)


def run_web(app: WSGI, listener: socket.socket) -> None:
    """Serves a WSGI application on a listening socket until SIGTERM or SIGINT."""
    _raise_file_limit()
    adapter = Adapter(app, _is_collector)
    config = uvicorn.Config(
        adapter,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        loop="uvloop",
        interface="asgi3",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # the application believes proxies as far as CHIMEIN_PROXIES says
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    # uvicorn raises the signal anew after its own end; then this process shall end as usual.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])
    adapter.close()


def _is_collector(path: str) -> bool:
    """Requests so short that they run on the event loop itself: reports of events."""
    return path.startswith("/v1/") and path not in ("/v1/inbox", "/v1/live")


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that closes connections whose request does not come, or comes too slowly."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, while the head of the request is not too large."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins: it has its time to come."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        """The head is here; the clock runs on for the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._stop_clock()
        super().on_message_complete()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(_TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def serve_live(settings: Settings) -> None:
    """Serves live until SIGTERM; open streams are closed then, and pages come back by themselves.

    The caller has run `gevent.monkey.patch_all()` before anything else was imported.
    """
    listener = listen(settings.host, settings.live_port)
    from backend.app import create_app

    run_live(create_app(settings, role="live"), listener)


def run_live(app: WSGI, listener: socket.socket) -> None:
    """Serves a WSGI application of many idle streams on a listening socket until SIGTERM or SIGINT."""
    import gevent
    from gevent.pool import Pool
    from gevent.pywsgi import WSGIServer

    _raise_file_limit()
    # A stream sends small pieces: without this each would wait for the acknowledgement of the one before.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.listen(BACKLOG)
    server = WSGIServer(listener, app, log=None, spawn=Pool(20_000), handler_class=_patient_handler())
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, _stop, server)
    server.serve_forever(stop_timeout=1)


def _stop(server: "WSGIServer") -> None:
    server.stop(timeout=1)


def _patient_handler() -> Any:
    """gevent's handler with a limit on how long a request may take to come; the answers, streams, have none."""
    from gevent import Timeout
    from gevent.pywsgi import WSGIHandler

    class Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
        def handle_one_request(self) -> Any:
            try:
                return super().handle_one_request()
            except Timeout:
                self.close_connection = True
                return None

        def read_requestline(self) -> Any:
            with Timeout(IDLE_SECONDS):
                return super().read_requestline()

        def read_request(self, raw_requestline: Any) -> Any:
            with Timeout(REQUEST_SECONDS):
                return super().read_request(raw_requestline)

        def get_environ(self) -> Any:
            environ = super().get_environ()
            with Timeout(REQUEST_SECONDS):
                body = environ["wsgi.input"].read(MAX_BODY + 1)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["wsgi.input_terminated"] = True
            return environ

    return Handler


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual limit of 1,024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
