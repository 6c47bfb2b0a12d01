"""The worker: listens for the bell (RQ), delivers the messages that it names, and calls the webhooks."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis
import rq
import structlog
from redis.client import Pipeline
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from backend.channels.base import Channel
from backend.channels.directory import open_channels
from backend.channels.email import EmailChannel
from backend.pipeline.call_out import Callers
from backend.pipeline.deliver import deliver
from backend.pipeline.mail_out import Mailer
from backend.runtime import Runtime
from backend.storage.queue import NAME, WEBHOOKS

log = structlog.get_logger(__name__)

LONGEST_WAIT = 30.0
"""Seconds between two tries to reach Redis."""


@dataclass(frozen=True, slots=True)
class _Process:
    """What this process works with."""

    rt: Runtime
    channels: Mapping[str, Channel]
    callers: Callers
    stop: threading.Event


# RQ calls a job by its name and can hand it nothing but JSON. So this one module remembers what `work` was given: the
# connections, and the circuit of the mail server, which must outlive a job.
_process: _Process | None = None


def deliver_job(refs: Sequence[Sequence[str]]) -> None:
    """The job: delivers these messages, each `[visitor id, message id]`."""
    if _process is None:
        raise RuntimeError("A job runs only within `work`.")
    pairs = [(visitor_id, message_id) for visitor_id, message_id in refs]
    deliver(_process.rt, pairs, _process.channels, _process.stop.is_set)


def webhook_job(refs: Sequence[Sequence[str]]) -> None:
    """The job: hands these webhooks, each `[visitor id, webhook id]`, to the threads that call them, and ends."""
    if _process is None:
        raise RuntimeError("A job runs only within `work`.")
    _process.callers.add([(visitor_id, webhook_id) for visitor_id, webhook_id in refs])


def work(rt: Runtime, stop: threading.Event) -> None:
    """Works until `stop`; each kind in threads of its own: webhooks, mails of rules, and those of conversations."""
    global _process
    callers = Callers(rt)
    channels = open_channels(rt.settings)
    _process = _Process(rt, channels, callers, stop)
    beside = threading.Thread(target=_listen, args=(rt, WEBHOOKS, stop), daemon=True, name="webhooks")
    beside.start()
    email = channels["email"]
    talks = threading.Thread(target=_talk, args=(rt, email, stop), daemon=True, name="talks")
    talks.start()
    try:
        _listen(rt, NAME, stop)
    finally:
        callers.close(2.0)  # what is cut off then is sent again, with the same id
        beside.join(5)
        talks.join(5)


def _talk(rt: Runtime, channel: Channel, stop: threading.Event) -> None:
    """Carries conversations on by mail until `stop`."""
    if isinstance(channel, EmailChannel):
        Mailer(rt, channel).run(stop)


def _listen(rt: Runtime, queue: str, stop: threading.Event) -> None:
    """Works on one queue until `stop`; while Redis is away it keeps trying, less often each time."""
    wait = 0.5
    while not stop.is_set():
        try:
            worked = _worker(rt.redis, queue, stop).work(logging_level="WARNING")
        except redis.RedisError as error:
            log.warning("queue_unreachable", error=str(error), retry_in=wait)
            worked = False
        wait = 0.5 if worked else min(wait * 2, LONGEST_WAIT)
        stop.wait(wait)


def _worker(client: redis.Redis, queue: str, stop: threading.Event) -> "_Worker":
    worker = _Worker(
        # Exactly one queue: only then does RQ move a job in one step, so that no death can lose it.
        [rq.Queue(queue, connection=client, serializer=JSONSerializer)],
        connection=client,
        serializer=JSONSerializer,
        worker_ttl=25,
        maintenance_interval=10,
    )
    worker.stop = stop
    return worker


class _NoDeathPenalty(BaseDeathPenalty):
    """None: an exception thrown into a job could fall between the mail server's answer and our record of it.

    Every step of a job has a time limit of its own.
    """

    def setup_death_penalty(self) -> None:
        """Nothing to set up."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class _Worker(rq.SimpleWorker):
    """RQ's worker without fork (four times as fast), which ends when `stop` is set."""

    death_penalty_class = _NoDeathPenalty
    max_connection_wait_time = 4.0
    stop: threading.Event

    @property
    def dequeue_timeout(self) -> int:
        """Seconds to block on the queue: so long an end may take."""
        return 1

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Called between two jobs, and each time that waiting for one has ended."""
        if self.stop.is_set():
            raise StopRequested
        super().heartbeat(timeout, pipeline)

    def subscribe(self) -> None:
        """RQ's remote commands are not used; a thread less."""

    def unsubscribe(self) -> None:
        """See `subscribe`."""

    def _install_signal_handlers(self) -> None:
        """Whoever runs the process has theirs, and sets `stop`."""
