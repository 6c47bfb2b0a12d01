"""What is read while a transaction waits for the database: used where it fits, and never taken twice."""

import threading
import time

import pytest

from backend.pipeline import reading
from backend.pipeline.careful import CAREFUL_AFTER
from backend.pipeline.process import Processor
from backend.pipeline.reading import Read
from backend.storage import partitions
from backend.storage.partitions import LostRace
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call


def fill(shop: Shop, batches: int = 60) -> int:
    """So many batches of ten events of ten visitors in the log."""
    for number in range(batches):
        shop.put(*(call("Page Viewed", messageId=f"{number}-{each}", anonymousId=f"v{each}") for each in range(10)))
    return batches * 10


def threads(worker: Processor) -> int:
    """How many threads read ahead for this worker."""
    return len([each for each in worker.reader._thread._threads if each.is_alive()])


def test_a_backlog_is_read_ahead_and_takes_effect_once(each_shop: Shop) -> None:
    sent = fill(each_shop)
    worker = each_shop.processor
    taken: list[int] = []
    read_here: list[str] = []
    plain = worker.reader._read

    def watched(*arguments: object) -> Read:
        read_here.append(threading.current_thread().name)
        found = plain(*arguments)  # type: ignore[arg-type]
        taken.append(len(found.arrived))
        return found

    worker.reader._read = watched  # type: ignore[method-assign]
    assert worker.drain() == sent
    assert any(name.startswith("ahead") for name in read_here)
    assert sum(taken) == sent  # nothing was read twice
    assert sum(each_shop.profile(f"v{each}").counts["Page Viewed"] for each in range(10)) == sent
    assert threads(worker) == 1
    worker.leave()
    assert threads(worker) == 0


def test_what_was_read_ahead_of_a_lost_race_is_dropped(each_shop: Shop) -> None:
    sent = fill(each_shop)
    first, second = each_shop.processor, Processor(each_shop.rt)
    second.leases = first.leases  # both believe that the partitions are theirs
    first._hold()
    second._hold()
    read = second.reader.next(second.offsets, 0)
    assert read.more
    done = first.drain()
    with pytest.raises(LostRace):
        second.take(read)
    second.reload()
    assert second.drain() == 0
    assert done == sent
    second.leave()


def test_what_was_read_ahead_of_other_offsets_or_long_ago_is_read_again(shop: Shop) -> None:
    fill(shop, 2)
    worker = shop.processor
    worker._hold()
    reader = worker.reader
    reader.ahead(dict.fromkeys(worker.offsets, "1-1"))
    assert len(reader.next(worker.offsets, 0).arrived) == 20
    reader.ahead(dict(worker.offsets))
    fill(shop, 3)
    time.sleep(reading.WORTH_SECONDS + 0.1)
    assert len(reader.next(worker.offsets, 0).arrived) >= 30
    assert threads(worker) == 1
    worker.leave()
    assert threads(worker) == 0


def test_nothing_is_read_ahead_while_an_entry_is_suspected(shop: Shop) -> None:
    fill(shop, 2)
    shop.processor._hold()
    with shop.rt.db.begin() as connection:
        for partition in shop.processor.held:
            for _ in range(CAREFUL_AFTER):  # so many workers died here
                partitions.count_attempt(connection, partition)
    worker = shop.restart()
    worker._hold()
    assert worker.care.suspects
    worker.reader.ahead(dict(worker.offsets))
    assert threads(worker) == 0


def test_a_log_that_is_gone_while_it_is_read_ahead_is_told_at_the_next_step(shop: Shop) -> None:
    fill(shop, 1)
    worker = shop.processor
    worker._hold()

    def gone(*_: object) -> Read:
        raise ConnectionError("Redis is gone")

    plain = worker.reader._read
    worker.reader._read = gone  # type: ignore[method-assign]
    worker.reader.ahead(dict(worker.offsets))
    with pytest.raises(ConnectionError, match="Redis is gone"):
        worker.reader.next(worker.offsets, 0)
    worker.reader._read = plain  # type: ignore[method-assign]
    assert worker.drain() == 10
