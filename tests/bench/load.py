"""A load generator for one HTTP server on this machine: keep-alive connections, one request each at a time."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence


def request(path: str, body: bytes, host: str = "127.0.0.1", kind: str = "application/json") -> bytes:
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nAuthorization: Bearer demo\r\n\r\n"
    )
    return head.encode() + body


def hammer(port: int, requests: Sequence[bytes], seconds: float, connections: int = 8) -> float:
    """Requests per second that the server at this loopback port answers well; any other answer is an error."""
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(connections)]
    supply = _forever(requests)
    for each in sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(each, selectors.EVENT_READ)
        each.sendall(next(supply))
    answered = 0
    started = time.perf_counter()
    end = started + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(timeout=1):
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            read_answer(connection)
            answered += 1
            connection.sendall(next(supply))
    passed = time.perf_counter() - started
    for each in sockets:
        each.close()
    selector.close()
    return answered / passed


def read_answer(connection: socket.socket) -> None:
    """Reads one answer to its end; AssertionError unless it is a good one."""
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("The server hung up.")
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    if head[9:10] != b"2":
        raise AssertionError(f"The server answered {head[:200]!r} {body[:300]!r}")
    lowered = head.lower()
    place = lowered.index(b"content-length:") + 15
    length = int(lowered[place:].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += connection.recv(65536)


def _forever(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests
