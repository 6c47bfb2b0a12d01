"""Where do events wait? In a bounded queue that a background thread empties in batches, by count, by bytes, by time.

Whoever calls `put` takes no lock and never waits: a deque's `append` is atomic, and the thread is woken only when a
batch is full or when it slept for want of work. That also makes `put` safe in signal handlers and finalisers.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque

from chimein import lifecycle
from chimein.delivery import Delivery
from chimein.errors import DeliveryError
from chimein.report import Reporter, log
from chimein.transport import ENVELOPE

GRACE = 0.25
"""Seconds past its deadline that the thread has to tell what it gave up."""


class _Mark(threading.Event):
    """A place in the queue; set when everything before it has been dealt with."""


class Batcher:
    """A queue of encoded events and the thread that delivers them."""

    def __init__(
        self,
        delivery: Delivery,
        reporter: Reporter,
        *,
        queue_size: int,
        batch_size: int,
        flush_interval: float,
        max_batch_bytes: int,
        exit_timeout: float,
    ) -> None:
        self._delivery = delivery
        self._reporter = reporter
        self._queue_size = queue_size
        self._batch_size = batch_size
        self._flush_interval = flush_interval
        self._max_batch_bytes = max_batch_bytes - ENVELOPE
        self.exit_timeout = exit_timeout
        self._closing = False
        self._begin()
        lifecycle.register(self)

    def restart_after_fork(self) -> None:
        """Begins anew, empty and without a thread, in a forked child; the parent keeps its own events."""
        self._delivery.reset()
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[bytes | _Mark] = deque()
        self._marks: set[_Mark] = set()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake_at = sys.maxsize
        # A lock as a binary signal: `release` wakes the thread and, unlike `Event.set`, does not deadlock when a signal
        # handler that calls `put` interrupts it.
        self._signal = threading.Lock()
        self._signal.acquire()

    def put(self, event: bytes) -> bool:
        """Queues the event and returns at once; False if the queue is full or closed."""
        queue = self._queue
        if self._closing or len(queue) >= self._queue_size:
            self._reporter.dropped(event, "the client is closed" if self._closing else "the queue is full")
            return False
        queue.append(event)
        if self._thread is None:
            self._start()
        if len(queue) >= self._wake_at:
            self._wake()
        return True

    def flush(self, timeout: float | None) -> bool:
        """Waits until what was queued before has been dealt with; False if `timeout` seconds were not enough."""
        if self._thread is None and not self._queue:
            return True
        if self._thread is threading.current_thread():
            return False  # called from a callback: waiting for oneself would take for ever
        deadline = None if timeout is None else time.monotonic() + timeout
        mark = _Mark()
        self._marks.add(mark)
        self._queue.append(mark)
        while True:
            thread = self._thread or self._start()
            if thread is None or not thread.is_alive():
                self._drain()
            self._wake()
            wait = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if mark.wait(max(0.0, wait)):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def begin_close(self, deadline: float | None) -> None:
        """Accepts no more; what is queued is still sent, up to `deadline` (of the monotonic clock) if there is one."""
        self._closing = True
        if deadline is not None:
            self._delivery.hurry(deadline)
        self._wake()

    def finish_close(self, deadline: float) -> bool:
        """Waits for the end of what `begin_close` began; True if nothing was left behind."""
        with self._starting:
            thread = self._thread
        if thread is threading.current_thread():
            return False
        if thread is not None:
            thread.join(max(0.0, deadline + GRACE - time.monotonic()))
        is_stuck = thread is not None and thread.is_alive()
        if not is_stuck:
            self._drain()  # a late interpreter starts no threads: then this one does the work
            self._delivery.disconnect()
        left = [item for item in self._queue if isinstance(item, bytes)]
        self._queue.clear()
        if left:
            self._reporter.failed(DeliveryError("closed before they could be sent"), left)
        return not left and not is_stuck

    def _start(self) -> threading.Thread | None:
        """The running thread, started if need be; None where it cannot be, or while another caller starts it."""
        if not self._starting.acquire(blocking=False):
            return None
        try:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chimein", daemon=True)
                self._thread.start()
                lifecycle.flush_in_worker_processes()
        except RuntimeError as error:
            self._thread = None  # the next call tries again, and closing sends what waits
            log.debug("no thread could be started: %s", error)
        finally:
            self._starting.release()
        return self._thread

    def _wake(self) -> None:
        if self._signal.locked():
            with contextlib.suppress(RuntimeError):  # somebody else was faster
                self._signal.release()

    def _run(self) -> None:
        try:
            while self._gather():
                self._wake_at = sys.maxsize
                self._deliver_next()
            self._delivery.disconnect()
        finally:
            self._thread = None

    def _gather(self) -> bool:
        """Sleeps until a batch is due; False when the queue is closed and empty."""
        self._wake_at = 1
        while not self._queue:
            if self._closing:
                return False
            self._signal.acquire()
        self._wake_at = self._batch_size
        deadline = time.monotonic() + self._flush_interval
        while len(self._queue) < self._batch_size and not self._marks and not self._closing:
            if not self._signal.acquire(timeout=max(0.0, deadline - time.monotonic())):
                break
        return True

    def _deliver_next(self) -> None:
        """Delivers one batch from the head of the queue, and sets the mark behind it if there is one."""
        queue = self._queue
        batch: list[bytes] = []
        size = 0
        mark = None
        while queue and len(batch) < self._batch_size:
            item = queue[0]
            if isinstance(item, _Mark):
                mark = item
                queue.popleft()
                break
            size += len(item) + 1
            if batch and size > self._max_batch_bytes:
                break
            batch.append(item)
            queue.popleft()
        try:
            if batch:
                self._delivery.deliver(batch)
        except Exception as error:  # a mistake of ours must not end the thread
            log.exception("unexpected")
            self._reporter.failed(DeliveryError(f"lost by a mistake of this library: {error!r}"), batch)
        finally:
            if mark is not None:
                self._marks.discard(mark)
                mark.set()

    def _drain(self) -> None:
        """Delivers everything in the calling thread, where there is no other to do it."""
        with self._starting:
            while self._queue and self._thread is None:
                self._deliver_next()
