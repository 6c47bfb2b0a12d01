"""How many mails a conversation got lately: counted in Redis, each once, for an hour."""

from datetime import timedelta

import redis

PREFIX = "chimein:mails:"


def add(client: redis.Redis, conversation_id: str, mail_id: str, span: timedelta) -> int:
    """Counts a mail, unless it was counted before; returns how many came since the first one, within `span`."""
    key = f"{PREFIX}{conversation_id}"
    pipe = client.pipeline()
    pipe.sadd(key, mail_id)
    pipe.expire(key, int(span.total_seconds()), nx=True)
    pipe.scard(key)
    return int(pipe.execute()[-1])
