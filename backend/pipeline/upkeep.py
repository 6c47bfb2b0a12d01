"""The step `upkeep`: takes leases back, rings and calls again where that may have got lost, ends and forgets."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog

from backend.channels.directory import open_channels
from backend.channels.onsite import notes
from backend.pipeline import access, log_in
from backend.pipeline.announce import Announcer
from backend.pipeline.attach import forget_unsaid
from backend.pipeline.catch_up_products import CatchUp
from backend.pipeline.choose import Chooser
from backend.pipeline.converse import awake
from backend.pipeline.count import count_messages
from backend.pipeline.digest import send_digests
from backend.pipeline.erase import scrub
from backend.pipeline.fallback import Fallback
from backend.pipeline.fetch_feeds import Fetcher
from backend.pipeline.learn_intervals import IntervalLearner
from backend.pipeline.let_go import let_go
from backend.pipeline.relate import Relater
from backend.pipeline.retain import Retainer
from backend.pipeline.route import Router
from backend.pipeline.sweep import Sweeper
from backend.runtime import Runtime
from backend.storage import deliveries, sites, webhooks
from backend.storage.database import is_transient
from backend.storage.queue import WEBHOOKS

log = structlog.get_logger(__name__)

MOST_WAITING = 20
"""Jobs that no worker has begun above which the tick does not ring: it would ring for the same messages again."""

AT_ONCE = 500

PIECES = 20
"""Pieces of one site's old webhooks that are removed in one turn: other tasks, and other writers, get theirs."""

GRACE = timedelta(seconds=3)
"""So long a page has to show a message before it is called again."""


@dataclass(slots=True)
class Task:
    """Something to be done every so many seconds."""

    name: str
    every: float
    do: Callable[[], object]
    next_at: float = 0.0
    failing: bool = False


def run(rt: Runtime, stop: threading.Event) -> None:
    """Runs until `stop`; a task that fails is logged and costs the others nothing."""
    channels = open_channels(rt.settings)
    idempotent = [name for name, channel in channels.items() if channel.idempotent]
    tasks = [
        Task("recover", 1, lambda: recover(rt, idempotent)),
        Task("ring", 1, lambda: ring(rt)),
        Task("recover_webhooks", 1, lambda: recover_webhooks(rt)),
        Task("ring_webhooks", 1, lambda: ring_webhooks(rt)),
        Task("call", 5, Caller(rt).call),
        Task("fall_back", 1, Fallback(rt).run),
        Task("sweep", 1, Sweeper(rt).run),
        Task("announce", 1, Announcer(rt).run),
        Task("catch_up_products", 1, CatchUp(rt).run),
        Task("relate", 1, Relater(rt).run),
        Task("fetch_feeds", 5, Fetcher(rt).call),
        Task("choose", 30, Chooser(rt).run),
        Task("learn_intervals", 1, IntervalLearner(rt).run),
        Task("expire", 10, lambda: expire(rt)),
        Task("forget_webhooks", 10, lambda: forget_webhooks(rt)),
        Task("awake", 1, lambda: awake(rt)),
        Task("route", 1, Router(rt).run),
        Task("digest", 30, lambda: send_digests(rt, channels["email"])),
        Task("forget_unsaid", 300, lambda: forget_unsaid(rt)),
        Task("expire_sessions", 600, lambda: log_in.expire(rt)),
        Task("access", 1, lambda: access.bring_in(rt)),
        Task("expire_access", 600, lambda: access.expire(rt)),
        Task("retain", 5, Retainer(rt).run),
        Task("let_go", 60, lambda: let_go(rt)),
        Task("scrub", 10, lambda: scrub(rt)),
    ]
    while not stop.is_set():
        tick(tasks, time.monotonic())
        stop.wait(1)


def tick(tasks: list[Task], now: float) -> None:
    """Runs each task that is due at `now` (seconds of any clock that only goes forward)."""
    for task in tasks:
        if task.next_at > now:
            continue
        task.next_at = now + task.every
        try:
            task.do()
        except Exception as error:
            if is_transient(error) and not task.failing:
                log.warning("upkeep_waits", task=task.name, reason=str(error)[:200])  # as when the database is busy
            else:
                # The whole story once; what is down for an hour must not fill the disk.
                log.error("upkeep_failed", task=task.name, error=str(error), exc_info=not task.failing)
            task.failing = True
        else:
            task.failing = False


def recover(rt: Runtime, idempotent: Collection[str]) -> None:
    """Takes back what dead workers had claimed; `idempotent` names channels where sending twice is as once."""
    with rt.db.begin() as conn:
        again, lost = deliveries.recover(conn, rt.clock(), idempotent)
        count_messages(conn, rt.sites, lost, "uncertain")
    if again or lost:
        log.warning("leases_lapsed", queued_again=again, unknown=len(lost))


def ring(rt: Runtime) -> None:
    """Rings for messages that have been due for a while, unless workers have enough to do."""
    if rt.queue.waiting() >= MOST_WAITING:
        return
    with rt.db.read() as conn:
        refs = deliveries.due_refs(conn, rt.clock(), AT_ONCE)
    if refs:
        rt.queue.enqueue(refs)


def recover_webhooks(rt: Runtime) -> None:
    """Takes back the webhooks that dead workers had claimed."""
    with rt.db.begin() as conn:
        again = webhooks.recover(conn, rt.clock())
    if again:
        log.warning("webhook_leases_lapsed", queued_again=again)


def ring_webhooks(rt: Runtime) -> None:
    """Rings for webhooks whose next try is due, unless workers have enough to do."""
    if rt.queue.waiting(WEBHOOKS) >= MOST_WAITING:
        return
    with rt.db.read() as conn:
        refs = webhooks.due_refs(conn, rt.clock(), AT_ONCE)
    if refs:
        rt.queue.enqueue(refs, WEBHOOKS)


def forget_webhooks(rt: Runtime) -> int:
    """Removes the webhooks whose site keeps them no longer, a piece at a time; returns how many."""
    now, forgotten = rt.clock(), 0
    with rt.db.read() as conn:
        found = sites.all_sites(conn, rt.sites.vault)
    for site in found:
        before = now - site.policy.webhook_retention
        for _ in range(PIECES):
            with rt.db.begin() as conn:
                removed = webhooks.forget(conn, site.id, before, AT_ONCE)
            forgotten += removed
            if removed < AT_ONCE:
                break
    if forgotten:
        log.info("webhooks_forgotten", count=forgotten)
    return forgotten


class Caller:
    """Calls each page once more, some seconds after a message was made: whoever made it may have died before."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._since = rt.clock() - timedelta(minutes=1)

    def call(self) -> None:
        """Sends on what has come since the last time, and which no page has shown."""
        until = self._rt.clock() - GRACE
        with self._rt.db.read() as conn:
            missed = deliveries.to_call_again(conn, self._since, until)
        self._rt.live.publish(notes(missed))
        self._since = until


def expire(rt: Runtime) -> None:
    """Ends what nobody fetched in time."""
    with rt.db.begin() as conn:
        expired = deliveries.expire(conn, rt.clock())
        count_messages(conn, rt.sites, expired, "expired")
    if expired:
        log.info("messages_expired", count=len(expired))
