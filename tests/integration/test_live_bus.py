"""Whoever listens is told, or their stream ends: also where the connection to Redis breaks and comes back unseen."""

import threading
import time

import redis

from backend.storage.live import LiveBus
from tests.core_fixtures import redis_url

__all__ = ["redis_url"]


def test_a_stream_that_has_begun_misses_nothing_that_is_told_from_then_on(redis_url: str) -> None:
    bus, other = LiveBus(redis.Redis.from_url(redis_url)), LiveBus(redis.Redis.from_url(redis_url))
    stream = bus.subscribe(["v"])
    other.publish([("v", {"event": "part", "data": 1})])
    assert stream.next(5) == {"event": "part", "data": 1}
    bus.close()


def test_streams_end_where_the_connection_broke_although_the_client_mends_it_by_itself(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    bus = LiveBus(client)
    stream = bus.subscribe(["v"])
    waits = threading.Thread(target=stream.next, args=(60,), daemon=True)
    waits.start()
    client.client_kill_filter(_type="pubsub")
    waits.join(10)
    assert not waits.is_alive(), "whoever waits is woken"
    assert stream.closed
    fresh = bus.subscribe(["v"])
    until = time.monotonic() + 10
    while fresh.closed and time.monotonic() < until:
        fresh = bus.subscribe(["v"])
    bus.publish([("v", {"event": "part", "data": 2})])
    assert fresh.next(5) == {"event": "part", "data": 2}
    bus.close()


def test_a_stream_without_redis_has_ended_before_it_begins() -> None:
    bus = LiveBus(redis.Redis(port=1))
    assert bus.subscribe(["v"]).closed
    bus.close()
