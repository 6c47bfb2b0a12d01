"""The two servers that face the network: `web` on uvicorn, `live` on gevent. Why these: backend/ADR.md."""

import errno
import io
import resource
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from backend.ops.asgi import MAX_BODY, WSGI, Adapter
from backend.ops.logs import announce
from backend.ops.ports import BACKLOG, listen
from backend.ops.protocol import REQUEST_SECONDS, Protocol
from backend.settings import Settings

if TYPE_CHECKING:
    from gevent.pywsgi import WSGIServer

IDLE_SECONDS = 75
"""So long a connection is kept between two requests."""
DRAIN_SECONDS = 4
"""So long running requests may take to end after SIGTERM."""
SEND_SECONDS = 15
"""So long a reader of a stream may take none of what is sent; then we hang up, and it may come back for the rest."""
SEND_BUFFER = 64 * 1024
"""Bytes that the kernel keeps for a slow reader of a stream; by itself it would grow to megabytes each."""


def serve_web(settings: Settings) -> None:
    """Serves web until SIGTERM; requests that run then are answered."""
    # Before the application: a second process shall find the port taken, not start half.
    listener = listen(settings.host, settings.port)
    from backend.app import create_app

    app = create_app(settings, role="web")
    announce(f"web listens on {_url(listener)}")
    run_web(app, listener)


def run_web(app: WSGI, listener: socket.socket) -> None:
    """Serves a WSGI application on a listening socket until SIGTERM or SIGINT."""
    _raise_file_limit()
    adapter = Adapter(app)
    config = uvicorn.Config(
        adapter,
        http=Protocol,
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
    server = uvicorn.Server(config)

    def told(*_: object) -> None:
        """Before uvicorn listens for it, and when it raises the signal anew after its own end."""
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    server.run(sockets=[listener])
    adapter.close()


def serve_live(settings: Settings) -> None:
    """Serves live until SIGTERM; open streams are closed then, and pages come back by themselves.

    The caller has run `gevent.monkey.patch_all()` before anything else was imported.
    """
    listener = listen(settings.host, settings.live_port)
    from backend.app import create_app

    app = create_app(settings, role="live")
    announce(f"live listens on {_url(listener)}")
    run_live(app, listener)


def run_live(app: WSGI, listener: socket.socket) -> None:
    """Serves a WSGI application of many idle streams on a listening socket until SIGTERM or SIGINT."""
    import gevent
    from gevent.pool import Pool
    from gevent.pywsgi import WSGIServer

    _raise_file_limit()
    # A stream sends small pieces: without this each would wait for the acknowledgement of the one before.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.listen(BACKLOG)
    server = WSGIServer(listener, app, log=None, spawn=Pool(20_000), handler_class=_patient_handler())
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, _stop, server)
    server.serve_forever(stop_timeout=1)


def _stop(server: "WSGIServer") -> None:
    server.stop(timeout=1)


def _patient_handler() -> Any:
    """gevent's handler with limits: on how long a request may take to come, and a piece of the answer to go."""
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

        def _sendall(self, data: bytes) -> None:
            with Timeout(SEND_SECONDS, ConnectionResetError(errno.ECONNRESET, "The reader has stopped reading.")):
                super()._sendall(data)

    return Handler


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual limit of 1,024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
