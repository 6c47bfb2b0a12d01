"""What happens to a batch? It is sent until the server has it or hope is gone, and then that is told."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from chimein.errors import DeliveryError, EventRejected
from chimein.report import Reporter, log
from chimein.transport import Answer, Transport

FIRST_WAIT = 0.5
LONGEST_BACKOFF = 30.0
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, *range(506, 600)})
SPLITTABLE = frozenset({400, 413})
"""Statuses that may be the fault of one event in the batch."""


class Delivery:
    """Delivers one batch at a time: retries, isolates bad events, reports; raises nothing."""

    def __init__(self, transport: Transport, reporter: Reporter, *, retries: int, timeout: float) -> None:
        self._transport = transport
        self._reporter = reporter
        self._retries = retries
        self._timeout = timeout
        self.reset()

    def reset(self) -> None:
        """Begins anew without the connection and the locks: what a forked child needs."""
        self._transport.close()
        self._turn = threading.Lock()
        self._deadline = math.inf
        self._hurried = threading.Event()

    def hurry(self, deadline: float) -> None:
        """From now on no attempt begins and no wait ends after `deadline` (of the monotonic clock)."""
        self._deadline = deadline
        self._hurried.set()

    def disconnect(self) -> None:
        """Closes the connection, unless a batch is just under way on it."""
        if self._turn.acquire(blocking=False):
            try:
                self._transport.close()
            finally:
                self._turn.release()

    def deliver(self, events: Sequence[bytes]) -> bool:
        """Delivers the events, in order; True if the server took every one of them."""
        with self._turn:
            delivered = True
            parts = [events]
            while parts:
                part = parts.pop()
                try:
                    delivered &= self._refusals(part, self._send(part)) == 0
                except DeliveryError as error:
                    if error.status in SPLITTABLE and len(part) > 1:
                        middle = len(part) // 2
                        parts += [part[middle:], part[:middle]]
                    else:
                        self._reporter.failed(error, part)
                        delivered = False
            return delivered

    def _send(self, events: Sequence[bytes]) -> Answer:
        """The server's 2xx; raises `DeliveryError` when it refuses for good, or when retries or time are used up."""
        attempt = 0
        while True:
            answer, trouble = self._attempt(events)
            if answer is not None:
                if 200 <= answer.status < 300:
                    return answer
                if answer.status not in RETRYABLE:
                    raise DeliveryError(f"the server answered {trouble}", answer.status)
            status = answer.status if answer is not None else None
            if attempt >= self._retries:
                raise DeliveryError(f"given up after {attempt + 1} attempts: {trouble}", status)
            if not self._wait(attempt, answer.retry_after if answer is not None else None):
                raise DeliveryError(f"closed before it could be sent: {trouble}", status)
            attempt += 1
            log.debug("attempt %d for %d event(s): %s", attempt + 1, len(events), trouble)

    def _attempt(self, events: Sequence[bytes]) -> tuple[Answer | None, str]:
        """The server's answer and how to speak of it; no answer where the network failed."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            return None, "no time left"
        try:
            answer = self._transport.post(events, min(self._timeout, remaining))
        except Exception as error:  # whatever it is, the events are worth another attempt
            return None, repr(error)
        return answer, f"{answer.status} {answer.reason}: {answer.body[:200].decode('utf-8', 'replace')}"

    def _wait(self, attempt: int, retry_after: float | None) -> bool:
        """Waits before the next attempt; False if the deadline leaves no room for one.

        Full jitter, so that clients which failed together do not come back together, on top of what the server
        asked for.
        """
        now = time.monotonic()
        earliest = now + (retry_after or 0.0)
        until = earliest + random.uniform(0, min(LONGEST_BACKOFF, FIRST_WAIT * 2.0**attempt))  # noqa: S311
        if self._hurried.wait(until - now):
            # The end is near: our own back-off shrinks so that attempts still fit; what the server asked for stands.
            now = time.monotonic()
            if earliest >= self._deadline:
                return False
            time.sleep(max(0.0, min(until, max(earliest, (now + self._deadline) / 2)) - now))
        return time.monotonic() < self._deadline

    def _refusals(self, events: Sequence[bytes], answer: Answer) -> int:
        """How many events the server refused although it took the batch; each is told."""
        refused = 0
        for entry in _rejected(answer.body):
            index = entry.get("index")
            if isinstance(index, int) and 0 <= index < len(events):
                error = EventRejected(
                    str(entry.get("code", "rejected")), str(entry.get("message", "refused by the server"))
                )
                self._reporter.failed(error, [events[index]])
                refused += 1
        return refused


def _rejected(body: bytes) -> list[dict[str, Any]]:
    """The answer's list of refused events; empty for servers that send none."""
    if b'"rejected"' not in body:
        return []
    try:
        entries = json.loads(body)["rejected"]
    except (ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
