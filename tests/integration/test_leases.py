"""Workers share the partitions by leases in Redis."""

import time

import redis

from backend.storage.leases import PREFIX, SECONDS, Leases
from tests.core_fixtures import *  # noqa: F403 - fixtures


def leases(client: redis.Redis, *names: str) -> list[Leases]:
    client.flushall()
    return [Leases(client, name, 8) for name in names]


def test_one_worker_takes_all_and_a_second_one_gets_its_half(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    a, b = leases(client, "a", "b")
    now = time.time()
    assert a.refresh(now) == set(range(8))
    assert b.refresh(now) == set()
    assert len(a.refresh(now)) == 4
    assert len(b.refresh(now)) == 4
    assert a.held | b.held == set(range(8))
    assert not a.held & b.held
    client.close()


def test_nobody_holds_two_of_a_kind_however_they_come_and_go(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    workers = leases(client, *"abcde")
    now = time.time()
    for turn in range(12):
        for number, each in enumerate(workers):
            if (turn + number) % 4 != 3:
                each.refresh(now)
            elif turn % 2:
                each.release()
        held = [partition for each in workers for partition in each.held]
        assert len(held) == len(set(held)), "two hold the same"
    for _ in range(3):
        for each in workers:
            each.refresh(now)
    assert sorted(len(each.held) for each in workers) == [0, 2, 2, 2, 2] or sorted(
        len(each.held) for each in workers
    ) == [1, 1, 2, 2, 2]
    assert {partition for each in workers for partition in each.held} == set(range(8))
    client.close()


def test_the_leases_of_the_dead_lapse_and_those_given_back_are_free_at_once(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    a, b, c = leases(client, "a", "b", "c")
    now = time.time()
    a.refresh(now)
    a.release()
    assert a.held == set()
    assert b.refresh(now) == set(range(8))
    assert 0 < client.pttl(f"{PREFIX}3") <= SECONDS * 1_000
    client.delete(*client.keys(PREFIX + "*"))  # b has died, and its leases have lapsed
    assert c.refresh(now + SECONDS + 1) == set(range(8))
    assert b.refresh(now + SECONDS + 1) == set(), "b was only asleep, and has lost everything"
    client.close()
