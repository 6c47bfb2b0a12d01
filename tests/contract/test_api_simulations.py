"""A simulation told line by line: how far it is, then the result; who hangs up ends it, and few run at a time."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, Response, request

from backend.ops.asgi import STREAMED
from backend.ops.ports import listen
from backend.web.api.simulations import AT_ONCE, LINES
from tests.contract.conftest import START, Api
from tests.contract.test_api_visitors import RULE, track
from tests.contract.test_api_visitors import send as send  # a fixture

TOLD_AS_LINES = {"Accept": LINES}


def test_the_lines_end_with_what_is_answered_otherwise(api: Api, site: str, send: Any) -> None:
    send(*(track(f"visitor-{number}", "Product Added", number, product_id="p", price=5) for number in range(7)))
    address = f"/sites/{site}/simulations"
    body = {"rule": RULE, "until": (START + timedelta(days=1)).isoformat()}
    whole = api.post(address, body)
    assert whole.mimetype == "application/json"
    told = api.post(address, body, headers=TOLD_AS_LINES)
    assert (told.status_code, told.mimetype) == (200, LINES)
    *progress, result = [json.loads(line) for line in told.text.splitlines()]
    assert result == whole.json
    assert progress
    for line in progress:
        assert set(line) == {"progress", "visitors", "events"}
        assert 0 <= line["progress"] <= 1


def test_what_is_wrong_is_answered_before_the_first_line(api: Api, site: str) -> None:
    answer = api.post(f"/sites/{site}/simulations", {"rule": {**RULE, "delay": "soon"}}, headers=TOLD_AS_LINES)
    assert answer.status_code == 422
    assert "delay" in answer.json["errors"]["rule"]


def test_few_run_at_a_time_and_an_end_makes_room(api: Api, site: str, send: Any) -> None:
    send(track("visitor", "Product Added", 0, product_id="p", price=5))
    address = f"/sites/{site}/simulations"
    running = [api.post(address, {"rule": RULE}, headers=TOLD_AS_LINES, buffered=False) for _ in range(AT_ONCE)]
    refused = api.post(address, {"rule": RULE})
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    running[0].close()  # hung up before the first line was read
    assert api.post(address, {"rule": RULE}).status_code == 200
    assert running[1].text.splitlines()
    for _ in range(AT_ONCE + 1):
        assert api.post(address, {"rule": RULE}).status_code == 200


@pytest.fixture
def streaming() -> Iterator[tuple[int, dict[str, Any]]]:
    """A server whose one answer goes on until nobody reads it; the port, and what was seen."""
    import asyncio

    import uvicorn

    from backend.ops.asgi import Adapter
    from backend.ops.protocol import Protocol

    seen: dict[str, Any] = {"made": 0, "ended": threading.Event()}
    app = Flask(__name__)

    @app.get("/lines")
    def lines() -> Response:
        most = int(request.args.get("most", 10**9))

        def made() -> Iterator[str]:
            try:
                for number in range(most):
                    seen["made"] = number + 1
                    yield f"{number}\n"
                    time.sleep(0.01)
            finally:
                seen["ended"].set()

        return Response(made(), mimetype=STREAMED)

    listener = listen("127.0.0.1", 0)
    adapter = Adapter(app)
    config = uvicorn.Config(adapter, http=Protocol, ws="none", lifespan="off", interface="asgi3", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        server.should_exit = True
        thread.join(10)
        adapter.close()


def asked(port: int, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def test_lines_leave_as_they_are_made(streaming: tuple[int, dict[str, Any]]) -> None:
    port, seen = streaming
    with asked(port, "/lines?most=200") as connection:
        received = b""
        while b"0\n" not in received:
            received += connection.recv(65_536)
        assert seen["made"] < 200, "the first line is here while the others are still being made"
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert body.endswith(b"0\r\n\r\n")
    assert b"\n199\n" in body.replace(b"\r\n", b"\n")
    assert seen["ended"].wait(10)


def test_who_hangs_up_ends_the_work(streaming: tuple[int, dict[str, Any]]) -> None:
    port, seen = streaming
    with asked(port, "/lines") as connection:
        assert connection.recv(1)
    assert seen["ended"].wait(30), "nobody reads it, so no more is made"
