"""uvicorn's HTTP protocol, impatient with slow senders, and with a short way for reports of events."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from backend.ops.asgi import MAX_BODY, MAX_DRAINED, TOO_LARGE, Answer, is_upload

REQUEST_SECONDS = 15.0
"""Within this time a request must have come as a whole, and a new connection must have begun one."""
UPLOAD_SECONDS = 600.0
"""So long a file of products may take; who may not send one is answered, and hung up on, before it comes."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's head that are read before it must be complete."""
SHORT_METHODS = (b"POST", b"OPTIONS")
NOT_SHORT = (b"/v1/inbox", b"/v1/live")

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """Closes connections whose request comes too slowly; answers reports of events on the event loop itself.

    Reports (`POST /v1/track` and the like) take a fraction of a millisecond, most of what there is to do. So once such
    a request is here, the application is called at once: no task, no thread, no queue. Everything else, and whatever is
    unusual (pipelining, `Expect`), takes uvicorn's way.
    """

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0
    _short = False
    _parts: list[bytes]
    _size = 0
    _is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock of the first request."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._stop_clock()
        self._unset_keepalive_if_required()
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
        self._in_head, self._head, self._short = True, 0, False
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        """The head is here, and tells which way the request takes; the clock runs on for the body."""
        self._in_head = False
        url, method = self.url, self.parser.get_method()
        if (
            url.startswith(b"/v1/")
            and method in SHORT_METHODS
            and not url.startswith(NOT_SHORT)
            and b"%" not in url
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
        ):
            self._short, self._parts, self._size = True, [], 0
        else:
            if method == b"POST" and is_upload(url.partition(b"?")[0].decode("latin-1")) and self._deadline is not None:
                self._deadline.cancel()
                self._deadline = self.loop.call_later(UPLOAD_SECONDS, self._too_slow)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; of one that is too large a part is read and thrown away, then it is cut off."""
        if not self._short:
            super().on_body(body)
            return
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._parts.append(body)
            return
        self._parts.clear()
        if self._size > MAX_DRAINED:
            self._write(TOO_LARGE, keep=False)

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._stop_clock()
        # A head without a body is complete before anybody looks at the next byte: `_in_head` is false already.
        if not self._short:
            super().on_message_complete()
            return
        self._short = False
        if self.transport.is_closing():
            return
        if self._size > MAX_BODY:
            self._write(TOO_LARGE, keep=False)
            return
        version = self.parser.get_http_version()
        path, _, query = self.url.partition(b"?")
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = path.decode("latin-1")
        scope["query_string"] = query
        keep = version == "1.1" and self.parser.should_keep_alive() and not self._is_last
        answer = self.config.app.answer(scope, b"".join(self._parts))  # type: ignore[union-attr]  # an Adapter
        self._write(answer, keep=keep)

    def shutdown(self) -> None:
        """The server ends: a request that is on its way is still answered."""
        if self._short:
            self._is_last = True
        else:
            super().shutdown()

    def _write(self, answer: Answer, *, keep: bool) -> None:
        if self.transport.is_closing():
            return
        status, headers, content = answer
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            if name != b"content-length":
                lines += (name, b": ", value, b"\r\n")
        if not keep:
            lines.append(b"connection: close\r\n")
        if status not in (204, 304):
            lines += (b"content-length: ", str(len(content)).encode("ascii"), b"\r\n")
        lines += (b"\r\n", content)
        self.transport.write(b"".join(lines))
        self.server_state.total_requests += 1
        if not keep:
            self.transport.close()
            return
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        cycle = self.cycle
        if cycle is not None and cycle.response_started:
            self.transport.close()  # the answer is given, or underway: there is no place for another
        else:
            self._refuse(_TOO_SLOW)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
