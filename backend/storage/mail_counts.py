"""What is remembered of incoming mails for a while, in Redis: how many a conversation got, and signatures."""

import time
from datetime import timedelta

import redis

PREFIX = "chimein:mails:"


def add(client: redis.Redis, conversation_id: str, mail_id: str, span: timedelta) -> int:
    """Counts a mail, unless it was counted before; returns its place among those of a `span`, the first one's is 1."""
    key = f"{PREFIX}{conversation_id}"
    pipe = client.pipeline()
    pipe.zadd(key, {mail_id: time.time()}, nx=True)
    pipe.expire(key, int(span.total_seconds()), nx=True)
    pipe.zrank(key, mail_id)
    return int(pipe.execute()[-1]) + 1


def count(client: redis.Redis, conversation_id: str) -> int:
    """How many were counted lately."""
    return int(client.zcard(f"{PREFIX}{conversation_id}"))


def first(client: redis.Redis, token: str, content: str, span: timedelta) -> bool:
    """Whether a provider's token comes for the first time in this span, or again with the same content."""
    key = f"{PREFIX}token:{token}"
    return bool(client.set(key, content, ex=int(span.total_seconds()), nx=True)) or client.get(key) == content.encode()
