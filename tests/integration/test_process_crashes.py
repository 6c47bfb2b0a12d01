"""Whoever dies when, each accepted event takes effect once (F1, F2, F26; I1, I2, I3)."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from backend.domain.segment import parse_segment
from backend.pipeline.apply import Effects
from backend.pipeline.careful import ASIDE_AFTER, CAREFUL_AFTER
from backend.pipeline.process import Processor
from backend.pipeline.reading import Read
from backend.runtime import build_runtime, close_runtime
from backend.storage import tallies
from backend.storage.leases import MEMBERS, PREFIX
from backend.storage.segments import create_segment
from backend.storage.tables import metadata
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, WRITE_KEY, Shop, call, identify, open_shop, popup_rule, process_environ, state_of
from tests.forked import Forked

WORKER = Path(__file__).with_name("core_worker.py")
CRASHED = 137
POINTS = (
    "before_offset",
    "after_offset",
    "after_events",
    "after_profiles",
    "after_enrolments",
    "after_messages",
    "after_tallies",
    "before_commit",
    "after_commit",
    "after_commit:2",
    "after_bell",
    "before_trim",
)


def run(shop: Shop, *task: str, crash_at: str = "") -> int:
    """Runs the worker to its end, or to its death; the exit code."""
    lapse(shop)
    environ = process_environ(shop, **({"CHIMEIN_CRASH_AT": crash_at} if crash_at else {}))
    ended = Forked(WORKER, task[0], shop.clock().isoformat(), *task[1:], environ=environ).wait(120)
    assert ended in {0, CRASHED}
    return ended


def lapse(shop: Shop) -> None:
    """The leases of the dead are over."""
    shop.rt.redis.delete(MEMBERS, *shop.rt.redis.keys(PREFIX + "*"))


def busy_morning(shop: Shop) -> None:
    """Rules, enrolments that are due, and a log with everything in it: merges, feedback, repetitions, bad ones."""
    goal = {"event": "Order Completed", "within": "1h"}
    shop.rule(popup_rule(delay="10m", cancel=[{"event": "Order Completed"}], goal=goal))
    shop.rule(popup_rule("Product Viewed", goal=goal, message={**POPUP, "holdout": 40}))
    seen = {"performed": "Product Viewed", "within": "1d"}
    mail = {"channels": ["email"], "variants": [{"name": "A", "content": {"subject": "Hi", "body": "…"}}]}
    shop.rule(popup_rule("Product Viewed", message=mail, audience=seen, reentry={"policy": "every"}))
    with shop.rt.db.begin() as connection:
        for name, asked in (("seen", seen), ("not seen", {"not": seen}), ("bought", {"performed": "Order Completed"})):
            create_segment(connection, shop.site.id, parse_segment({"name": name, "condition": asked}), shop.clock())
    names = [f"visitor{number}" for number in range(12)]
    shop.send(*(call("Product Added", {"product_id": "mug"}, anonymousId=name) for name in names[:6]))
    for name in names:
        shop.send(call("Product Viewed", {"product_id": "mug"}, anonymousId=name))
    shop.clock.forward(minutes=11)
    for each in shop.messages():
        report = call("Message Clicked", {"message_id": each.id}, anonymousId=each.anonymous_id)
        shop.put(report, report)
    repeated = call("Product Viewed", {"product_id": "mug"}, anonymousId=names[0])
    for number, name in enumerate(names):
        shop.put(
            call("Product Viewed", {"product_id": "kettle"}, anonymousId=name),
            call("Product Added", {"product_id": "kettle", "price": number}, anonymousId=name),
            repeated,
        )
        if number % 2:
            shop.put(identify(f"user{number % 5}", {"email": f"user{number % 5}@example.com"}, anonymousId=name))
            shop.put(call("Product Viewed", {"product_id": "mug"}, anonymousId=name))
        said = call("Live Chat Message Sent", {"message_body": f"Hello {number}"}, anonymousId=name)
        shop.put(said, said, call("Live Chat Message Sent", {"message_body": "Somebody?"}, anonymousId=name))
        if number % 3 == 0:
            shop.put(call("Order Completed", {"total": 10, "order_id": number}, anonymousId=name))
    header, events = b"\x93\x01\xa1s\x00", b'[{"type":"track","event":"X","anonymousId":"a","timestamp":"never"}]'
    shop.rt.log.append([(0, header, events)])


@contextmanager
def twin(shop: Shop, folder: Path, template: Path) -> Iterator[Shop]:
    """Another shop that stands where this one stands now, in a SQLite of its own, on the same log."""
    shutil.copy(template, folder / "twin.db")
    settings = replace(shop.rt.settings, database_url=f"sqlite:///{folder / 'twin.db'}")
    rt = replace(build_runtime(settings), clock=shop.clock)
    try:
        with shop.rt.db.read() as source, rt.db.begin() as target:
            for table in metadata.sorted_tables:
                rows = [dict(row._mapping) for row in source.execute(sqlalchemy.select(table))]
                if rows:
                    target.execute(sqlalchemy.insert(table), rows)
        yield Shop(rt, shop.clock, shop.site)
    finally:
        close_runtime(rt)


@pytest.mark.parametrize("crash_at", POINTS)
def test_f2_a_worker_that_dies_at_any_point_changes_nothing_in_the_end(
    shop: Shop, crash_at: str, tmp_path: Path, sqlite_template: Path
) -> None:
    """The end is that of a worker that lived: the same rows in every table."""
    die_and_go_on(shop, crash_at, tmp_path, sqlite_template)


@pytest.mark.postgres
@pytest.mark.parametrize("crash_at", ["after_messages", "after_tallies", "before_commit", "after_commit"])
def test_f2_holds_on_postgresql_too(
    postgres_url: str, redis_url: str, crash_at: str, tmp_path: Path, sqlite_template: Path
) -> None:
    with open_shop(postgres_url, redis_url, tmp_path) as shop:
        die_and_go_on(shop, crash_at, tmp_path, sqlite_template)


def die_and_go_on(shop: Shop, crash_at: str, tmp_path: Path, sqlite_template: Path) -> None:
    """One worker dies, the next one goes on, and a lucky twin has done the same without dying."""
    busy_morning(shop)
    shop.processor.leave()
    with twin(shop, tmp_path, sqlite_template) as lucky:
        lucky.processor.drain()
        lucky.processor.leave()
        assert run(shop, "drain", crash_at=crash_at) == CRASHED
        lapse(shop)
        shop.restart().drain()
        assert comparable(state_of(shop.rt)) == comparable(state_of(lucky.rt))
    assert {each.channel for each in shop.messages()} == {"popup", "email"}, "there was something to lose"
    with shop.rt.db.read() as connection:
        counted = {each.metric for each in tallies.of_site(connection, shop.site.id) if each.number > 0}
    assert counted >= {"sent", "held_out", "clicked", "converted", "revenue", "persons", "goal_persons", "sessions"}


def comparable(state: dict[str, list[tuple[Any, ...]]]) -> dict[str, Any]:
    """Rows as plain values, JSON as what it says."""
    return {
        table: sorted(
            json.dumps([json.loads(value) if isinstance(value, str) and value[:1] == "{" else value for value in row])
            for row in rows
        )
        for table, rows in state.items()
    }


@pytest.mark.parametrize(("crash_at", "arrived"), [("before_append", 0), ("after_append", 2)])
def test_f1_a_collector_that_dies_before_its_answer_has_the_batch_told_again(
    shop: Shop, crash_at: str, arrived: int
) -> None:
    body = json.dumps({"batch": [call("Page Viewed", messageId="one"), call("Page Viewed", messageId="two")]})
    assert run(shop, "collect", WRITE_KEY, body, crash_at=crash_at) == CRASHED
    shop.processor.drain()
    assert len(shop.stored()) == arrived
    assert run(shop, "collect", WRITE_KEY, body) == 0
    shop.restart().drain()
    assert shop.profile().counts == {"Page Viewed": 2}


def test_f26_an_entry_that_kills_whoever_reads_it_is_set_aside_and_costs_no_other(shop: Shop) -> None:
    """A worker that dies after the offset, again and again, stands for one that an event takes all memory from."""
    shop.put(call("Page Viewed", messageId="good", anonymousId="ann"))
    shop.put(call("Page Viewed", messageId="killer", anonymousId="ann"), call("Page Viewed", anonymousId="other"))
    killer = partition_of_killer(shop)
    shop.put(call("Page Viewed", messageId="behind", anonymousId="ann"))
    lives = 0
    while True:
        lives += 1
        assert lives <= CAREFUL_AFTER + 2 * ASIDE_AFTER, "it still kills"
        worker = Mortal(shop.rt, killer)
        try:
            worker.drain()
        except Died:
            lapse(shop)
            continue
        worker.leave()
        break
    assert {each.message_id for each in shop.stored() if each.anonymous_id == "ann"} == {"good", "behind"}
    [aside] = shop.dead()
    assert "workers died" in aside.reason
    assert lives > 3, "it was tried more than once"
    assert shop.find("other") is not None or aside.partition == killer[0]


def partition_of_killer(shop: Shop) -> tuple[int, str]:
    """Where the entry lies: the partition, and the entry's id."""
    for partition in range(shop.rt.log.partitions):
        for entry in shop.rt.log.entries_after(partition, "0-0", 100):
            if b'"killer"' in entry.events:
                return partition, entry.id
    raise AssertionError("the killer is not in the log")


class Died(BaseException):
    """Passes through everything, as a death does."""


class Mortal(Processor):
    """A worker that dies when it takes up a certain entry."""

    def __init__(self, rt: Any, killer: tuple[int, str]) -> None:
        super().__init__(rt)
        self.killer = killer

    def take(self, read: Read) -> Effects:
        if any((each.partition, each.entry) == self.killer for each in read.arrived):
            raise Died
        return super().take(read)


def test_a_worker_that_only_stumbles_is_not_counted_as_dead(shop: Shop) -> None:
    """A database that is away for a while must not have good events set aside."""
    shop.put(call("Page Viewed"))
    processor = shop.processor
    for _ in range(3 * ASIDE_AFTER):
        processor.reload()
        processor._hold()
    assert not processor.care.suspects
    processor.drain()
    assert shop.profile().counts == {"Page Viewed": 1}
    assert shop.dead() == []
