"""Commands that are started alone, without `chimein up`, say what they do, or why they cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.ops.children import PARENT
from backend.storage.database import MIGRATIONS, migrate
from backend.storage.tables import REVISION
from tests.ports import free_port
from tests.redis_server import start_redis

SECRET = "0123456789abcdef0123456789abcdef"


def start(*command: str, cwd: Path, **environ: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CHIMEIN_", "_CHIMEIN_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "backend", *command],
        env={**clean, **environ},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def first_line(*command: str, cwd: Path, **environ: str) -> str:
    """The first line that a process writes, which is then ended; empty where it has written none in four seconds."""
    with start(*command, cwd=cwd, **environ) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        deadline = time.monotonic() + (4 if PARENT in environ else 30)
        line = ""
        while not line and time.monotonic() < deadline and process.poll() is None:
            line = process.stdout.readline()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(15) in {0, -signal.SIGTERM}  # a server may not have begun to listen for it yet
        finally:
            process.kill()
    return line.rstrip("\n")


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "var").mkdir()
    migrate(f"sqlite:///{tmp_path / 'var' / 'chimein.db'}")
    with start_redis() as url:
        yield {
            "CHIMEIN_SECRET_KEY": SECRET,
            "CHIMEIN_REDIS_URL": url,
            "CHIMEIN_PORT": str(free_port()),
            "CHIMEIN_LIVE_PORT": str(free_port()),
            "CHIMEIN_DATA_DIR": str(tmp_path / "var"),
        }


def test_a_process_started_alone_begins_with_one_line(tmp_path: Path, environ: dict[str, str]) -> None:
    with start("migrate", cwd=tmp_path, **environ) as migrate:
        assert migrate.communicate(timeout=60)[0] == "The database has the schema of this version.\n"
    at = "http://127.0.0.1:"
    told = {
        "web": f"web listens on {at}{environ['CHIMEIN_PORT']}",
        "live": f"live listens on {at}{environ['CHIMEIN_LIVE_PORT']}",
        "process": "process folds events and decides",
        "work": "work delivers messages",
        "tick": "tick recovers what was lost and clears away what is old",
    }
    assert {name: first_line(name, cwd=tmp_path, **environ) for name in told} == told
    assert first_line("work", cwd=tmp_path, **environ, **{PARENT: str(os.getpid())}) == "", "the supervisor's screen"


def test_without_a_data_directory_a_command_names_the_option(tmp_path: Path) -> None:
    with start("dead", "list", cwd=tmp_path) as process:
        assert process.communicate(timeout=60)[0] == (
            f"Error: There is no data directory at {tmp_path / 'var'}; use --data-dir.\n"
        )
    assert process.returncode == 1


@pytest.mark.parametrize("command", ["web", "process", "tick"])
def test_a_process_without_a_schema_says_what_to_run(tmp_path: Path, environ: dict[str, str], command: str) -> None:
    (tmp_path / "empty").mkdir()
    with start(command, cwd=tmp_path, **{**environ, "CHIMEIN_DATA_DIR": str(tmp_path / "empty")}) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The database has no schema yet: run `chimein migrate`." in said


def test_the_revision_that_processes_ask_for_is_the_newest_migration() -> None:
    newest = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))
    assert newest == REVISION
