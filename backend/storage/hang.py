"""Notices a server that takes commands and answers none, so that only the first caller waits for it in vain."""

import threading
import time
from collections.abc import Callable

import redis

PAUSE = 0.5


class Hang:
    """Is on from the moment that a caller waited in vain until a thread of its own gets an answer to `ping`."""

    def __init__(self, ping: Callable[[], object]) -> None:
        self._ping = ping
        self._lock = threading.Lock()
        self.is_on = False

    def noticed(self, error: redis.RedisError) -> None:
        """An error came: only one that says that time ran out tells of a hang."""
        if not isinstance(error, redis.TimeoutError):
            return
        with self._lock:
            if self.is_on:
                return
            self.is_on = True
        threading.Thread(target=self._wait_for_life, name="hang", daemon=True).start()

    def _wait_for_life(self) -> None:
        while True:
            try:
                self._ping()
                break
            except (redis.RedisError, OSError):
                time.sleep(PAUSE)
        self.is_on = False
