"""The Python SDK against a real server that fails in every way a server can: what arrives, and what is told."""

import gc
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import chimein
from chimein import Client, DeliveryError, EventRejected
from chimein.testing import Collector, Request, Response

Troubles = list[tuple[Exception, list[dict[str, Any]]]]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        yield server


@pytest.fixture
def troubles() -> Troubles:
    return []


@pytest.fixture
def connect(collector: Collector, troubles: Troubles) -> Iterator[Callable[..., Client]]:
    clients = []

    def make(**options: Any) -> Client:
        options = {"on_error": lambda error, events: troubles.append((error, events)), **options}
        clients.append(Client("key", options.pop("host", collector.url), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close(2)


def answering(*responses: Response | None) -> Callable[[Request], Response | None]:
    """Answers each request in turn, then with success."""
    rest = list(responses)
    return lambda _: rest.pop(0) if rest else None


# How events travel


def test_events_arrive_complete_and_in_order(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect()
    client.identify("42", {"email": "ann@example.com"}, anonymous_id="a-1")
    client.track("Product Added", {"price": 20}, user_id=42, message_id="m-1", timestamp="2026-01-02T03:04:05Z")
    client.page("Home", "Shop", {"url": "https://shop.example/"}, anonymous_id="a-1", context={"ip": "10.0.0.1"})
    client.group("acme", {"plan": "b"}, user_id="42")
    client.alias("old", "42")
    assert client.flush(5)

    assert [event["type"] for event in collector.events] == ["identify", "track", "page", "group", "alias"]
    identify, track, page, group, alias = collector.events
    assert (identify["userId"], identify["anonymousId"]) == ("42", "a-1")
    assert identify["traits"] == {"email": "ann@example.com"}
    assert (track["messageId"], track["timestamp"], track["userId"]) == ("m-1", "2026-01-02T03:04:05Z", "42")
    assert track["properties"] == {"price": 20}
    assert (page["name"], page["category"], page["context"]["ip"]) == ("Home", "Shop", "10.0.0.1")
    assert (group["groupId"], group["traits"]) == ("acme", {"plan": "b"})
    assert (alias["previousId"], alias["userId"]) == ("old", "42")
    assert {event["context"]["library"]["name"] for event in collector.events} == {"chimein-python"}
    assert len({event["messageId"] for event in collector.events}) == 5
    [request] = collector.requests
    assert request.path == "/v1/batch"
    assert request.headers["authorization"] == "Basic a2V5Og=="
    assert request.body["sentAt"]


def test_batches_are_cut_by_count(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect(batch_size=40)
    for number in range(100):
        client.track("Viewed", {"n": number}, user_id="1")
    assert client.flush(5)
    assert [event["properties"]["n"] for event in collector.events] == list(range(100))
    assert max(len(request.body["batch"]) for request in collector.requests) == 40


def test_batches_are_cut_by_bytes(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect(max_batch_bytes=100_000, gzip=False)
    for _ in range(20):
        client.track("Viewed", {"blob": "x" * 30_000}, user_id="1")
    assert client.flush(5)
    assert len(collector.events) == 20
    assert max(request.size for request in collector.requests) <= 100_000
    assert [len(request.body["batch"]) for request in collector.requests] == [3, 3, 3, 3, 3, 3, 2]


def test_a_full_batch_leaves_at_once_and_a_smaller_one_after_the_interval(
    collector: Collector, connect: Callable[..., Client]
) -> None:
    client = connect(batch_size=5, flush_interval=1.5)
    began = time.monotonic()
    for number in range(7):
        client.track("Viewed", {"n": number}, user_id="1")
    assert collector.wait(7)
    first, second = collector.requests
    assert len(first.body["batch"]) == 5
    assert first.at - began < 1.2
    assert 1.4 < second.at - began < 6


def test_large_bodies_are_packed_and_small_ones_are_not(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect()
    client.track("Viewed", user_id="1")
    client.flush(5)
    client.track("Viewed", {"blob": "x" * 20_000}, user_id="1")
    client.flush(5)
    small, large = collector.requests
    assert "content-encoding" not in small.headers
    assert large.headers["content-encoding"] == "gzip"
    assert large.size < 1_000


def test_one_connection_carries_many_batches(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect()
    for _ in range(5):
        client.track("Viewed", user_id="1")
        assert client.flush(5)
    assert len(collector.requests) == 5
    assert collector.connections == 1


def test_the_server_may_be_mounted_below_a_path(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect(host=collector.url + "/below/")
    client.track("Viewed", user_id="1")
    assert client.flush(5)
    assert collector.requests[0].path == "/below/v1/batch"


def test_what_the_caller_changes_after_track_does_not_change_the_event(
    collector: Collector, connect: Callable[..., Client]
) -> None:
    client = connect()
    properties: dict[str, Any] = {"cart": [{"id": 1}]}
    client.track("Cart Viewed", properties, user_id="1")
    properties["cart"][0]["id"] = 2
    properties.clear()
    assert client.flush(5)
    assert collector.events[0]["properties"] == {"cart": [{"id": 1}]}


def test_one_odd_event_does_not_poison_its_batch(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles
) -> None:
    client = connect()
    circle: list[Any] = []
    circle.append(circle)
    for value in (1, float("nan"), "\ud800", "\0", circle, object(), "x" * 40_000, 2):
        client.track("Viewed", {"value": value}, user_id="1")
    assert client.flush(5)
    assert len(collector.events) == 6
    assert [type(error).__name__ for error, _ in troubles] == ["InvalidEvent", "EventTooLarge"]


def test_many_threads_report_at_once_and_nothing_is_lost_or_doubled(
    collector: Collector, connect: Callable[..., Client]
) -> None:
    client = connect(flush_interval=0.01)

    def report(thread: int) -> None:
        for number in range(500):
            client.track("Viewed", {"n": number}, user_id=thread)

    threads = [threading.Thread(target=report, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(10)
    for number in range(8):
        mine = [event["properties"]["n"] for event in collector.events if event["userId"] == str(number)]
        assert mine == list(range(500))


def test_sync_sends_in_the_calling_thread(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect(sync=True)
    before = threading.active_count()
    assert client.track("Viewed", user_id="1") is True
    assert len(collector.events) == 1
    assert not any(thread.name == "chimein" for thread in threading.enumerate())
    assert threading.active_count() <= before + 1  # the server's own


def test_identify_is_signed_where_the_client_has_the_secret_key(
    collector: Collector, connect: Callable[..., Client]
) -> None:
    client = connect(secret_key="secret")
    client.identify(42, {"name": "Ann"}, anonymous_id="a-1")
    client.flush(5)
    assert collector.events[0]["context"]["userHash"] == chimein.user_hash("secret", "42")


def test_module_functions_report_through_the_configured_client(collector: Collector) -> None:
    first = chimein.configure("key", collector.url)
    chimein.track("Viewed", user_id="1")
    second = chimein.configure("key", collector.url)
    assert len(collector.events) == 1, "the first client is flushed when another takes its place"
    assert chimein.client() is second is not first
    chimein.page(anonymous_id="a")
    chimein.identify("1")
    assert chimein.flush(5)
    assert chimein.close()
    assert len(collector.events) == 3


# When the server fails


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 0])
def test_passing_trouble_is_retried_until_the_batch_has_arrived(
    collector: Collector,
    connect: Callable[..., Client],
    troubles: Troubles,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setattr("chimein.delivery.FIRST_WAIT", 0.02)
    client = connect()
    collector.respond = answering(Response(status), Response(status))
    client.track("Viewed", user_id="1")
    assert client.flush(10)
    assert len(collector.events) == 1
    assert len(collector.requests) == 3
    assert len({request.body["batch"][0]["messageId"] for request in collector.requests}) == 1, "retries are told apart"
    assert not troubles


def test_each_attempt_says_anew_when_it_was_sent(
    collector: Collector, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect()
    collector.respond = answering(Response(503, headers={"Retry-After": "0.2"}))
    client.track("Viewed", user_id="1")
    assert client.flush(10)
    first, second = collector.requests
    assert first.body["sentAt"] < second.body["sentAt"]
    assert first.body["batch"] == second.body["batch"]


@pytest.mark.parametrize("header", ["1", lambda: formatdate(time.time() + 2, usegmt=True)], ids=["seconds", "date"])
def test_the_server_says_how_long_to_wait(
    collector: Collector, connect: Callable[..., Client], header: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimein.delivery.FIRST_WAIT", 0.01)
    client = connect()
    value = header if isinstance(header, str) else header()
    collector.respond = answering(Response(429, headers={"Retry-After": value}))
    client.track("Viewed", user_id="1")
    assert client.flush(10)
    first, second = collector.requests
    assert 0.95 < second.at - first.at < 3


def test_waits_are_jittered_so_that_clients_do_not_come_back_together(
    collector: Collector, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimein.delivery.FIRST_WAIT", 0.4)
    collector.respond = lambda request: Response(503) if number_of_attempts(collector, request) == 1 else None
    clients = [connect() for _ in range(8)]
    for client in clients:
        client.track("Viewed", user_id="1")
    assert all(client.flush(10) for client in clients)
    came_back = sorted(request.at for request in collector.requests[-8:])
    assert came_back[-1] - came_back[0] > 0.1


def number_of_attempts(collector: Collector, request: Request) -> int:
    mine = request.body["batch"][0]["messageId"]
    return sum(other.body["batch"][0]["messageId"] == mine for other in collector.requests)


def test_after_the_last_retry_the_batch_is_given_up_and_told(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimein.delivery.FIRST_WAIT", 0.01)
    client = connect(retries=3)
    collector.respond = lambda _: Response(500)
    client.track("Viewed", {"n": 1}, user_id="1")
    assert client.flush(10)
    [(error, [event])] = troubles
    assert isinstance(error, DeliveryError)
    assert error.status == 500
    assert event["properties"] == {"n": 1}
    assert len(collector.requests) == 4


@pytest.mark.parametrize("status", [301, 401, 403, 404, 501])
def test_lasting_trouble_is_told_at_once_and_not_retried(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles, status: int
) -> None:
    client = connect()
    collector.respond = lambda _: Response(status)
    for number in range(3):
        client.track("Viewed", {"n": number}, user_id="1")
    assert client.flush(5)
    assert len(collector.requests) == 1
    [(error, events)] = troubles
    assert isinstance(error, DeliveryError)
    assert error.status == status
    assert len(events) == 3


@pytest.mark.parametrize("status", [400, 413])
def test_a_batch_that_is_refused_is_split_until_only_the_bad_event_is_lost(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles, status: int
) -> None:
    client = connect()

    def refuse(request: Request) -> Response | None:
        is_bad = any(event["properties"]["n"] == 13 for event in request.body["batch"])
        return Response(status) if is_bad else None

    collector.respond = refuse
    for number in range(50):
        client.track("Viewed", {"n": number}, user_id="1")
    assert client.flush(10)
    assert [event["properties"]["n"] for event in collector.events] == [n for n in range(50) if n != 13]
    [(error, [event])] = troubles
    assert isinstance(error, DeliveryError)
    assert (error.status, event["properties"]["n"]) == (status, 13)


def test_events_that_the_server_rejects_within_a_good_answer_are_told(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles
) -> None:
    client = connect()
    rejected = [
        {"index": 1, "messageId": "m-1", "code": "no_user_anon_id", "message": "no id"},
        {"index": 99},
        "nonsense",
        {"index": 2},
    ]
    collector.respond = answering(Response(200, {"success": True, "accepted": 2, "rejected": rejected}))
    for number in range(4):
        client.track("Viewed", {"n": number}, user_id="1")
    assert client.flush(5)
    assert [events[0]["properties"]["n"] for _, events in troubles] == [1, 2]
    first = troubles[0][0]
    assert isinstance(first, EventRejected)
    assert (first.code, str(first)) == ("no_user_anon_id", "no id (no_user_anon_id)")


def test_a_server_that_is_not_there_yet_gets_everything_when_it_comes(
    connect: Callable[..., Client], troubles: Troubles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chimein.delivery.FIRST_WAIT", 0.05)
    with Collector() as gone:
        url = gone.url
    client = connect(host=url, retries=30)
    for number in range(250):
        client.track("Viewed", {"n": number}, user_id="1")
    assert not client.flush(0.3)
    port = int(url.rpartition(":")[2])
    with Collector(port=port) as back:
        assert client.flush(20)
        assert [event["properties"]["n"] for event in back.events] == list(range(250))
        client.close()
    assert not troubles


def test_a_connection_that_the_server_closed_while_idle_costs_no_retry(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles
) -> None:
    client = connect(retries=0)
    client.track("Viewed", user_id="1")
    assert client.flush(5)
    collector.drop_connections()
    client.track("Viewed", user_id="1")
    assert client.flush(5)
    assert len(collector.events) == 2
    assert not troubles


def test_a_server_that_never_answers_holds_up_neither_the_caller_nor_the_exit(
    connect: Callable[..., Client], troubles: Troubles
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(host=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=30)
        began = time.monotonic()
        for _ in range(1000):
            client.track("Viewed", user_id="1")
        assert time.monotonic() - began < 1
        assert client.flush(0.2) is False
        began = time.monotonic()
        assert client.close(0.5) is False
        assert time.monotonic() - began < 1.5
        assert sum(len(events) for _, events in troubles) >= 900, "what was not even tried is told"


def test_an_answer_that_is_not_http_is_trouble_like_any_other(
    connect: Callable[..., Client], troubles: Troubles
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"SSH-2.0-OpenSSH_9\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        client = connect(host=f"http://127.0.0.1:{server.getsockname()[1]}", retries=0)
        client.track("Viewed", user_id="1")
        assert client.flush(5)
        thread.join()
    assert isinstance(troubles[0][0], DeliveryError)


# When the queue is full, the client closed, the process forked or ended


def test_a_full_queue_drops_the_newest_and_tells_it(collector: Collector, connect: Callable[..., Client]) -> None:
    gate = threading.Event()
    dropped: list[dict[str, Any]] = []

    def hold(_: Request) -> None:
        gate.wait(10)

    collector.respond = hold
    client = connect(queue_size=10, batch_size=1, on_drop=dropped.append)
    client.track("Viewed", {"n": -1}, user_id="1")
    while not collector.requests:
        time.sleep(0.005)
    results = [client.track("Viewed", {"n": number}, user_id="1") for number in range(15)]
    gate.set()
    assert results == [True] * 10 + [False] * 5
    assert [event["properties"]["n"] for event in dropped] == [10, 11, 12, 13, 14]
    assert client.flush(5)
    assert len(collector.events) == 11


def test_a_closed_client_drops_and_tells_it(collector: Collector, connect: Callable[..., Client]) -> None:
    dropped: list[dict[str, Any]] = []
    with connect(on_drop=dropped.append) as client:
        client.track("Viewed", user_id="1")
    assert len(collector.events) == 1
    assert client.track("Viewed", user_id="1") is False
    assert len(dropped) == 1
    assert client.flush(1)
    assert client.close(1)


def test_closing_during_an_outage_tries_until_the_deadline_and_tells_the_rest(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles
) -> None:
    collector.respond = lambda _: Response(503)
    client = connect(batch_size=10)
    for _ in range(30):
        client.track("Viewed", user_id="1")
    began = time.monotonic()
    client.close(1)
    assert time.monotonic() - began < 2
    assert sum(len(events) for _, events in troubles) == 30
    assert not collector.events


def test_a_wait_that_the_server_asked_for_is_not_sat_out_at_the_end(
    collector: Collector, connect: Callable[..., Client], troubles: Troubles
) -> None:
    collector.respond = lambda _: Response(429, headers={"Retry-After": "120"})
    client = connect()
    client.track("Viewed", user_id="1")
    assert not client.flush(0.8)
    began = time.monotonic()
    client.close(5)
    assert time.monotonic() - began < 1
    assert len(troubles) == 1


def test_flush_from_a_callback_does_not_wait_for_itself(collector: Collector) -> None:
    answers: list[bool] = []
    client = Client("key", collector.url, on_error=lambda *_: answers.append(client.flush()))
    collector.respond = answering(Response(404))
    client.track("Viewed", user_id="1")
    assert client.flush(5)
    assert answers == [False]
    client.close()


def test_a_client_that_nobody_holds_sends_the_rest_and_is_gone(collector: Collector) -> None:
    client = Client("key", collector.url)
    client.track("Viewed", user_id="1")
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    assert collector.wait(1)
    deadline = time.monotonic() + 2
    while any(thread.name == "chimein" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "its thread lives on"
        time.sleep(0.01)


def test_a_signal_handler_may_report_in_the_middle_of_a_report(
    collector: Collector, connect: Callable[..., Client]
) -> None:
    client = connect(flush_interval=0.01)
    fired = 0

    def report(*_: object) -> None:
        nonlocal fired
        fired += 1
        client.track("Signalled", user_id="1")

    before = signal.signal(signal.SIGALRM, report)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(5000):
            client.track("Viewed", user_id="1")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert fired > 5
    assert client.flush(10)
    assert len(collector.events) == 5000 + fired


def run(program: str, collector: Collector, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own that finds the server's address in URL."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        env={**os.environ, "URL": collector.url},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_what_is_queued_at_the_end_of_a_program_is_still_sent(collector: Collector) -> None:
    done = run(
        """
        import os, chimein
        chimein.configure("key", os.environ["URL"], flush_interval=60)
        for number in range(250):
            chimein.track("Viewed", {"n": number}, user_id="1")
        """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [event["properties"]["n"] for event in collector.events] == list(range(250))


def test_a_program_whose_server_is_gone_still_ends_in_bounded_time(collector: Collector) -> None:
    began = time.monotonic()
    done = run(
        """
        import chimein
        chimein.configure("key", "http://127.0.0.1:9", exit_timeout=1)
        chimein.track("Viewed", user_id="1")
        """,
        collector,
    )
    assert done.returncode == 0
    assert "1 event(s) not delivered" in done.stderr
    assert time.monotonic() - began < 5


def test_parent_and_forked_child_each_send_their_own_events_once(collector: Collector) -> None:
    done = run(
        """
        import os, sys, time, chimein
        chimein.configure("key", os.environ["URL"])
        chimein.track("Warm", user_id="parent")
        chimein.flush()                                  # the thread runs, the connection is open
        chimein.track("Queued", user_id="parent")        # still queued when the fork comes
        child = os.fork()
        for number in range(150):
            chimein.track("Forked", {"n": number}, user_id="parent" if child else "child")
        assert chimein.flush(5)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [(event["userId"], event["event"]) for event in collector.events]
    assert sorted(set(names)) == [("child", "Forked"), ("parent", "Forked"), ("parent", "Queued"), ("parent", "Warm")]
    assert {name: names.count(name) for name in names} == {
        ("parent", "Warm"): 1,
        ("parent", "Queued"): 1,
        ("parent", "Forked"): 150,
        ("child", "Forked"): 150,
    }


def test_forks_while_threads_report_and_batches_fly_never_hang_a_child(collector: Collector) -> None:
    done = run(
        """
        import os, threading, chimein
        chimein.configure("key", os.environ["URL"], flush_interval=0.001, batch_size=5, queue_size=100000)
        stop = threading.Event()
        def report():
            while not stop.wait(0.0001):
                chimein.track("Noise", user_id="parent")
        threads = [threading.Thread(target=report) for _ in range(3)]
        for thread in threads: thread.start()
        children = []
        for number in range(20):
            child = os.fork()
            if not child:
                chimein.track("Child", {"n": number}, user_id="child")
                os._exit(0 if chimein.flush(10) else 1)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads: thread.join()
        assert codes == [0] * 20, codes
        """,
        collector,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    children = [event["properties"]["n"] for event in collector.events if event["event"] == "Child"]
    assert sorted(children) == list(range(20))
    ids = [event["messageId"] for event in collector.events]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_worker_process_flushes_when_it_ends(collector: Collector, tmp_path: Any, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing, os, chimein
            def work(number):
                chimein.configure("key", os.environ["URL"], flush_interval=60)
                chimein.track("Worked", {{"n": number}}, user_id="1")
            if __name__ == "__main__":
                context = multiprocessing.get_context({method!r})
                workers = [context.Process(target=work, args=(number,)) for number in range(2)]
                for worker in workers: worker.start()
                for worker in workers: worker.join()
            """
        )
    )
    done = run(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')", collector)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(event["properties"]["n"] for event in collector.events) == [0, 1]


def test_it_works_under_gevent(collector: Collector) -> None:
    done = run(
        """
        from gevent import monkey
        monkey.patch_all()
        import os, gevent, chimein
        chimein.configure("key", os.environ["URL"])
        gevent.joinall([gevent.spawn(lambda n=n: chimein.track("Viewed", {"n": n}, user_id="1")) for n in range(250)])
        assert chimein.flush(5)
        chimein.track("Viewed", {"n": 250}, user_id="1")
        """,
        collector,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(event["properties"]["n"] for event in collector.events) == list(range(251))


def test_types_are_there_for_programs_that_use_it(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            from datetime import datetime, timezone
            from typing import Any
            import chimein
            from chimein.flask import Chimein, current_visitor
            from chimein.wsgi import ChimeinMiddleware
            from flask import Flask

            def failed(error: chimein.ChimeinError, events: list[dict[str, Any]]) -> None: ...

            client = chimein.Client("key", "http://127.0.0.1:8000", on_error=failed, on_drop=print)
            queued: bool = client.track("Viewed", {"n": 1}, user_id=1, timestamp=datetime.now(timezone.utc))
            app = Flask(__name__)
            application = ChimeinMiddleware(app.wsgi_app, client, user=lambda environ: "1")
            Chimein(app)
            current_visitor.track("Viewed")
            client.track("Viewed", who="1")  # type: ignore[call-arg]
            """
        )
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}/cache",
        str(program),
    ]
    environment = {
        **os.environ,
        "MYPYPATH": str(Path(chimein.__file__).parents[1]),
    }  # an editable install is hidden from mypy
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_thousand_reports_cost_the_caller_little(collector: Collector, connect: Callable[..., Client]) -> None:
    client = connect()
    began = time.thread_time()
    for _ in range(1000):
        client.track("Viewed", {"product_id": "1", "price": 9.5}, anonymous_id="a")
    assert time.thread_time() - began < 0.2
    assert client.flush(5)
    assert json.dumps(collector.events[0])
