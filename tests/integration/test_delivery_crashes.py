"""Kill -9 of the worker at each step, and of the bell: every message ends, none is sent twice (F4, F5; I4, I5, I12)."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from backend.domain.unsubscribe import Subscription
from backend.pipeline import upkeep
from backend.pipeline.deliver import deliver
from backend.pipeline.outcome import Sent
from backend.storage import deliveries, unsubscribes
from backend.storage.deliveries import SENDING_LEASE, Ref
from tests.core_fixtures import database_url, postgres_server, postgres_url, redis_url, sqlite_template, sqlite_url
from tests.forked import Forked
from tests.integration.mail_world import MailServer, World, mail_server, open_world, wait_until
from tests.redis_server import start_redis

__all__ = ["database_url", "postgres_server", "postgres_url", "redis_url", "sqlite_template", "sqlite_url"]

WORKER = Path(__file__).with_name("worker_process.py")


@pytest.fixture
def world(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "data", redis_url) as opened:
        yield opened


@pytest.fixture
def each_world(tmp_path: Path, redis_url: str, database_url: str) -> Iterator[World]:
    """The shop, once on SQLite and once on PostgreSQL."""
    with open_world(tmp_path / "data", redis_url, database_url=database_url) as opened:
        yield opened


def start(world: World, smtp_url: str, crash_at: str = "") -> Forked:
    """A worker process on the world's database and Redis."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CHIMEIN_")}
    environ |= replace(world.rt.settings, smtp_url=smtp_url).environ()
    if crash_at:
        environ["CHIMEIN_CRASH_AT"] = crash_at
    return Forked(WORKER, environ=environ)


@contextmanager
def working(world: World, smtp_url: str) -> Iterator[Forked]:
    """A worker that is asked to end at the end of the block, and does."""
    process = start(world, smtp_url)
    try:
        yield process
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def later(world: World, by: timedelta = SENDING_LEASE + timedelta(minutes=5)) -> None:
    """Upkeep, at a time when every lease has lapsed."""
    world.clock.now += by
    upkeep.recover(world.rt, [name for name, channel in world.channels.items() if channel.idempotent])
    world.clock.now -= by


def ended(world: World) -> bool:
    return not set(world.statuses()) & {"queued", "claimed", "sending"}


def sent_ids(server: MailServer) -> list[str]:
    return sorted(each.split("@")[0].strip("<") for each in server.ids())


CRASHES = [
    # Where it dies; what the middle one of three messages has become; how many of its mails the server took.
    ("before_claim:2", "sent", 1),
    ("after_claim:2", "sent", 1),
    ("before_data:2", "sent", 1),
    ("after_begin:2", "unknown", 0),
    ("before_outcome:2", "unknown", 1),
]


@pytest.mark.parametrize(("crash_at", "status", "taken"), CRASHES)
def test_a_worker_that_dies_loses_and_repeats_nothing(crash_at: str, status: str, taken: int, world: World) -> None:
    """F4"""
    refs = [world.promise() for _ in range(3)]
    with mail_server() as server:
        world.use(server.url)
        world.rt.queue.enqueue(refs)
        first = start(world, server.url, crash_at)
        assert first.wait(30) == 137
        assert not ended(world)
        later(world)
        with working(world, server.url):
            world.rt.queue.enqueue(refs)
            wait_until(lambda: ended(world))
        assert [world.message(ref).status for ref in refs] == ["sent", status, "sent"]
        expected = [refs[0][1], refs[2][1], *([refs[1][1]] * taken)]
        assert sent_ids(server) == sorted(expected)


def test_a_worker_that_dies_between_the_dot_and_the_answer_leaves_it_unknown(world: World) -> None:
    """F4: the server has the mail, and the worker dies before it learns so."""
    refs = [world.promise() for _ in range(3)]
    with mail_server() as server:
        world.use(server.url)
        world.rt.queue.enqueue(refs)
        worker = start(world, server.url)

        def kill(_mail: object) -> str:
            if len(server.mails) == 1 and worker.poll() is None:
                worker.kill()
                worker.wait()
            return "250 taken"

        server.on_data = kill
        assert worker.wait(30) == -signal.SIGKILL
        later(world)
        with working(world, server.url):
            world.rt.queue.enqueue(refs)
            wait_until(lambda: ended(world))
        assert [world.message(ref).status for ref in refs] == ["sent", "unknown", "sent"]
        assert sent_ids(server) == sorted(ref[1] for ref in refs)


def test_in_the_outbox_even_a_lost_answer_is_made_good(world: World) -> None:
    refs = [world.promise() for _ in range(3)]
    for crash_at in ("after_begin", "before_outcome"):
        world.rt.queue.enqueue(refs)
        assert start(world, "", crash_at).wait(30) == 137
        later(world)
    with working(world, ""):
        world.rt.queue.enqueue(refs)
        wait_until(lambda: ended(world))
    assert world.statuses() == {"sent": 3}
    assert len(list((world.rt.settings.data_dir / "outbox").glob("*.eml"))) == 3


def test_a_message_that_kills_every_worker_comes_to_an_end(each_world: World) -> None:
    """I5"""
    world = each_world
    ref = world.promise()
    for _ in range(8):
        with world.rt.db.begin() as conn:
            assert deliveries.claim(conn, ref, world.clock(), ["email"]) is not None
        later(world)
    world.deliver(ref)
    assert (world.message(ref).status, world.message(ref).attempts) == ("failed", 9)


def test_when_redis_loses_everything_the_tick_rings_again(world: World) -> None:
    """F5"""
    refs = [world.promise() for _ in range(120)]
    world.rt.queue.enqueue(refs)
    with mail_server() as server, working(world, server.url):
        wait_until(lambda: len(server.mails) > 10)
        world.rt.redis.flushall()
        tick = threading.Event()
        live = replace(world.rt, clock=lambda: world.clock() + timedelta(seconds=4))
        ringing = threading.Thread(target=upkeep.run, args=(live, tick))
        ringing.start()
        try:
            wait_until(lambda: ended(world), 30)
        finally:
            tick.set()
            ringing.join()
        assert world.statuses() == {"sent": 120}
        assert sent_ids(server) == sorted(ref[1] for ref in refs)


def test_a_worker_outlives_its_redis_and_still_ends_when_asked(world: World) -> None:
    """I12"""
    with start_redis() as url:
        here = replace(world, rt=replace(world.rt, settings=replace(world.rt.settings, redis_url=url, log_url=url)))
        worker = start(here, "")
        with redis.Redis.from_url(url) as client:
            wait_until(lambda: client.scard("rq:workers"))
    try:
        time.sleep(3)
        assert worker.poll() is None
        asked = time.monotonic()
        worker.terminate()
        assert worker.wait(10) == 0
        assert time.monotonic() - asked < 10
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_stops_between_two_messages_when_asked(world: World) -> None:
    """F8"""
    refs = [world.promise() for _ in range(30)]

    def slowly(_mail: object) -> str:
        time.sleep(0.2)
        return "250 taken"

    with mail_server(on_data=slowly) as server:
        world.rt.queue.enqueue(refs)
        with working(world, server.url):
            wait_until(lambda: server.mails)
        assert set(world.statuses()) == {"queued", "sent"}
        with working(world, server.url):
            world.rt.queue.enqueue(refs)
            wait_until(lambda: ended(world), 30)
        assert sent_ids(server) == sorted(ref[1] for ref in refs)


def test_two_workers_at_once_send_each_mail_once(each_world: World) -> None:
    world = each_world
    refs = [world.promise() for _ in range(60)]
    with mail_server() as server:
        world.use(server.url)
        threads = [
            threading.Thread(target=deliver, args=(world.rt, part, world.channels)) for part in (refs, refs[::-1])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert world.statuses() == {"sent": 60}
        assert sent_ids(server) == sorted(ref[1] for ref in refs)


def test_whoever_lost_the_lease_changes_nothing(each_world: World) -> None:
    world = each_world
    ref = world.promise()
    with world.rt.db.begin() as conn:
        lost = deliveries.claim(conn, ref, world.clock(), ["email"])
    later(world)
    world.clock.pass_by(seconds=1)
    with world.rt.db.begin() as conn:
        assert lost is not None
        held = deliveries.claim(conn, ref, world.clock(), ["email"])
        assert held is not None
        assert deliveries.begin(conn, lost, world.clock()) is None
        assert not Sent(world.clock()).write(conn, lost, world.rt.sites)
        assert not deliveries.failed(conn, lost, "no")
        begun = deliveries.begin(conn, held, world.clock())
        assert begun is not None
        assert Sent(world.clock()).write(conn, begun, world.rt.sites)


def test_an_answer_that_comes_after_the_lease_still_counts(each_world: World) -> None:
    world = each_world
    ref = world.promise()
    with world.rt.db.begin() as conn:
        claim = deliveries.claim(conn, ref, world.clock(), ["email"])
        assert claim is not None
        begun = deliveries.begin(conn, claim, world.clock())
        assert begun is not None
    world.use("smtp://127.0.0.1:9")
    later(world)
    assert world.message(ref).status == "unknown"
    assert world.counted() == {"uncertain": 1}
    with world.rt.db.begin() as conn:
        assert Sent(world.clock()).write(conn, begun, world.rt.sites)
    assert world.message(ref).status == "sent"


def test_upkeep_ends_what_nobody_fetched(each_world: World) -> None:
    world = each_world
    hour = timedelta(hours=1)
    on_site: Ref = world.promise(channel="popup", expires_at=world.clock() + hour, due_at=world.clock() + hour)
    kept = world.promise(channel="popup", due_at=world.clock() + 2 * hour, expires_at=world.clock() + 2 * hour)
    world.clock.now += hour
    upkeep.expire(world.rt)
    assert world.message(on_site).status == "expired"
    assert world.message(kept).status == "queued"


def test_a_task_that_fails_does_not_stop_the_others(world: World) -> None:
    """I6"""
    done: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    tasks = [upkeep.Task("broken", 1, broken), upkeep.Task("good", 1, lambda: done.append("good"))]
    upkeep.tick(tasks, 10.0)
    upkeep.tick(tasks, 10.5)
    upkeep.tick(tasks, 11.0)
    assert done == ["good", "good"]


def test_the_tick_rings_only_while_workers_keep_up(world: World) -> None:
    """I9"""
    for _ in range(3):
        world.promise()
    world.clock.pass_by(seconds=10)
    for _ in range(50):
        upkeep.ring(world.rt)
    assert world.rt.queue.waiting() == upkeep.MOST_WAITING


def test_a_page_is_called_again_when_the_call_may_have_got_lost(each_world: World) -> None:
    """I12: whoever decided on the message died between the commit and the push."""
    world = each_world
    listener = world.rt.redis.pubsub()
    listener.psubscribe("chimein:live:*")
    caller = upkeep.Caller(world.rt)
    ref = world.promise(channel="popup")
    world.clock.pass_by(seconds=5)
    caller.call()
    caller.call()
    calls = []
    while (note := listener.get_message(timeout=0.5)) is not None:
        if note["type"] == "pmessage":
            calls.append(note["channel"].decode())
    listener.close()
    assert calls == [f"chimein:live:{ref[0]}"]


@pytest.mark.parametrize("wish_first", [True, False])
def test_unsubscribing_twice_is_as_once(wish_first: bool, each_world: World) -> None:
    subscription = Subscription.email(each_world.site.id, "Ada@example.com")
    reasons = [unsubscribes.WISH, unsubscribes.REFUSED]
    with each_world.rt.db.begin() as conn:
        for reason in reasons if wish_first else reasons[::-1]:
            unsubscribes.add(conn, subscription, reason, each_world.clock())
            unsubscribes.add(conn, subscription, reason, each_world.clock())
        assert unsubscribes.reason(conn, subscription) == unsubscribes.WISH
        assert unsubscribes.remove(conn, subscription)
        assert unsubscribes.reason(conn, subscription) is None


def test_closed_gates_and_retries_read_the_same_on_both_databases(each_world: World) -> None:
    gone, later_on, good, ordered = (each_world.promise(f"{name}@example.com") for name in ("gone", "later", "a", "b"))
    each_world.happened(ordered, "Order Completed")
    answers = {"gone@example.com": "550 5.1.1 no", "later@example.com": "451 later"}
    with mail_server(on_rcpt=lambda to: answers.get(to, "250 OK")) as server:
        each_world.use(server.url)
        each_world.deliver(gone, later_on, good, ordered)
    refs = (gone, later_on, good, ordered)
    assert [each_world.message(ref).status for ref in refs] == ["failed", "queued", "sent", "skipped"]
    with each_world.rt.db.read() as conn:
        assert deliveries.count_open(conn, each_world.clock()) == 0
        assert deliveries.count_open(conn, each_world.clock() + timedelta(minutes=2)) == 1
        assert deliveries.due_refs(conn, each_world.clock() + timedelta(minutes=2), 10) == [later_on]
