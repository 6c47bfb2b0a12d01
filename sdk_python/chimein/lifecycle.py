"""What happens when a process ends, or forks? Queues are flushed, in bounded time, and a child begins empty."""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from chimein.batcher import Batcher

_batchers: WeakSet[Batcher] = WeakSet()
_hooked_process: int | None = None


def register(batcher: Batcher) -> None:
    """Remembers the batcher, weakly, for exit and fork."""
    _batchers.add(batcher)


def close_all() -> None:
    """Flushes and closes all batchers side by side, each within its own `exit_timeout`."""
    now = time.monotonic()
    batchers = list(_batchers)
    for batcher in batchers:
        batcher.begin_close(now + batcher.exit_timeout)
    for batcher in batchers:
        batcher.finish_close(now + batcher.exit_timeout)


def flush_in_worker_processes() -> None:
    """Asks multiprocessing to flush at the end of its child process, which runs no `atexit` functions."""
    global _hooked_process
    util = sys.modules.get("multiprocessing.util")
    if util is None or _hooked_process == os.getpid():
        return
    _hooked_process = os.getpid()
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        util.Finalize(None, close_all, exitpriority=-100)


def _reset_in_child() -> None:
    for batcher in list(_batchers):
        batcher.restart_after_fork()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
