"""`chimein up` as a process of its own, for tests that start, kill and stop it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from backend.ops.children import is_alive
from tests.ports import free_port


class Up:
    """One `chimein up` on a data directory; as a context manager it leaves no process behind."""

    COMMAND: tuple[str, ...] = (sys.executable, "-m", "backend")

    def __init__(self, data_dir: Path, port: int | None = None, **environ: str) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name(f"{data_dir.name}.{time.monotonic_ns()}.log")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CHIMEIN_", "_CHIMEIN_"))}
        command = [*self.COMMAND, "up", "--port", str(self.port), "--data-dir", str(data_dir)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**clean, **environ}, cwd=data_dir.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    @property
    def state(self) -> dict[str, Any]:
        """What it tells other commands."""
        state: dict[str, Any] = json.loads((self.data_dir / "up.json").read_text())
        return state

    @property
    def token(self) -> str:
        """The administrator's token."""
        return (self.data_dir / "admin_token").read_text().strip()

    def wait_until_ready(self, seconds: float = 60) -> float:
        """Waits for /readyz to be green; the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise AssertionError(f"chimein up ended with {self.process.returncode}:\n{self.output}")
            if self.status("/readyz") == 200 and (self.data_dir / "up.json").exists():
                return time.monotonic() - began
            time.sleep(0.05)
        raise AssertionError(f"chimein up was not ready within {seconds} s:\n{self.output}")

    def status(self, path: str) -> int:
        """The status that a GET of this path has; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)
        except OSError:
            return 0

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Calls the API as an administrator; the decoded answer."""
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    def wait_until_folded(self, seconds: float = 60) -> None:
        """Waits until every accepted event took effect and every message was tried."""
        deadline = time.monotonic() + seconds
        status: Any = None
        while time.monotonic() < deadline:
            try:
                status = self.call("GET", "/status")
            except OSError:
                status = None
            if status and status["pending_events"] == 0 and status["pending_jobs"] == 0 and status["due_timers"] == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"events still wait after {seconds} s: {status}\n{self.output}")

    def stop(self, kind: signal.Signals = signal.SIGINT, seconds: float = 20) -> float:
        """Asks it to end and waits; the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(kind)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"chimein up did not end within {seconds} s:\n{self.output}") from None
        return time.monotonic() - began


def wait_until_gone(pids: list[int], seconds: float = 10) -> list[int]:
    """Waits until none of the processes is left; those that are."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
