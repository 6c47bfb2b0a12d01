"""The bell: RQ jobs that tell a worker which messages or webhooks to look at; the promise itself is a row in SQL."""

from collections.abc import Sequence

import redis
import rq
import structlog
from rq.serializers import JSONSerializer

NAME = "deliver"
WEBHOOKS = "webhooks"
"""Two queues, each with workers of its own: a worker that listens on two loses jobs when it dies between them."""

JOBS = {NAME: "backend.jobs.deliver_job", WEBHOOKS: "backend.jobs.webhook_job"}
PER_JOB = 50
"""Messages per job: RQ's own cost is per job, and a mail connection is used again within one."""

JOB_SECONDS = 600
"""After this long RQ takes a job for abandoned; a job ends itself well before."""

MOST_WAITING = 2_000
"""Jobs waiting above which the bell stays silent: no worker is there, and Redis must not grow for it."""

Ref = tuple[str, str]
"""The visitor id and the id of a message, or of a webhook."""

log = structlog.get_logger(__name__)


class Queue:
    """Rings for messages; a ring that gets lost is made up for by the tick, so nothing here raises."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        # JSON, not pickle: whoever can write to Redis must not be able to run code here.
        self._rq = {name: rq.Queue(name, connection=client, serializer=JSONSerializer) for name in JOBS}

    def enqueue(self, refs: Sequence[Ref], name: str = NAME) -> bool:
        """Rings once per `PER_JOB` messages; False when the bell did not sound, which is logged and harmless."""
        if not refs:
            return True
        queue = self._rq[name]
        try:
            if queue.count >= MOST_WAITING:
                log.warning("queue_full", queue=name, waiting=MOST_WAITING, rings_for=len(refs))
                return False
            queue.enqueue_many([_job(name, refs[at : at + PER_JOB]) for at in range(0, len(refs), PER_JOB)])
        except redis.RedisError as error:
            log.warning("queue_unreachable", queue=name, rings_for=len(refs), error=str(error))
            return False
        return True

    def waiting(self, name: str = NAME) -> int:
        """How many jobs no worker has begun; raises redis.RedisError."""
        return int(self._rq[name].count)


def _job(name: str, refs: Sequence[Ref]) -> rq.queue.EnqueueData:
    # No Retry, no result, no long memory: whether a message arrived is written in SQL only.
    return rq.Queue.prepare_data(
        JOBS[name],
        args=([list(ref) for ref in refs],),
        timeout=JOB_SECONDS,
        result_ttl=0,
        failure_ttl=3600,
        description=f"{len(refs)} of {name}",
    )
