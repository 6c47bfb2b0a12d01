"""The bell: RQ jobs that tell a worker which messages to look at; the promise itself is the message's row in SQL."""

from collections.abc import Sequence

import redis
import rq
import structlog
from rq.serializers import JSONSerializer

NAME = "deliver"
"""The one queue: a worker that listens on two loses jobs when it dies between them."""

JOB = "backend.jobs.deliver_job"
PER_JOB = 50
"""Messages per job: RQ's own cost is per job, and a mail connection is used again within one."""

JOB_SECONDS = 600
"""After this long RQ takes a job for abandoned; a job ends itself well before."""

MOST_WAITING = 2_000
"""Jobs waiting above which the bell stays silent: no worker is there, and Redis must not grow for it."""

Ref = tuple[str, str]
"""A message's visitor id and id."""

log = structlog.get_logger(__name__)


class Queue:
    """Rings for messages; a ring that gets lost is made up for by the tick, so nothing here raises."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        # JSON, not pickle: whoever can write to Redis must not be able to run code here.
        self._rq = rq.Queue(NAME, connection=client, serializer=JSONSerializer)

    def enqueue(self, message_refs: Sequence[Ref]) -> bool:
        """Rings once per `PER_JOB` messages; False when the bell did not sound, which is logged and harmless."""
        if not message_refs:
            return True
        try:
            if self._rq.count >= MOST_WAITING:
                log.warning("queue_full", waiting=MOST_WAITING, messages=len(message_refs))
                return False
            self._rq.enqueue_many(
                [_job(message_refs[at : at + PER_JOB]) for at in range(0, len(message_refs), PER_JOB)]
            )
        except redis.RedisError as error:
            log.warning("queue_unreachable", messages=len(message_refs), error=str(error))
            return False
        return True

    def waiting(self) -> int:
        """How many jobs no worker has begun; raises redis.RedisError."""
        return int(self._rq.count)


def _job(refs: Sequence[Ref]) -> rq.queue.EnqueueData:
    # No Retry, no result, no long memory: whether a message arrived is written in SQL only.
    return rq.Queue.prepare_data(
        JOB,
        args=([list(ref) for ref in refs],),
        timeout=JOB_SECONDS,
        result_ttl=0,
        failure_ttl=3600,
        description=f"{len(refs)} messages",
    )
