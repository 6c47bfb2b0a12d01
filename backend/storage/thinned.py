"""Visitors of whom retention has removed events: what they told once is not all known any more."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, select

from backend.storage.bulk import insert_rows
from backend.storage.tables import thinned
from backend.storage.times import to_micros


def note(connection: Connection, site_id: str, ids: Collection[str], now: datetime) -> None:
    """Notes that events of these visitors are removed; the first time stays."""
    insert_rows(connection, thinned, [(each, site_id, to_micros(now)) for each in ids], ignore=True)


def any_of(connection: Connection, ids: Collection[str]) -> bool:
    """Whether events of one of these visitors were removed."""
    found = select(thinned.c.at).where(thinned.c.visitor_id.in_(list(ids)))
    return connection.scalar(found.limit(1)) is not None


def forget(connection: Connection, ids: Collection[str]) -> None:
    """Forgets it of visitors who are nobody any more."""
    connection.execute(delete(thinned).where(thinned.c.visitor_id.in_(list(ids))))
