"""Who hears of trouble? The callbacks that the host gave, and the log `chimein`; never the host's own control flow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from chimein.errors import ChimeinError

Event = dict[str, Any]
OnError = Callable[[ChimeinError, list[Event]], object]
OnDrop = Callable[[Event], object]

log = logging.getLogger("chimein")

QUIET_SECONDS = 60.0
"""Drops come by the thousand: the log hears of them once in this time."""


class Reporter:
    """Tells of errors and drops; a callback that raises is logged and goes no further."""

    def __init__(self, on_error: OnError | None = None, on_drop: OnDrop | None = None) -> None:
        self._on_error = on_error
        self._on_drop = on_drop
        self._dropped = 0
        self._quiet_until = 0.0

    def failed(self, error: ChimeinError, events: Sequence[bytes | Event]) -> None:
        """Tells that these events will not arrive, and why."""
        log.error("%d event(s) not delivered: %s", len(events), error)
        if self._on_error is not None:
            self._call(self._on_error, error, [_readable(event) for event in events])

    def dropped(self, event: bytes, why: str) -> None:
        """Tells that an event was not even queued."""
        self._dropped += 1
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            log.warning("%s: %d event(s) dropped so far", why, self._dropped)
        if self._on_drop is not None:
            self._call(self._on_drop, _readable(event))

    @staticmethod
    def _call(callback: Callable[..., object], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("the callback %r raised", callback)


def _readable(event: bytes | Event) -> Event:
    """An event as the host knows it; queued events are bytes."""
    if not isinstance(event, bytes):
        return event
    decoded: Event = json.loads(event)
    return decoded
