"""What does reporting cost? CPU of `track()` and of an event in all, beside Segment's own library."""

import contextlib
import gc
import http.server
import multiprocessing
import multiprocessing.connection
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

from segment.analytics.client import Client as SegmentClient

import chimein
from tests.bench.report import Line, table

EVENTS = 20_000
ROUNDS = 3

Cost = tuple[float, float]
"""Seconds of CPU: in the calling thread while it reported, and in the whole process until all was sent."""

PROPERTIES = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "G-32",
    "category": "games/board",
    "name": "Monopoly: 3rd edition",
    "brand": "Hasbro",
    "price": 18.99,
    "quantity": 1,
    "currency": "EUR",
    "url": "https://shop.example/products/monopoly-3rd-edition",
}


class _Sink(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything, at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    ANSWER = b'{"success":true}'

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.ANSWER)))
        self.end_headers()
        self.wfile.write(self.ANSWER)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _serve(pipe: multiprocessing.connection.Connection) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as server:
        pipe.send(server.server_port)
        server.serve_forever()


@contextlib.contextmanager
def _sink() -> Iterator[str]:
    """The address of a server in another process, so that its CPU is not counted here."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _measured(report: Callable[[int], object], flush: Callable[[], object]) -> Cost:
    gc.collect()
    whole, caller = time.process_time(), time.thread_time()
    for number in range(EVENTS):
        report(number)
    caller = time.thread_time() - caller
    flush()
    return caller, time.process_time() - whole


def _ours(host: str, gzip: bool) -> Cost:
    client = chimein.Client("bench", host, queue_size=EVENTS + 1, gzip=gzip, on_error=_fail)
    try:
        return _measured(lambda n: client.track("Product Added", PROPERTIES, anonymous_id=f"visitor-{n}"), client.flush)
    finally:
        client.close()


def _theirs(host: str, gzip: bool) -> Cost:
    client = SegmentClient("bench", host, max_queue_size=EVENTS + 1, gzip=gzip, on_error=_fail)
    try:
        return _measured(
            lambda n: client.track(event="Product Added", properties=PROPERTIES, anonymous_id=f"visitor-{n}"),
            client.flush,
        )
    finally:
        client.join()


def _fail(*what: object) -> None:
    raise AssertionError(what)


def run() -> list[Line]:
    """Microseconds of CPU an event, medians of alternated rounds; the ratio is ours to Segment's."""
    # Each with its own default (we pack, Segment does not), then the same with packing for both, then for neither.
    settings = {"as installed": (True, False), "both gzip": (True, True), "neither gzip": (False, False)}
    lines: list[Line] = []
    with _sink() as host:
        for label, (our_gzip, their_gzip) in settings.items():
            ours: list[Cost] = []
            theirs: list[Cost] = []
            for _ in range(ROUNDS):
                ours.append(_ours(host, our_gzip))
                theirs.append(_theirs(host, their_gzip))
            for place, what in enumerate(("track() costs the caller", "an event costs in all")):
                mine, other = (_median(cost[place] for cost in costs) for costs in (ours, theirs))
                lines.append(Line(f"Python SDK: {what}", mine, "µs", "segment", other, "at most 1.0", label))
    return lines


def _median(seconds: Iterable[float]) -> float:
    """Microseconds an event."""
    return statistics.median(seconds) / EVENTS * 1e6


if __name__ == "__main__":
    print(table(run()))
