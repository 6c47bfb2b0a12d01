"""Who has the site open: the visitors whose pages hold a stream, in Redis, each with when its stream was last alive."""

from collections.abc import Iterable
from datetime import datetime

import redis
import structlog

KEPT_SECONDS = 60
"""So long after the last sign of a stream its visitor counts as gone; a stream gives one every twenty seconds."""

MOST = 2_000
"""Visitors that are told of at most, those with the latest sign."""

log = structlog.get_logger(__name__)


def note(client: redis.Redis, site_id: str, visitor_ids: Iterable[str], now: datetime) -> None:
    """Notes that these visitors hold a stream now; where Redis does not answer, nobody is the worse for it."""
    moments = dict.fromkeys(visitor_ids, now.timestamp())
    if not moments:
        return
    try:
        pipeline = client.pipeline(transaction=False)
        pipeline.zadd(_key(site_id), moments)
        pipeline.expire(_key(site_id), KEPT_SECONDS * 2)
        pipeline.execute()
    except redis.RedisError as error:
        log.warning("here_not_noted", reason=str(error)[:200])


def holding(client: redis.Redis, site_id: str, now: datetime) -> list[str]:
    """The visitors who hold a stream, those with the latest sign first; none where Redis does not answer.

    A visitor may be named by an id that was merged into another since.
    """
    since = now.timestamp() - KEPT_SECONDS
    try:
        pipeline = client.pipeline(transaction=False)
        pipeline.zremrangebyscore(_key(site_id), "-inf", f"({since}")
        pipeline.zrevrangebyscore(_key(site_id), "+inf", since, start=0, num=MOST)
        found = pipeline.execute()[1]
    except redis.RedisError as error:
        log.warning("here_not_read", reason=str(error)[:200])
        return []
    return [each.decode() if isinstance(each, bytes) else str(each) for each in found]


def unnoted(client: redis.Redis, reader: str, visitor_ids: Iterable[str], seconds: int) -> list[str]:
    """Of these visitors those whom this reader has not been shown within so many seconds; they count as shown now.

    All of them where Redis does not answer.
    """
    ids = list(visitor_ids)
    try:
        pipeline = client.pipeline(transaction=False)
        for each in ids:
            pipeline.set(f"chimein:shown:{reader}:{each}", b"", nx=True, ex=seconds)
        fresh = pipeline.execute()
    except redis.RedisError:
        return ids
    return [each for each, new in zip(ids, fresh, strict=True) if new]


def _key(site_id: str) -> str:
    return f"chimein:here:{site_id}"
