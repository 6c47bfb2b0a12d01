"""A real Redis for tests: `with start_redis() as url:` starts the embedded server in a temporary directory."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.ops.embedded import EmbeddedRedis, find_server


@contextmanager
def start_redis(directory: Path | None = None, **config: str) -> Iterator[str]:
    """The URL of a fresh server; further settings of Redis by keyword, `_` for `-`, such as maxmemory="8mb".

    With `directory` its file is kept there, so that a second start finds what the first left.
    """
    own = directory is None
    root = directory or Path(tempfile.mkdtemp(prefix="chimein-redis-", dir="/tmp"))
    server = EmbeddedRedis(root, **{"fsync": "everysec"} | {k.replace("_", "-"): v for k, v in config.items()})
    process = subprocess.Popen(server.command(find_server()), stdout=subprocess.DEVNULL)
    try:
        server.wait_until_ready(process)
        yield server.url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if own:
            shutil.rmtree(root, ignore_errors=True)
