"""What `chimein up` writes down, so that other commands with the same data directory find it: DIR/up.json."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backend.errors import SettingsError, StartError
from backend.ops.children import is_alive
from backend.ops.firstrun import write_private
from backend.settings import Settings


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data directory; raises StartError where another `up` holds it. The kernel lets go when we die."""
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            url = read(data_dir).get("url")
            where = f" at {url}" if url else ""
            raise StartError(f"chimein already runs{where} on the data directory {data_dir}.") from None
        yield
    finally:
        os.close(descriptor)


def write(settings: Settings, pids: Mapping[str, int]) -> None:
    """Tells where the running processes are."""
    state = {
        "url": settings.public_url,
        "live_url": settings.live_url,
        "redis_url": settings.redis_url,
        "pids": dict(pids),
    }
    write_private(_file(settings.data_dir), json.dumps(state, indent=1) + "\n")


def read(data_dir: Path) -> dict[str, Any]:
    """What was written last; empty where nothing was, or where the last `up` ended as it should."""
    try:
        state = json.loads(_file(data_dir).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def clear(data_dir: Path) -> None:
    """Nothing runs any more."""
    with suppress(FileNotFoundError):
        _file(data_dir).unlink()


def has_leftovers(data_dir: Path) -> bool:
    """Whether processes of an `up` that was killed may still be ending."""
    pids = read(data_dir).get("pids", {})
    return any(isinstance(pid, int) and is_alive(pid) for pid in pids.values())


def attach(settings: Settings) -> Settings:
    """The settings with the Redis of the `chimein up` that runs on this data directory, unless one is set."""
    if settings.redis_url:
        return settings
    url = read(settings.data_dir).get("redis_url")
    if not url:
        raise SettingsError(
            f"CHIMEIN_REDIS_URL is not set, and no `chimein up` runs on the data directory {settings.data_dir}."
        )
    return settings.with_redis(url)


def _file(data_dir: Path) -> Path:
    return data_dir / "up.json"
