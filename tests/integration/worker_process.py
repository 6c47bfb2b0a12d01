"""One `work` process for tests to kill: `python worker_process.py`, set up by CHIMEIN_* variables."""

import signal
import sys
import threading

from backend.jobs import work
from backend.runtime import open_runtime
from backend.settings import Settings


def main() -> int:
    """Works until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with open_runtime(Settings.load()) as rt:
        work(rt, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
