"""How often somebody tried lately: counters in Redis, which all processes share and which go by themselves."""

import redis

PREFIX = "chimein:attempts:"


def count(client: redis.Redis, name: str, seconds: int) -> int:
    """Counts one more attempt under this name; how many there are in the `seconds` since the first."""
    key = PREFIX + name
    pipeline = client.pipeline()
    pipeline.set(key, 0, ex=seconds, nx=True)
    pipeline.incr(key)
    return int(pipeline.execute()[1])


def left(client: redis.Redis, name: str) -> int:
    """In how many seconds the attempts of this name are forgotten."""
    return max(1, int(client.ttl(PREFIX + name)))


def forget(client: redis.Redis, name: str) -> None:
    """Forgets the attempts of this name."""
    client.delete(PREFIX + name)
