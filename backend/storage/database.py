"""The SQL database: one engine for SQLite, PostgreSQL or Citus, and how transactions begin."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from backend.errors import Unavailable
from backend.storage.slack import Slack

__all__ = ["Connection", "Database", "is_poison", "is_transient", "migrate"]

BUSY_TIMEOUT = 10.0
"""Seconds that a SQLite writer waits for another."""

LONGEST_PAUSE = 0.008
"""Seconds after which it looks again at the latest."""

MIGRATIONS = Path(__file__).parent / "migrations"


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed later: the server is away or busy, or somebody else was faster."""
    if isinstance(error, redis.RedisError):
        return True
    return isinstance(error, OperationalError | InterfaceError | IntegrityError)


def is_poison(error: BaseException) -> bool:
    """Whether the database will refuse this content however often it is sent."""
    if isinstance(error, DataError | UnicodeError | OverflowError):
        return True
    return isinstance(error, SQLAlchemyError) and not is_transient(error)


class Database:
    """One database; `begin()` is a transaction that writes, `read()` one that only reads."""

    def __init__(self, url: str) -> None:
        parsed = _normalised(url)
        self.dialect: str = parsed.get_backend_name()
        self._emptying: tuple[datetime, Slack] | None = None
        self.engine: Engine = _sqlite_engine(parsed) if self.dialect == "sqlite" else _postgres_engine(parsed)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction: commits at the end, rolls back when an error passes through.

        On SQLite it takes the write lock at once: a transaction that reads first and writes later would fail with
        "database is locked" without waiting.
        """
        with self.engine.connect() as connection:
            if self.dialect == "sqlite":
                _take_write_lock(connection)
            with connection.begin() if self.dialect != "sqlite" else _sqlite_transaction(connection):
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, of one consistent moment on SQLite."""
        with self.engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN")
                with _sqlite_transaction(connection):
                    yield connection
            else:
                yield connection

    def ping(self) -> None:
        """Returns when the database answers and its schema is there; raises `Unavailable` otherwise."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT count(*) FROM partitions"))
        except DBAPIError as error:
            raise Unavailable("The database does not answer.", retry_after=2) from error

    def revision(self) -> str | None:
        """The version of the schema that is there; None without one. Raises `Unavailable` when nobody answers."""
        try:
            with self.read() as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return None
                found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
                return found
        except DBAPIError as error:
            raise Unavailable("The database does not answer.", retry_after=2) from error

    def checkpoint(self) -> None:
        """Carries what was committed over from SQLite's log into its file, while others read and write.

        Whoever writes much lets a thread of its own do it, so that no COMMIT has to. Nothing on PostgreSQL.
        """
        if self.dialect == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def empty(self, until: datetime, seconds: float) -> datetime | None:
        """Goes on for so long with emptying the free room of the pages of SQLite's file, of what was removed `until`.

        The moment up to which that is done (an earlier one, where it was called with that when it began); None where it
        has to go on, or somebody else was at it all the time. `until` on PostgreSQL, whose own vacuum sees to that.
        """
        path = self.engine.url.database if self.dialect == "sqlite" else None
        if path is None:
            return until
        try:
            if not self.scrub(1.0):
                return None
            if self._emptying is None:
                self._emptying = (until, Slack(path))
            until, slack = self._emptying
            if not slack.run(seconds):
                return None
        except (OperationalError, sqlite3.OperationalError):
            return None
        self._emptying = None
        return until

    def scrub(self, seconds: float) -> bool:
        """Carries everything over into SQLite's file and empties its log, in which what was removed can still be read.

        False where somebody read or wrote for so many seconds; it can be tried again. True on PostgreSQL, whose own
        vacuum sees to that.
        """
        if self.dialect != "sqlite":
            return True
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(seconds * 1000)}")
            try:
                row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")
        return bool(row[0] == 0)

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()


@contextmanager
def _sqlite_transaction(connection: Connection) -> Iterator[None]:
    # The driver is in autocommit mode: SQLAlchemy's own begin would be a second BEGIN.
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    else:
        connection.exec_driver_sql("COMMIT")


def _normalised(url: str) -> URL:
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def _take_write_lock(connection: Connection) -> None:
    """BEGIN IMMEDIATE, looking again every few milliseconds; OperationalError after `BUSY_TIMEOUT`.

    SQLite itself looks ten times a second: whoever writes now and then would wait for seconds behind who writes always.
    """
    driver: Any = connection.connection.driver_connection
    until, pause = time.monotonic() + BUSY_TIMEOUT, 0.001
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < until:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"timeout": BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in (
            "page_size=8192",  # of a new file: most profiles fit into one page
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-65536",
            "wal_autocheckpoint=32000",  # pages: where no checkpoint came in time
            "mmap_size=268435456",
            "secure_delete=ON",  # what is removed, or written over, is not left in the file
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _postgres_engine(url: URL) -> Engine:
    return create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True, pool_recycle=1800)


def migrate(url: str) -> None:
    """Brings the schema to the newest version; nothing happens where it is."""
    # Only this call needs alembic, and it takes its time to load.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = _normalised(url)
    command.upgrade(config, "head")
