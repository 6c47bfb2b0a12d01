"""The visitors' events, as they were sent: what was folded, in the order of its time."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, and_, or_, select
from sqlalchemy.exc import IntegrityError

from backend.domain.event import Event
from backend.schemas.event import event_of_row
from backend.schemas.wire import encode_json
from backend.storage.bulk import delete_rows, insert_rows, pairs_of, rows_from, rows_of
from backend.storage.tables import events
from backend.storage.times import from_micros, to_micros

_EVENT = (
    events.c.message_id,
    events.c.type,
    events.c.timestamp,
    events.c.received_at,
    events.c.arrival,
    events.c.body,
)


EventRow: TypeAlias = tuple[str, str, str, str, str, int, int, int, str]

FEW = 500
"""Rows that are in memory at a time, where many may be read."""

WORTH_A_THREAD = 200
"""Fewer rows are sooner in than another thread is awake."""


def row_of(visitor_id: str, site_id: str, event: Event, body: str) -> EventRow:
    """The row of an event; `body` is the sender's own JSON."""
    timestamp, received_at = to_micros(event.timestamp), to_micros(event.received_at)
    return (visitor_id, event.message_id, site_id, event.name, event.type, timestamp, received_at, event.order, body)


class Insertion:
    """Inserts the events that their visitors have not sent before; with `beside`, while Python goes on.

    Nobody else may use the connection before `repeated` or `wait` has returned.
    """

    def __init__(self, connection: Connection, rows: Sequence[EventRow], beside: Executor | None = None) -> None:
        self._connection = connection
        self._rows = rows
        connection.exec_driver_sql("SAVEPOINT before_events")
        self._first: Future[int] | None = None
        if beside is not None and len(rows) >= WORTH_A_THREAD:
            self._first = beside.submit(insert_rows, connection, events, rows)

    def wait(self) -> None:
        """Waits until the connection is free, whatever came of it."""
        if self._first is not None:
            self._first.exception()

    def repeated(self) -> set[int]:
        """Waits until they are in; gives the indexes of those that were sent before and are left out."""
        repeated: set[int] = set()
        while True:
            try:
                self._insert(repeated)
            except IntegrityError:
                # Some were there, which is rare: take it back, and look which.
                self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_events")
            else:
                self._connection.exec_driver_sql("RELEASE SAVEPOINT before_events")
                return repeated
            seen = sent_before(self._connection, {(row[0], row[1]) for row in self._rows})
            before, repeated = repeated, set()
            for index, row in enumerate(self._rows):
                if (row[0], row[1]) in seen:
                    repeated.add(index)
                seen.add((row[0], row[1]))
            if repeated == before:
                raise UnicodeError("These ids are one to the database and two to us.")

    def _insert(self, without: set[int]) -> None:
        begun, self._first = self._first, None
        if begun is not None:
            begun.result()
            return
        rows = [row for index, row in enumerate(self._rows) if index not in without] if without else self._rows
        insert_rows(self._connection, events, rows)


def insert_emitted(connection: Connection, emitted: Iterable[tuple[str, str, Event]]) -> None:
    """Writes events that rules reported, as (visitor id, site id, event); one that is there already stays as it is."""
    rows = [row_of(visitor_id, site_id, event, _body(event)) for visitor_id, site_id, event in emitted]
    insert_rows(connection, events, rows, ignore=True)


def _body(event: Event) -> str:
    """The event as a sender would have written it."""
    told: dict[str, Any] = {"type": event.type, "messageId": event.message_id, "context": dict(event.context)}
    if event.type == "track":
        told |= {"event": event.name, "properties": dict(event.properties)}
    else:
        told["traits"] = dict(event.traits)
    ids = {"anonymousId": event.anonymous_id, "userId": event.user_id}
    return encode_json(told | {name: value for name, value in ids.items() if value is not None}).decode()


def sent_before(connection: Connection, sendings: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these (visitor id, message id) that are stored already."""
    return pairs_of(connection, events.c.visitor_id, events.c.message_id, sendings)


def history(connection: Connection, members: Collection[str], names: Collection[str]) -> Iterator[tuple[str, Event]]:
    """All events of these names of these visitors, as (visitor id, event), in no order."""
    among = {events.c.visitor_id: members, events.c.name: names}
    for visitor_id, *row in rows_of(connection, (events.c.visitor_id, *_EVENT), among):
        yield visitor_id, _event(row)


def history_since(
    connection: Connection, asked: Collection[tuple[str, str, datetime | None]], until: datetime | None = None
) -> Iterator[tuple[str, Event]]:
    """Events by (visitor id, name, from when on; None: all), up to `until`, as (visitor id, event), in no order."""
    spans = [(visitor_id, name, 0 if since is None else to_micros(since)) for visitor_id, name, since in asked]
    key = (events.c.visitor_id, events.c.name, events.c.timestamp)
    suffix = f" AND events.timestamp <= {to_micros(until)}" if until is not None else ""
    for visitor_id, *row in rows_from(connection, (events.c.visitor_id, *_EVENT), key, spans, suffix):
        yield visitor_id, _event(row)


def each_since(
    connection: Connection, members: Collection[str], names: Collection[str], since: datetime, until: datetime
) -> Iterator[Event]:
    """The events of these names of these visitors, after `since` and up to `until`, in no order, few in memory."""
    query = select(*_EVENT).where(
        events.c.visitor_id.in_(list(members)),
        events.c.name.in_(list(names)),
        events.c.timestamp > to_micros(since),
        events.c.timestamp <= to_micros(until),
    )
    for row in connection.execute(query.execution_options(yield_per=FEW)):
        yield _event(row)


def received_since(
    connection: Connection, members: Collection[str], names: Collection[str], since: datetime
) -> Iterator[Event]:
    """The events of these names of these visitors that were received since then, in no order, few in memory."""
    query = select(*_EVENT).where(
        events.c.visitor_id.in_(list(members)),
        events.c.name.in_(list(names)),
        events.c.received_at >= to_micros(since),
    )
    for row in connection.execute(query.execution_options(yield_per=FEW)):
        yield _event(row)


def find_old(
    connection: Connection, members: Collection[str], before: Mapping[str, datetime], most: int
) -> list[tuple[str, str, str]]:
    """Up to `most` events of these visitors from before the moment given for their name (`*`: any other).

    Each as (visitor id, message id, name).
    """
    named = [name for name in before if name != "*"]
    old = [and_(events.c.name == name, events.c.timestamp < to_micros(before[name])) for name in named]
    if "*" in before:
        old.append(and_(events.c.name.not_in(named), events.c.timestamp < to_micros(before["*"])))
    newest = to_micros(max(before.values()))
    query = (
        select(events.c.visitor_id, events.c.message_id, events.c.name)
        .where(events.c.visitor_id.in_(list(members)), events.c.timestamp < newest, or_(*old))
        .limit(most)
    )
    return [(row.visitor_id, row.message_id, row.name) for row in connection.execute(query)]


def remove(connection: Connection, sendings: Collection[tuple[str, str]]) -> None:
    """Removes these events, by (visitor id, message id)."""
    delete_rows(connection, events, list(sendings))


def naming(connection: Connection, members: Collection[str]) -> Iterator[Event]:
    """The events of these visitors that say who they are, in no order."""
    telling = or_(events.c.type.in_(("identify", "alias")), events.c.name == "Form Field Filled")
    query = select(*_EVENT).where(events.c.visitor_id.in_(list(members)), telling)
    for row in connection.execute(query):
        yield _event(row)


def list_events(
    connection: Connection, members: Collection[str], limit: int, before: tuple[int, int] | None = None
) -> list[Event]:
    """The latest events of a visitor (and of those merged into it), newest first; `before` is (timestamp µs, order)."""
    query: Select[tuple[str, str, int, int, int, str]] = select(*_EVENT).where(events.c.visitor_id.in_(list(members)))
    if before is not None:
        moment, arrival = before
        query = query.where(
            or_(events.c.timestamp < moment, and_(events.c.timestamp == moment, events.c.arrival < arrival))
        )
    query = query.order_by(events.c.timestamp.desc(), events.c.arrival.desc()).limit(limit)
    return [_event(row) for row in connection.execute(query)]


def cursor_of(event: Event) -> tuple[int, int]:
    """Where `list_events` goes on after this event."""
    return to_micros(event.timestamp), event.order


def _event(row: Sequence[Any]) -> Event:
    message_id, kind, timestamp, received_at, arrival, body = row
    return event_of_row(message_id, kind, from_micros(timestamp), from_micros(received_at), arrival, body)
