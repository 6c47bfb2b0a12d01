"""web and live keep serving beside slow clients, refuse what is too large, and end in order (F8)."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.ops.asgi import MAX_BODY, MAX_DRAINED
from tests.ports import free_port

APP = """
import sys, time
if sys.argv[1] == "live":
    from gevent import monkey
    monkey.patch_all()
from flask import Flask, Response, request
from backend.ops import protocol, servers
from backend.ops.ports import listen

app = Flask(__name__)

@app.route("/v1/track", methods=["POST", "OPTIONS"])
@app.route("/pool", methods=["POST", "GET"])
def echo():
    answer = {"bytes": len(request.get_data()), "x": request.headers.get("X-A"), "query": request.query_string.decode(),
              "path": request.path, "type": request.content_type, "address": request.remote_addr}
    return answer, 200, {"X-Method": request.method}

@app.get("/slow")
@app.post("/v1/slow")
def slow():
    time.sleep(float(request.args["s"]))
    return "done"

@app.get("/p/<path:name>")
def name(name):
    return name

@app.post("/v1/fail")
@app.get("/fail")
def fail():
    raise RuntimeError("on purpose")

@app.post("/v1/live")
def stream():
    def frames():
        while True:
            yield ": hb\\n\\n"
            time.sleep(0.05)
    return Response(frames(), mimetype="text/event-stream")

protocol.REQUEST_SECONDS = servers.REQUEST_SECONDS = float(sys.argv[3])
app.config["PROPAGATE_EXCEPTIONS"] = False
(servers.run_live if sys.argv[1] == "live" else servers.run_web)(app, listen("127.0.0.1", int(sys.argv[2])))
"""

Server = tuple[int, "subprocess.Popen[bytes]"]


@contextmanager
def serving(kind: str, seconds: float = 15) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-c", APP, kind, str(port), str(seconds)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.wait()


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


def connect(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.sendall(data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def is_cut_off(connection: socket.socket, piece: bytes, times: int) -> bool:
    """Whether the server closes the connection while it is sent so much."""
    try:
        for _ in range(times):
            connection.sendall(piece)
            time.sleep(0.001)
    except OSError:
        return True
    return False


@pytest.mark.parametrize(("kind", "path"), [("web", "/v1/track"), ("web", "/pool"), ("live", "/pool")])
def test_ten_of_ten_requests_are_served_beside_100_half_open_and_100_dripping_connections(kind: str, path: str) -> None:
    with serving(kind) as (port, _), ExitStack() as stack:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()
        half_open = [stack.enter_context(connect(port, head + b"X-A: ")) for _ in range(100)]
        dripping = [stack.enter_context(connect(port, head + b"Content-Length: 5000\r\n\r\n")) for _ in range(100)]
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.2):
                for connection in [*half_open, *dripping]:
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            time.sleep(0.5)
            for _ in range(10):
                began = time.monotonic()
                status, body = ask(port, "POST", path, b"x" * 600)
                assert (status, json.loads(body)["bytes"]) == (200, 600)
                assert time.monotonic() - began < 2
        finally:
            stop.set()
            thread.join()


HEAD = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("web", b""),  # an idle connection to live is kept for a while, as between two requests
        *((kind, HEAD + b"X-A:") for kind in ("web", "live")),
        *((kind, HEAD + b"Content-Length: 10\r\n\r\nabc") for kind in ("web", "live")),
        ("web", HEAD.replace(b"/v1/track", b"/pool") + b"Content-Length: 10\r\n\r\nabc"),
    ],
)
def test_a_request_that_does_not_come_in_its_time_costs_its_connection(kind: str, sent: bytes) -> None:
    with serving(kind, seconds=0.5) as (port, _):
        with connect(port, sent) as connection:
            began = time.monotonic()
            answer = read_all(connection)
        assert 0.3 < time.monotonic() - began < 5
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


def test_what_comes_in_time_is_served_however_it_is_cut() -> None:
    request = b"POST /v1/track?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += b"X-A: 1\r\nX-A: 2\r\nContent-Type: text/plain\r\n"
    for body in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"):
        for path in (b"/v1/track", b"/pool"):
            with serving("web") as (port, _), connect(port, b"") as connection:
                for byte in (request + body).replace(b"/v1/track", path):
                    connection.sendall(bytes([byte]))
                answer = read_all(connection)
                head, _, content = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert head.lower().count(b"content-length:") == 1
                assert json.loads(content) == {
                    "bytes": 3,
                    "x": "1,2",
                    "query": "a=b",
                    "path": path.decode(),
                    "type": "text/plain",
                    "address": "127.0.0.1",
                }


def test_requests_sent_at_once_on_one_connection_are_answered_in_their_order() -> None:
    short = b"POST /v1/track?n=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    pooled = b"POST /pool?n=%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    last = b"POST /v1/track?n=6 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
    requests = [short % 0, short % 1, pooled % 2, short % 3, pooled % 4, short % 5, last]
    with serving("web") as (port, _), connect(port, b"".join(requests)) as connection:
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 7
    assert [answers.index(b'"n=%d"' % number) for number in range(7)] == sorted(
        answers.index(b'"n=%d"' % number) for number in range(7)
    )


def test_the_usual_forms_of_http_are_understood() -> None:
    with serving("web") as (port, _):
        with connect(port, b"POST /v1/track HTTP/1.0\r\nContent-Length: 1\r\n\r\nx") as connection:
            assert b" 200 OK\r\n" in read_all(connection)
        expect = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        with connect(port, expect) as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue")
            connection.sendall(b"x")
            assert b"200 OK" in connection.recv(65_536)
        assert ask(port, "OPTIONS", "/v1/track")[0] == 200
        assert ask(port, "GET", "/p/caf%C3%A9%2541%20x") == (200, "café%41 x".encode())
        with connect(port, b"NONSENSE\r\n\r\n") as connection:
            assert read_all(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/v1/track", "/pool"])
def test_a_body_above_the_limit_is_answered_413_and_costs_no_memory(path: str) -> None:
    with serving("web") as (port, _):
        assert ask(port, "POST", path, b"x" * MAX_BODY)[0] == 200
        assert ask(port, "POST", path, b"x" * (MAX_BODY + 1))[0] == 413
        endless = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
        with connect(port, endless) as connection:
            assert is_cut_off(connection, chunk, 4 * MAX_DRAINED // 2**20)
        assert ask(port, "POST", path, b"x")[0] == 200


def test_a_head_above_the_limit_is_refused() -> None:
    with serving("web") as (port, _), connect(port, b"GET / HTTP/1.1\r\nX: ") as connection:
        assert is_cut_off(connection, b"x" * 10_000, 1000)
        assert ask(port, "GET", "/pool")[0] == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/fail"), ("GET", "/fail")])
def test_an_application_that_fails_answers_500_and_serves_on(method: str, path: str) -> None:
    with serving("web") as (port, _):
        assert ask(port, method, path)[0] == 500
        assert ask(port, "GET", "/pool")[0] == 200


def test_f8_requests_that_run_when_the_end_comes_are_answered() -> None:
    answers: list[int] = []
    with serving("web") as (port, process):

        def one(path: str) -> None:
            answers.append(ask(port, "GET", path)[0])

        # As many as there are threads, each of them long; the others short.
        threads = [threading.Thread(target=one, args=("/slow?s=1",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    assert answers == [200] * 8


def test_f8_of_200_requests_in_flight_at_sigterm_each_is_answered_or_can_be_told_to_have_failed() -> None:
    outcomes: list[str] = []
    with serving("web") as (port, process):

        def sender() -> None:
            for _ in range(50):
                try:
                    status, _ = ask(port, "POST", "/v1/track", b"x" * 600)
                    outcomes.append(str(status))
                except (OSError, http.client.HTTPException):
                    outcomes.append("failed")

        threads = [threading.Thread(target=sender) for _ in range(20)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        for thread in threads:
            thread.join()
    assert set(outcomes) <= {"200", "failed"}
    assert "200" in outcomes


def test_live_ends_within_its_time_though_streams_are_open() -> None:
    with serving("live") as (port, process), ExitStack() as stack:
        request = b"POST /v1/live HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        streams = [stack.enter_context(connect(port, request)) for _ in range(50)]
        for stream in streams:
            assert stream.recv(100).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 4
