"""`chimein replay`: what is read from a file, what is sent, and what the summary says."""

import base64
import csv
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.__main__ import main
from backend.errors import Forbidden, Invalid, Unauthorized, Unavailable
from backend.ops import loadtest, sender
from backend.ops.replay import replay
from backend.ops.sender import MAX_BYTES, MAX_EVENTS, batches
from backend.ops.sources import open_source
from tests.ports import free_port

HEADER = ["event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id"]
HEADER.append("user_session")
ROW = ["2019-10-01 00:00:00 UTC", "view", "44600062", "2103807459595387724", "electronics.smartphone"]
ROW += ["shiseido", "35.79", "541312140", "72d76fde"]


def row(**changes: str) -> list[str]:
    return list((dict(zip(HEADER, ROW, strict=True)) | changes).values())


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


class Collector(HTTPServer):
    """A collector that takes everything, after the answers that it is told to give first."""

    def __init__(self, first: Sequence[tuple[int, dict[str, str]]] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.first = list(first)
        self.events: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.keys: set[str] = set()
        self.reject: set[str] = set()
        self.config = 200
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self.server.first.pop(0) if self.server.first else (200, {})
        answer: dict[str, Any] = {"code": "x", "status": status, "message": "Not now.", "errors": {}}
        if status == 200:
            batch = json.loads(body)["batch"]
            key = self.headers["Authorization"].removeprefix("Basic ")
            self.server.keys.add(base64.b64decode(key).decode().rstrip(":"))
            self.server.sizes.append(len(batch))
            bad = [each for each in batch if each.get("event") in self.server.reject]
            self.server.events += [each for each in batch if each not in bad]
            rejected = [{"index": batch.index(each), "code": "invalid", "message": "No."} for each in bad]
            answer = {"success": True, "accepted": len(batch) - len(bad), "rejected": rejected}
        text = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.config)
        text = b'{"message": "Nobody gave out this write key."}'
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@contextmanager
def collector(*first: tuple[int, dict[str, str]]) -> Iterator[Collector]:
    with Collector(first) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_row_of_rees46_becomes_an_event_of_segments_spec(tmp_path: Path) -> None:
    rows = [row(), row(event_type="cart"), row(event_type="purchase"), row(category_code="", brand="")]
    view, cart, order, bare = open_source(write_csv(tmp_path / "f.csv", rows)).events()
    assert view["event"] == "Product Viewed"
    assert view["anonymousId"] == "541312140"
    assert view["timestamp"] == "2019-10-01T00:00:00Z"
    assert view["context"] == {"sessionId": "72d76fde"}
    assert view["properties"] == {
        "product_id": "44600062",
        "category_id": "2103807459595387724",
        "category": "electronics.smartphone",
        "brand": "shiseido",
        "price": 35.79,
    }
    assert cart["event"] == "Product Added"
    assert cart["properties"]["quantity"] == 1
    assert order["event"] == "Order Completed"
    assert order["properties"]["total"] == 35.79
    assert {"category", "brand"}.isdisjoint(bare["properties"])


def test_f22_an_identical_row_has_the_same_message_id_in_every_run_and_a_different_row_another(tmp_path: Path) -> None:
    rows = [row(), row(price="35.80"), row()]
    first = [event["messageId"] for event in open_source(write_csv(tmp_path / "a.csv", rows)).events()]
    second = [event["messageId"] for event in open_source(write_csv(tmp_path / "b.csv", rows)).events()]
    assert first == second
    assert first[0] == first[2] != first[1]


def test_dirty_rows_are_counted_by_their_reason_and_cost_no_other(tmp_path: Path) -> None:
    rows = [
        row(),
        row(event_time="yesterday"),
        row(event_type="wish"),
        row(user_id=""),
        row(price="cheap"),
        [*row(), "more"],
        ROW[:3],
    ]
    source = open_source(write_csv(tmp_path / "f.csv", rows))
    events = list(source.events())
    assert len(events) == 2
    assert "price" not in events[1]["properties"]
    assert source.unreadable == {
        "no time": 1,
        "unknown event type": 1,
        "no user": 1,
        "too many fields": 1,
        "cut short": 1,
    }


def test_a_file_packed_with_gzip_is_read_whatever_its_name(tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "f.csv", [row()])
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(open_source(packed).events()) == list(open_source(plain).events())


def test_segment_events_keep_their_ids_or_get_one_from_their_content(tmp_path: Path) -> None:
    lines = [
        '{"type":"track","event":"A","anonymousId":"x","messageId":"kept","sentAt":"2020-01-01T00:00:00Z"}',
        '{"event":"B","anonymousId":"x","writeKey":"k"}',
        '{"event":"B","anonymousId":"x"}',
        "",
        "{broken",
        "[1]",
        '{"type":"wish","anonymousId":"x"}',
    ]
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(lines))
    source = open_source(path)
    events = list(source.events())
    assert [event["type"] for event in events] == ["track"] * 3
    assert events[0]["messageId"] == "kept"
    assert events[1]["messageId"] == events[2]["messageId"]
    assert all("sentAt" not in event and "writeKey" not in event for event in events)
    assert source.unreadable == {"not JSON": 1, "not an object": 1, "unknown type": 1}


@pytest.mark.parametrize("content", [b"", b"a,b,c\n1,2,3\n", b"PK\x03\x04 zipped", b"\x00\xff\xfe"])
def test_a_file_of_another_kind_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(Invalid, match="is neither a CSV of REES46"):
        open_source(path)


def test_batches_stay_within_their_number_and_their_bytes() -> None:
    events = [b'"%s"' % (b"x" * 2_000)] * 300 + [b'"y"'] * 1_200
    made = list(batches(events))
    assert sum(count for count, _ in made) == 1_500
    for count, body in made:
        assert count <= MAX_EVENTS
        assert len(body) <= MAX_BYTES + 2_500
        assert len(json.loads(body)["batch"]) == count


def test_a_replay_sends_everything_in_order_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(product_id=str(number), user_id=str(number % 7)) for number in range(1_200)]
    path = write_csv(tmp_path / "f.csv", [*rows, rows[0], ROW[:2]])
    with collector() as server:
        report = replay(path, server.url, "the-key")
    assert [event["properties"]["product_id"] for event in server.events[:1200]] == [str(n) for n in range(1_200)]
    assert server.keys == {"the-key"}
    assert max(server.sizes) <= MAX_EVENTS
    assert (report.events, report.accepted, report.repeated, len(report.visitors)) == (1_201, 1_201, 1, 7)
    shown = capsys.readouterr().out
    assert "accepted   1,201" in shown
    assert "repeated   1 (the same id again: taken, but folded once)" in shown
    assert "not read   1 cut short" in shown


def test_rebase_moves_all_times_so_that_the_last_is_now_and_keeps_their_distances(tmp_path: Path) -> None:
    rows = [row(event_time=f"2019-10-01 00:{minute:02}:00 UTC", product_id=str(minute)) for minute in (0, 30, 10)]
    before = datetime.now(UTC)
    with collector() as server:
        replay(write_csv(tmp_path / "f.csv", rows), server.url, "k", rebase=True)
    first, last, middle = (datetime.fromisoformat(event["timestamp"]) for event in server.events)
    assert before <= last <= datetime.now(UTC)
    assert last - first == timedelta(minutes=30)
    assert last - middle == timedelta(minutes=20)


def test_a_busy_collector_is_asked_again_after_the_time_that_it_names(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [row()])
    with collector((503, {"Retry-After": "0.1"}), (429, {"Retry-After": "0.2"}), (503, {})) as server:
        report = replay(path, server.url, "k")
    assert report.accepted == len(server.events) == 1
    assert report.waited >= 0.3


def test_what_the_collector_rejects_is_counted_by_code(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [row(), row(event_type="cart")])
    with collector() as server:
        server.reject.add("Product Added")
        report = replay(path, server.url, "k")
    assert (report.accepted, dict(report.rejected)) == (1, {"invalid": 1})
    assert "\nrejected   1 invalid (event 2: No.)\n" in str(report)


def test_an_unknown_key_ends_the_replay_with_a_sentence(tmp_path: Path) -> None:
    with collector((401, {})) as server, pytest.raises(Unauthorized, match=r"refused \(status 401\): Not now"):
        replay(write_csv(tmp_path / "f.csv", [row()]), server.url, "k")


def test_a_load_test_keeps_its_rate_and_stays_on_this_machine_unless_told_otherwise() -> None:
    load = loadtest.Load(rate=400, seconds=1, visitors=10, batch=20)
    with collector() as server:
        table = loadtest.run(load, server.url, "k")
    assert len(server.events) == 400
    assert len({event["messageId"] for event in server.events}) == 400
    assert "accepted   400" in table
    with pytest.raises(Forbidden, match="is not this machine"):
        loadtest.run(load, "http://192.0.2.1:8000", "k")


def test_where_nobody_answers_both_commands_end_within_five_seconds_with_a_sentence(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "f.csv", [row()])
    url = f"http://127.0.0.1:{free_port()}"
    for command in (["loadtest"], ["replay", str(path)]):
        began = time.monotonic()
        done = CliRunner().invoke(main, [*command, "--to", url])
        assert time.monotonic() - began < 5
        assert done.exit_code == 1
        assert re.fullmatch(rf"Error: Nobody answers at {url} \(ConnectionRefusedError: .*\); --to .*\.\n", done.output)


def test_whoever_takes_the_question_and_says_nothing_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="Nobody answers"):
        sender.Sender(f"http://127.0.0.1:{silent.getsockname()[1]}", "k").check()


def test_both_commands_say_which_site_they_fill_and_ask_for_its_key_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = loadtest.Load(rate=20, seconds=1, visitors=10, batch=20)
    with collector() as server:
        loadtest.run(load, server.url, "a-key")
        assert f"Filling the site behind the key a-key at {server.url}" in capsys.readouterr().err
        replay(write_csv(tmp_path / "f.csv", [row()]), server.url, "a-key")
        assert f"Filling the site behind the key a-key at {server.url}" in capsys.readouterr().err
        assert server.asked == ["/v1/config?writeKey=a-key"] * 2
        server.config, sent = 401, len(server.events)
        with pytest.raises(Unauthorized, match="Nobody gave out this write key"):
            loadtest.run(load, server.url, "a-key")
        assert len(server.events) == sent
