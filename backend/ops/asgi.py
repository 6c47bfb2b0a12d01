"""Carries the WSGI application over ASGI: a slow body waits on the event loop and costs no thread."""

import asyncio
import io
import logging
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Message = dict[str, Any]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
Body = bytes | tuple[Any, int]
"""A request's body, or a file that holds it and how long it is."""

MAX_BODY = 2**20
"""Bytes of a request body as sent; the routes have their own, smaller limits."""
MAX_UPLOAD = 100 * 2**20
"""Bytes of a file of products as sent; it lies on the disk until it is here."""

MAX_ATTACHMENT = 10 * 2**20 + 2**17
"""Bytes of a file that is attached to what is said, with what stands around it."""

ATTACHMENTS = 8
"""Such files that may be on their way to one process."""

UPLOADS = 2
"""Files of products that may be on their way to one process: one more is told to come again."""

MAX_DRAINED = 8 * 2**20
"""So much of a body that is too large is read and thrown away, so that its sender comes to read the answer."""

STREAMED = "application/x-ndjson"
"""An answer of this type is sent as it is made, line by line, and so are files of CSV; all others are sent whole."""

_STREAMED = (STREAMED, "text/csv")

TOO_LARGE: Answer = (
    413,
    [(b"content-type", b"application/json")],
    b'{"code":"too_large","status":413,"message":"A request body has at most %d bytes.","errors":{}}' % MAX_BODY,
)

BUSY: Answer = (
    429,
    [(b"content-type", b"application/json"), (b"retry-after", b"10")],
    b'{"code":"too_many_requests","status":429,"message":"Other files are on their way: come again.","errors":{}}',
)

_ATTACHMENT = re.compile(r"/v1/attachments/?|/api/v1/sites/[^/]+/conversations/[^/]+/attachments/?")
_UPLOAD = re.compile(r"/api/v1/sites/[^/]+/products/?|/v1/mail/inbound/?")

logger = logging.getLogger(__name__)


def is_upload(path: str) -> bool:
    """Whether what is sent to this path may be a large file."""
    return _UPLOAD.fullmatch(path) is not None


class Adapter:
    """The ASGI application that answers with a WSGI one.

    A request reaches the WSGI application only when its body is here; it then takes one of `threads` threads.
    """

    def __init__(self, app: WSGI, *, threads: int = 8) -> None:
        self._app = app
        self._uploads = self._attachments = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answers one request; the server calls this."""
        if scope["method"] == "POST" and is_upload(scope["path"]):
            await self._upload(scope, receive, send)
            return
        if scope["method"] == "POST" and _ATTACHMENT.fullmatch(scope["path"]):
            await self._attach(scope, receive, send)
            return
        body, complete = await _body(receive)
        if body is not None and not complete:
            return  # the sender has gone away
        if body is None:
            status, headers, content = TOO_LARGE
            answer: Answer = status, [*headers, (b"connection", b"close")], content
        else:
            begun = await asyncio.get_running_loop().run_in_executor(self._pool, self._begin, scope, body)
            if isinstance(begun, Stream):
                await self._pass_on(begun, receive, send)
                return
            answer = begun
        status, headers, content = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _upload(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Takes a file, from those only who may look at what it is for: all others are answered before it comes."""
        loop = asyncio.get_running_loop()
        answer: Answer | None = BUSY
        if self._uploads < UPLOADS:
            self._uploads += 1
            try:
                asked = {**scope, "method": "GET", "query_string": b"limit=1"}
                refused = await loop.run_in_executor(self._pool, self.answer, asked, b"")
                answer = refused if refused[0] != 200 else await self._taken(scope, receive, MAX_UPLOAD)
            finally:
                self._uploads -= 1
        await _reply(answer, send)

    async def _attach(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Takes a file that is attached to what is said."""
        answer: Answer | None = BUSY
        if self._attachments < ATTACHMENTS:
            self._attachments += 1
            try:
                answer = await self._taken(scope, receive, MAX_ATTACHMENT)
            finally:
                self._attachments -= 1
        await _reply(answer, send)

    async def _taken(self, scope: Message, receive: Callable[[], Awaitable[Message]], most: int) -> Answer | None:
        """The answer to a file, once it is here; None where its sender has gone away."""
        with tempfile.SpooledTemporaryFile(MAX_BODY) as file:
            size, more = 0, True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    status, headers, content = TOO_LARGE
                    return status, headers, content.replace(b"%d" % MAX_BODY, b"%d" % most)
                file.write(part)
                more = message.get("more_body", False)
            file.seek(0)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self.answer, scope, (file, size))

    def close(self) -> None:
        """Lets the running requests end."""
        self._pool.shutdown(wait=True)

    def answer(self, scope: Message, body: Body) -> Answer:
        """Calls the WSGI application; what it raises is logged and becomes a bare 500."""
        begun = self._begin(scope, body)
        return begun.whole() if isinstance(begun, Stream) else begun

    async def _pass_on(
        self,
        stream: "Stream",
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Sends the parts of an answer as they are made; when its reader goes away, no more are made."""
        gone = asyncio.ensure_future(receive())  # the request is here, so all that can come is that they hang up
        making: Future[bytes | None] | None = None
        try:
            await send({"type": "http.response.start", "status": stream.status, "headers": stream.headers})
            while True:
                making = self._pool.submit(stream.next)
                part = await asyncio.wrap_future(making)
                if part is None or gone.done():
                    break
                await send({"type": "http.response.body", "body": part, "more_body": True})
            if part is None:
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            if making is None:
                stream.close()
            else:
                making.add_done_callback(lambda _: stream.close())  # a generator that runs cannot be closed

    def _begin(self, scope: Message, body: Body) -> "Answer | Stream":
        """Calls the WSGI application up to its answer, or up to the first part of one that is made bit by bit."""
        environ = _environ(scope, body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: Any = None
        ) -> Callable[[bytes], None]:
            started.append((status, headers))
            return _no_write

        try:
            parts = self._app(environ, start_response)
            if started and _is_stream(started[-1][1]):
                return Stream(int(started[-1][0][:3]), _encoded(started[-1][1]), parts)
            try:
                content = b"".join(parts)
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
            status, headers = started[-1]
            return int(status[:3]), _encoded(headers), content
        except Exception:
            logger.exception("the application failed on %s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return 500, [(b"content-type", b"text/plain"), (b"content-length", b"15")], b"Internal error."


async def _reply(answer: Answer | None, send: Callable[[Message], Awaitable[None]]) -> None:
    if answer is None:
        return  # the sender has gone away
    status, headers, content = answer
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})


class Stream:
    """An answer that is made bit by bit."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], parts: Iterable[bytes]) -> None:
        self.status = status
        self.headers = headers
        self._parts = parts
        self._iterator = iter(parts)

    def next(self) -> bytes | None:
        """The next part, None at the end; what goes wrong on the way is logged and is the end."""
        try:
            return next(self._iterator, None)
        except Exception:
            logger.exception("an answer broke off")
            return None

    def whole(self) -> Answer:
        """All of it."""
        try:
            return self.status, self.headers, b"".join(self._iterator)
        finally:
            self.close()

    def close(self) -> None:
        """No more of it is wanted."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _is_stream(headers: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-type" and value.startswith(_STREAMED) for name, value in headers)


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


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


def _environ(scope: Message, body: Body) -> dict[str, Any]:
    """The WSGI environment of a request whose body is here."""
    file, size = (io.BytesIO(body), len(body)) if isinstance(body, bytes) else body
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
        "wsgi.input": file,
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
    environ["CONTENT_LENGTH"] = str(size)
    return environ


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("the WSGI write() callable is not offered")
