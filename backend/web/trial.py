"""Simulations as they are answered, by the API and the console alike: few at a time, told of as they go on."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Response, current_app

from backend.errors import TooManyRequests
from backend.pipeline.simulated import Progress, SimulationResult

LINES = "application/x-ndjson"
AT_ONCE = 2
"""Simulations that one process runs at a time."""
TOLD_EVERY = 0.25
"""Seconds between two lines of progress."""

logger = logging.getLogger(__name__)


class Slot:
    """The right to simulate; there are few, because each takes all of a core."""

    def __init__(self) -> None:
        self._free: threading.BoundedSemaphore = current_app.extensions.setdefault(
            "chimein-simulations", threading.BoundedSemaphore(AT_ONCE)
        )
        if not self._free.acquire(blocking=False):
            raise TooManyRequests(f"{AT_ONCE} simulations are running; this one must wait for them.", retry_after=5)
        self._held = True

    def release(self) -> None:
        """Gives it back; a second time does nothing."""
        if self._held:
            self._held = False
            self._free.release()


def lines(
    steps: Iterator[Progress | SimulationResult],
    slot: Slot,
    told: Callable[[SimulationResult], Mapping[str, Any]],
) -> Response:
    """An answer of lines, each a JSON object: how far it is, now and then, and last what is `told` of the result."""
    response = Response(_lines(steps, slot, told), mimetype=LINES)
    response.call_on_close(slot.release)
    return response


def _lines(
    steps: Iterator[Progress | SimulationResult], slot: Slot, told: Callable[[SimulationResult], Mapping[str, Any]]
) -> Iterator[str]:
    told_at = 0.0
    try:
        for step in steps:
            if isinstance(step, SimulationResult):
                slot.release()  # before the last line, which a slow reader may leave lying
                yield json.dumps(told(step)) + "\n"
            elif time.monotonic() - told_at >= TOLD_EVERY:
                told_at = time.monotonic()
                share = round(step.share, 4)
                yield json.dumps({"progress": share, "visitors": step.visitors, "events": step.events}) + "\n"
    except Exception as error:
        logger.error("a simulation broke off", exc_info=error)
        wrong = {"code": "internal", "status": 500, "message": "Something went wrong here; it has been logged."}
        yield json.dumps({**wrong, "errors": {}}) + "\n"
    finally:
        slot.release()
