"""One supervised process: started, watched, started again with back-off, ended."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.ops.children import PARENT, die_with_parent, kill_group

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
PROVEN_AFTER = 30.0
"""Seconds alive after which a part counts as sound, and its next death as its first."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a part is started and ended; `group` orders the ends: 0 first."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    group: int = 1
    grace: float = 3.0
    dies_with: signal.Signals = signal.SIGKILL


class Part:
    """The running side of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self._born = 0.0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process is not None else None

    def start(self) -> "subprocess.Popen[bytes]":
        """Starts it; what it writes comes through a pipe."""
        self._born = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - a command of our own plan
            list(self.plan.command),
            env={**os.environ, **self.plan.environ, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then ends all in order.
            start_new_session=True,
            preexec_fn=die_with_parent(self.plan.dies_with),  # safe: the supervisor has one thread
        )
        return self.process

    def look(self, now: float) -> int | None:
        """Its exit code when it has just died; it is then due again after a pause that doubles with each death."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        kill_group(self.process.pid)
        self.process = None
        self.deaths = 1 if now - self._born > PROVEN_AFTER else self.deaths + 1
        self._due = now + self.pause
        return code

    @property
    def pause(self) -> float:
        """Seconds between its latest death and its next start."""
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** max(0, self.deaths - 1)))

    def is_due(self, now: float) -> bool:
        """Whether it is dead and may be started again."""
        return self.process is None and now >= self._due

    def end(self) -> None:
        """Asks it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and whatever it started, now."""
        if self.process is not None:
            kill_group(self.process.pid)
            self.process.wait()
