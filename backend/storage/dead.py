"""Events that were accepted and could not be folded: set aside with the reason, until somebody looks."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from backend.storage.bulk import insert_rows
from backend.storage.tables import dead_events
from backend.storage.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """One event set aside: where it lay in the log, why, and its own JSON (`payload`)."""

    id: str
    site_id: str | None
    partition: int
    entry: str
    reason: str
    payload: str
    created_at: datetime


def add(connection: Connection, events: Iterable[DeadEvent]) -> None:
    """Sets events aside; one that is there already stays."""
    rows = [
        (
            each.id,
            each.site_id,
            each.partition,
            each.entry,
            each.reason[:500],
            each.payload,
            to_micros(each.created_at),
        )
        for each in events
    ]
    insert_rows(connection, dead_events, rows, ignore=True)


def fetch(
    connection: Connection, limit: int, ids: Collection[str] | None = None, after: DeadEvent | None = None
) -> list[DeadEvent]:
    """The oldest ones, or those with these ids, beginning behind `after`."""
    query = select(dead_events).order_by(dead_events.c.created_at, dead_events.c.id).limit(limit)
    if ids is not None:
        query = query.where(dead_events.c.id.in_(list(ids)))
    if after is not None:
        moment = to_micros(after.created_at)
        later = and_(dead_events.c.created_at == moment, dead_events.c.id > after.id)
        query = query.where(or_(dead_events.c.created_at > moment, later))
    return [
        DeadEvent(row.id, row.site_id, row.partition, row.entry, row.reason, row.payload, from_micros(row.created_at))
        for row in connection.execute(query)
    ]


def remove(connection: Connection, ids: Collection[str]) -> int:
    """Forgets these; returns how many there were."""
    return connection.execute(delete(dead_events).where(dead_events.c.id.in_(list(ids)))).rowcount


def remove_before(connection: Connection, site_id: str, moment: datetime) -> int:
    """Forgets those of a site that were set aside before this moment; returns how many there were."""
    where = (dead_events.c.site_id == site_id, dead_events.c.created_at < to_micros(moment))
    return connection.execute(delete(dead_events).where(*where)).rowcount


def rewrite(connection: Connection, dead_id: str, payload: str) -> None:
    """Puts this in the place of what an event holds."""
    connection.execute(update(dead_events).where(dead_events.c.id == dead_id).values(payload=payload))


def count(connection: Connection) -> int:
    """How many are set aside."""
    return connection.scalar(select(func.count()).select_from(dead_events)) or 0
