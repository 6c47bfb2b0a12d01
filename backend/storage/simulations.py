"""Summaries of simulations, kept in Redis for some minutes, so that a further page need not compute all of it again."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import redis

PREFIX = "chimein:simulated:"
KEPT_SECONDS = 15 * 60


def remember(client: redis.Redis, key: str, summary: Mapping[str, Any]) -> None:
    """Keeps a summary for a while; without Redis it is computed again."""
    with suppress(redis.RedisError):
        client.set(PREFIX + key, json.dumps(summary), ex=KEPT_SECONDS)


def recall(client: redis.Redis, key: str) -> dict[str, Any] | None:
    """The summary, where it is still kept."""
    with suppress(redis.RedisError):
        text = client.get(PREFIX + key)
        return None if text is None else cast(dict[str, Any], json.loads(cast(bytes, text)))
    return None
