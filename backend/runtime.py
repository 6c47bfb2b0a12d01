"""Everything a step needs, built once: settings, database, log, queue, live push and the clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from backend.memory import seek_cycles_seldom
from backend.settings import Settings
from backend.storage.database import Database
from backend.storage.live import LiveBus
from backend.storage.log import Log
from backend.storage.queue import Queue
from backend.storage.redis_client import connect
from backend.storage.sites import SiteCache


def utc_now() -> datetime:
    """The wall clock, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """The composition root; tests pass other parts into it instead of patching modules."""

    settings: Settings
    db: Database
    redis: redis.Redis
    log: Log
    queue: Queue
    live: LiveBus
    sites: SiteCache
    clock: Callable[[], datetime] = utc_now


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """The runtime of this process; its connections are closed at the end."""
    runtime = build_runtime(settings)
    try:
        yield runtime
    finally:
        close_runtime(runtime)


def build_runtime(settings: Settings) -> Runtime:
    """The runtime of this process, for servers that live as long as it does."""
    seek_cycles_seldom()
    db = Database(settings.database_url)
    client = connect(settings.redis_url)
    return Runtime(
        settings=settings,
        db=db,
        redis=client,
        log=Log.open(settings.log_url or settings.redis_url, settings.partitions, settings.log_max_bytes),
        queue=Queue(client),
        live=LiveBus(client),
        sites=SiteCache(db, settings.secret_key),
    )


def close_runtime(runtime: Runtime) -> None:
    """Gives back the connections."""
    runtime.live.close()
    runtime.log.close()
    runtime.redis.close()
    runtime.db.close()
