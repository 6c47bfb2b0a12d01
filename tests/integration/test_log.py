"""The log on a real Redis: what is appended is read again, in order, until it is trimmed behind the offset."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from backend.errors import Unavailable
from backend.storage.log import START, Log, order, partition_of
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.redis_server import start_redis


@pytest.fixture
def log(redis_url: str) -> Iterator[Log]:
    """An empty log of four partitions."""
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    client.close()
    opened = Log.open(redis_url, 4, 2**24)
    yield opened
    opened.close()


def test_what_was_appended_is_read_in_order_from_any_offset(log: Log) -> None:
    for number in range(10):
        log.append([(number % 2, b"h%d" % number, b"e%d" % number)])
    entries = log.read({0: START, 1: START, 3: START}, 100, 0)
    assert [each.events for each in entries if each.partition == 0] == [b"e0", b"e2", b"e4", b"e6", b"e8"]
    assert [each.header for each in entries if each.partition == 1] == [b"h1", b"h3", b"h5", b"h7", b"h9"]
    third = [each for each in entries if each.partition == 0][2]
    assert [each.events for each in log.read({0: third.id}, 1, 0)] == [b"e6"]
    assert [each.events for each in log.entries_after(0, third.id, 5)] == [b"e6", b"e8"]
    first = log.first_after(0, third.id)
    assert first is not None
    assert order(first) > order(third.id)
    assert log.first_after(0, log.last_id(0)) is None
    assert log.read({0: log.last_id(0)}, 1, 0) == []
    assert log.read({}, 1, 0) == []


def test_any_bytes_pass_through(log: Log) -> None:
    nasty = bytes(range(256)) * 10
    log.append([(0, nasty, nasty), (1, b"", nasty)])
    assert {(each.partition, each.header, each.events) for each in log.read({0: START, 1: START}, 1, 0)} == {
        (0, nasty, nasty),
        (1, b"", nasty),
    }


def test_a_visitor_is_always_in_the_same_partition_and_all_are_used() -> None:
    keys = [f"visitor {number}" for number in range(200)] + ["\ud800", "", "שלום"]
    assert {partition_of(key, 4) for key in keys} == {0, 1, 2, 3}
    assert [partition_of(key, 4) for key in keys] == [partition_of(key, 4) for key in keys]


def test_trimming_takes_what_is_older_and_never_the_offset_itself(log: Log) -> None:
    """I3; Redis trims whole blocks, so a little more may stay."""
    for number in range(1_000):
        log.append([(0, b"h", b"%d" % number)])
    entries = log.entries_after(0, START, 1_000)
    offset = entries[700].id
    removed = log.trim(0, offset)
    assert 0 < removed <= 700
    left = log.entries_after(0, START, 1_000)
    assert left[0].id == entries[removed].id
    assert [each.id for each in left][-300:] == [each.id for each in entries][-300:]
    assert offset in {each.id for each in left}


def test_ids_go_on_behind_an_offset_that_is_ahead(log: Log) -> None:
    """F10: in a partition that is there, and in one that is not."""
    log.append([(0, b"h", b"old")])
    far = f"{order(log.last_id(0))[0] + 10_000_000}-7"
    for partition in (0, 1):
        log.advance_ids(partition, far)
        assert log.last_id(partition) == far
        log.append([(partition, b"h", b"new")])
        assert [each.events for each in log.read({partition: far}, 10, 0)] == [b"new"]
    assert log.last_id(2) == START


def test_a_log_that_is_full_takes_nothing_and_says_when_to_come_back(redis_url: str, log: Log) -> None:
    log.append([(0, b"h", b"x" * 100_000)])
    small = Log.open(redis_url, 4, 50_000)
    with pytest.raises(Unavailable) as refused:
        small.append([(0, b"h", b"e")])
    assert refused.value.retry_after > 0
    with pytest.raises(Unavailable):
        small.probe()
    small.close()
    log.probe()


def test_f13_a_redis_without_memory_refuses_and_heals() -> None:
    """What it refuses is never said to be kept; reading goes on; when there is room again, so does writing."""
    with start_redis(maxmemory="6mb") as url:
        log = Log.open(url, 1, 2**30)
        kept = 0
        for size in (50_000, 1_000, 10):  # to the last byte
            try:
                for _ in range(5_000):
                    log.append([(0, b"h", b"x" * size)])
                    kept += 1
            except Unavailable:
                continue
        assert log.length(0) == kept
        with pytest.raises(Unavailable):
            log.probe()
        assert len(log.read({0: START}, 10_000, 0)) == kept
        log.trim(0, log.last_id(0))
        log.client.xtrim(log.keys[0], maxlen=0, approximate=False)
        log.append([(0, b"h", b"e")])
        log.probe()
        log.close()


def test_f9_a_redis_that_is_gone_is_unavailable_and_one_that_is_back_has_everything(tmp_path: Path) -> None:
    with start_redis(tmp_path) as url:
        log = Log.open(url, 2, 2**24)
        log.append([(0, b"h", b"kept"), (1, b"h", b"too")])
    with pytest.raises(Unavailable):
        log.append([(0, b"h", b"lost")])
    with pytest.raises(Unavailable):
        log.probe()
    with start_redis(tmp_path):
        log._checked_at = 0.0
        log.append([(0, b"h", b"new")])
        assert [each.events for each in log.read({0: START, 1: START}, 10, 0)] == [b"kept", b"new", b"too"]
        log.close()
