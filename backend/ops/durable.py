"""Syncs the embedded Redis's file to the disk every second, from outside; why not Redis itself: backend/ADR.md."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from backend.ops.embedded import EmbeddedRedis
from backend.settings import Settings

EVERY_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Syncer:
    """Knows the append-only files of a directory, and which of them have grown since they were synced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._synced: dict[Path, int] = {}

    def sync(self) -> int:
        """Brings to the disk what was written since the last time; returns the number of files."""
        # Redis before version 7 has one file, later ones a directory of them.
        files = [*self._directory.glob("appendonlydir/*.aof"), *self._directory.glob("*.aof")]
        self._synced = {path: size for path, size in self._synced.items() if path in files}
        grown = 0
        for path in files:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # rewritten meanwhile
            try:
                size = os.fstat(descriptor).st_size
                if self._synced.get(path) != size:
                    os.fsync(descriptor)
                    self._synced[path] = size
                    grown += 1
            finally:
                os.close(descriptor)
        return grown


@contextmanager
def keep_synced(settings: Settings) -> Iterator[None]:
    """Syncs the embedded Redis's file while the block runs; nothing where Redis is the user's, or syncs by itself."""
    server = EmbeddedRedis(settings.data_dir)
    if settings.redis_url != server.url or settings.fsync != "everysec":
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(Syncer(server.directory), ended), name="sync", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_SECONDS + 1)


def _run(syncer: Syncer, ended: threading.Event) -> None:
    failing = False
    while not ended.wait(EVERY_SECONDS):
        try:
            syncer.sync()
            failing = False
        except OSError as error:
            if not failing:
                log.error("log_not_synced", reason=str(error))
            failing = True
