"""What a process needs so that it never outlives the one that started it."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

PARENT = "_CHIMEIN_PARENT"
"""The variable that tells a child the id of the process it must not outlive."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(kind: signal.Signals) -> Callable[[], None] | None:
    """What Popen runs in a new child: Linux will send it `kind` when its parent is gone. None elsewhere.

    The child must be started from the parent's main thread: to Linux the parent is that thread.
    """
    libc, number = _libc, int(kind)
    if libc is None:
        return None

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number)

    return ask


def watch_parent() -> None:
    """In a child: ends this process when its parent is gone, where the kernel does not, or did not in time."""
    parent = int(os.environ.get(PARENT, "0"))
    if not parent:
        return

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def is_child() -> bool:
    """Whether `chimein up` started this process."""
    return bool(os.environ.get(PARENT))


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists and is not merely waiting to be buried."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def kill_group(pid: int) -> None:
    """Ends whatever is left of the process group that this child led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
