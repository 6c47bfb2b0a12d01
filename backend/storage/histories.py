"""Whole histories: the visitors of a site with the events of each, read in pieces of bounded size."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from backend.domain.event import Event
from backend.schemas.documents import ProfileHead, decode_head
from backend.schemas.event import event_of_row
from backend.storage.bulk import rows_of
from backend.storage.tables import events, visitors
from backend.storage.times import from_micros, to_micros
from backend.storage.visitors import in_order_of_id

_EVENT = (
    events.c.message_id,
    events.c.type,
    events.c.timestamp,
    events.c.received_at,
    events.c.arrival,
    events.c.body,
)


def heads(
    connection: Connection, site_id: str, start: str, limit: int, *, inclusive: bool = False
) -> list[ProfileHead]:
    """A site's visitors that were not merged away, in order of id, beginning behind `start` (or with it)."""
    there = visitors.c.visitor_id >= start if inclusive else visitors.c.visitor_id > start
    query = (
        select(visitors.c.profile)
        .where(in_order_of_id(site_id), visitors.c.merged_into.is_(None), there)
        .order_by(visitors.c.visitor_id)
        .limit(limit)
    )
    return [decode_head(text) for text in connection.scalars(query)]


def lengths(connection: Connection, ids: Collection[str], until: datetime) -> dict[str, int]:
    """How many events up to `until` are stored of each of these ids; those without any are left out."""
    query = (
        select(events.c.visitor_id, func.count())
        .where(events.c.visitor_id.in_(list(ids)), events.c.timestamp <= to_micros(until))
        .group_by(events.c.visitor_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def whole(connection: Connection, ids: Collection[str], until: datetime) -> dict[str, list[Event]]:
    """Every event of these ids up to `until`, by id, in order of moment."""
    suffix = f" AND timestamp <= {to_micros(until)} ORDER BY visitor_id, timestamp, arrival"
    rows = rows_of(connection, (events.c.visitor_id, *_EVENT), {events.c.visitor_id: ids}, suffix)
    found: dict[str, list[Event]] = {}
    for visitor_id, *row in rows:
        found.setdefault(visitor_id, []).append(_event(row))
    return found


def part(
    connection: Connection, ids: Collection[str], after: tuple[datetime, int] | None, until: datetime, limit: int
) -> list[tuple[str, Event]]:
    """The next events of these ids in order of moment, up to `until`, as (visitor id, event); `after` is a moment."""
    query = select(events.c.visitor_id, *_EVENT).where(
        events.c.visitor_id.in_(list(ids)), events.c.timestamp <= to_micros(until)
    )
    if after is not None:
        moment, arrival = to_micros(after[0]), after[1]
        query = query.where(
            events.c.timestamp >= moment,
            or_(events.c.timestamp > moment, and_(events.c.timestamp == moment, events.c.arrival > arrival)),
        )
    query = query.order_by(events.c.timestamp, events.c.arrival).limit(limit)
    return [(visitor_id, _event(row)) for visitor_id, *row in connection.execute(query)]


def pieces(
    connection: Connection, ids: Collection[str], until: datetime, at_once: int
) -> Iterator[list[tuple[str, Event]]]:
    """Every event of these ids up to `until` in order of moment, as (visitor id, event), so many at a time."""
    after: tuple[datetime, int] | None = None
    while found := part(connection, ids, after, until, at_once):
        yield found
        after = found[-1][1].moment


def _event(row: Sequence[Any]) -> Event:
    message_id, kind, timestamp, received_at, arrival, body = row
    return event_of_row(message_id, kind, from_micros(timestamp), from_micros(received_at), arrival, body)
