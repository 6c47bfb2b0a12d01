"""Processes for tests to kill, forked from one that has imported everything: each starts in milliseconds."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

IMPORTED = ["backend.jobs", "backend.pipeline.process", "backend.pipeline.mail_out", "backend.channels.directory"]


class Forked:
    """`python SCRIPT ARGUMENTS…` in a process of its own, with what tests use of a `subprocess.Popen`."""

    def __init__(self, script: Path, *arguments: str, environ: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self._process = context.Process(target=_main, args=(str(script), arguments, dict(environ)), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """How it ended, if it has."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """How it ended; TimeoutExpired."""
        self._process.join(timeout)
        ended = self._process.exitcode
        if ended is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return ended

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, unless it has ended."""
        if self._process.exitcode is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _main(script: str, arguments: tuple[str, ...], environ: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
