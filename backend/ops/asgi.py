"""Carries the WSGI application over ASGI: a slow body waits on the event loop and costs no thread."""

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Message = dict[str, Any]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]

MAX_BODY = 2**20
"""Bytes of a request body as sent; the routes have their own, smaller limits."""
MAX_DRAINED = 8 * 2**20
"""So much of a body that is too large is read and thrown away, so that its sender comes to read the answer."""

TOO_LARGE: Answer = (
    413,
    [(b"content-type", b"application/json")],
    b'{"code":"too_large","status":413,"message":"A request body has at most %d bytes.","errors":{}}' % MAX_BODY,
)

logger = logging.getLogger(__name__)


class Adapter:
    """The ASGI application that answers with a WSGI one.

    A request reaches the WSGI application only when its body is here; it then takes one of `threads` threads.
    """

    def __init__(self, app: WSGI, *, threads: int = 8) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answers one request; the server calls this."""
        body, complete = await _body(receive)
        if body is not None and not complete:
            return  # the sender has gone away
        if body is None:
            status, headers, content = TOO_LARGE
            answer: Answer = status, [*headers, (b"connection", b"close")], content
        else:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, self.answer, scope, body)
        status, headers, content = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def close(self) -> None:
        """Lets the running requests end."""
        self._pool.shutdown(wait=True)

    def answer(self, scope: Message, body: bytes) -> Answer:
        """Calls the WSGI application; what it raises is logged and becomes a bare 500."""
        environ = _environ(scope, body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: Any = None
        ) -> Callable[[bytes], None]:
            started.append((status, headers))
            return _no_write

        try:
            parts = self._app(environ, start_response)
            try:
                content = b"".join(parts)
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
            status, headers = started[-1]
            return (
                int(status[:3]),
                [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
                content,
            )
        except Exception:
            logger.exception("the application failed on %s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return 500, [(b"content-type", b"text/plain"), (b"content-length", b"15")], b"Internal error."


async def _body(receive: Callable[[], Awaitable[Message]]) -> tuple[bytes | None, bool]:
    """The body and whether it came to its end; None for one that is too large."""
    message = await receive()
    body: bytes = message.get("body", b"")
    size = len(body)
    if message["type"] == "http.request" and not message.get("more_body") and size <= MAX_BODY:
        return body, True
    parts = [body]
    while message["type"] == "http.request" and message.get("more_body") and size <= MAX_DRAINED:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
        else:
            parts.clear()
    if size > MAX_BODY:
        return None, False
    return b"".join(parts), message["type"] == "http.request"


def _environ(scope: Message, body: bytes) -> dict[str, Any]:
    """The WSGI environment of a request whose body is here."""
    client = scope["client"] or ("", 0)
    server = scope["server"] or ("", 0)
    environ = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"].encode("utf-8").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "CONTENT_TYPE": "",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # it would pass for the header that has a dash there
        name = "HTTP_" + raw_name.decode("latin-1").upper().replace("-", "_")
        value = raw_value.decode("latin-1")
        environ[name] = f"{environ[name]},{value}" if name in environ else value
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("the WSGI write() callable is not offered")
