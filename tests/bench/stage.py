"""What the benchmarks run on: a real Redis, a fresh SQLite or PostgreSQL, and a runtime over both."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from backend.runtime import Runtime, build_runtime, close_runtime
from backend.settings import Settings
from backend.storage.database import migrate
from tests.postgres import start_postgres
from tests.redis_server import start_redis


@contextmanager
def stage(dialect: str = "sqlite") -> Iterator[Runtime]:
    """A runtime over an empty log and an empty database."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="chimein-") as folder, start_redis() as redis_url:
        if dialect == "sqlite":
            yield from _runtime(f"sqlite:///{folder}/bench.db", redis_url, folder)
        else:
            with start_postgres() as url:
                yield from _runtime(url, redis_url, folder)


def _runtime(url: str, redis_url: str, folder: str) -> Iterator[Runtime]:
    migrate(url)
    settings = Settings.load(
        {
            "CHIMEIN_DATABASE_URL": url,
            "CHIMEIN_REDIS_URL": redis_url,
            "CHIMEIN_DATA_DIR": str(Path(folder)),
            "CHIMEIN_ADMIN_TOKEN": "the-token-of-the-benchmarks",
            "CHIMEIN_SECRET_KEY": "a-secret-key-for-the-benchmarks-only",
        }
    )
    rt = build_runtime(settings)
    try:
        yield rt
    finally:
        close_runtime(rt)
