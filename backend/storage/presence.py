"""Who has the console open: the heartbeats of operators in Redis, by site, forgotten after a day."""

from datetime import datetime

import redis

from backend.domain.presence import Beat
from backend.storage.times import from_micros, to_micros

KEPT_SECONDS = 86_400


def beat(client: redis.Redis, site_id: str, operator_id: str, now: datetime, *, active: bool) -> None:
    """Notes that an operator's console is there, and whether its operator has just done something."""
    pipeline = client.pipeline(transaction=True)
    moment = to_micros(now)
    pipeline.zadd(_key(site_id, "heard"), {operator_id: moment}, gt=True)
    # The beat of an idle console says nothing of its operator, but where nothing else is known of them.
    pipeline.zadd(_key(site_id, "active"), {operator_id: moment}, gt=active, nx=not active)
    for name in ("heard", "active"):
        pipeline.expire(_key(site_id, name), KEPT_SECONDS)
    pipeline.execute()


def leave(client: redis.Redis, site_id: str, operator_id: str) -> None:
    """Forgets an operator's console, as when they log out."""
    for name in ("heard", "active"):
        client.zrem(_key(site_id, name), operator_id)


def beats(client: redis.Redis, site_id: str) -> dict[str, Beat]:
    """What is known of each operator's console on a site."""
    pipeline = client.pipeline(transaction=True)
    for name in ("heard", "active"):
        pipeline.zrange(_key(site_id, name), 0, -1, withscores=True)
    heard, active = pipeline.execute()
    moments = {_text(each): int(score) for each, score in active}
    return {
        _text(each): Beat(from_micros(int(score)), from_micros(moments.get(_text(each), int(score))))
        for each, score in heard
    }


def _key(site_id: str, name: str) -> str:
    return f"chimein:presence:{site_id}:{name}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
