"""What conversations were, row by row, for the report on them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Connection, and_, case, func, literal, null, or_, select, union, union_all

from backend.domain.desk_report import Step, Touch
from backend.domain.purchase import purchase_of
from backend.schemas.documents import decode_content
from backend.schemas.event import event_of_row
from backend.storage.bulk import pieces_of
from backend.storage.tables import conversations, departments, events, parts, visitors
from backend.storage.times import from_micros, to_micros

AT_ONCE = 2_000

ORDERED = "Order Completed"

_VALUES = {"state": "to", "rated": "rating"}
"""Of events that count, what they tell."""


def steps(
    connection: Connection, site_id: str, since: datetime, until: datetime
) -> Iterator[tuple[tuple[str, str], int, str | None, Step]]:
    """The parts of every conversation of the site that was open or went on within this time, one after the other.

    Each with what its conversation is: its key, when it began, its department.
    """
    going_on = or_(conversations.c.last_at >= to_micros(since), conversations.c.state != "closed")
    query = (
        select(
            conversations.c.visitor_id,
            conversations.c.id,
            conversations.c.created_at,
            conversations.c.department_id,
            parts.c.at,
            parts.c.author,
            parts.c.author_id,
            parts.c.kind,
            case((parts.c.kind == "event", parts.c.content), else_=None),
        )
        .join(
            parts,
            and_(parts.c.visitor_id == conversations.c.visitor_id, parts.c.conversation_id == conversations.c.id),
        )
        .where(conversations.c.site_id == site_id, conversations.c.created_at < to_micros(until), going_on)
        .where(parts.c.kind != "note")
        .order_by(conversations.c.visitor_id, conversations.c.id, parts.c.number)
    )
    for piece in pieces_of(connection, query, AT_ONCE):
        for visitor_id, number, created_at, department_id, at, author, author_id, kind, content in piece:
            event, value = None, None
            if content is not None:
                told = decode_content(content)
                event = told.get("event")
                value = told.get(_VALUES[event]) if event in _VALUES else None
            yield (visitor_id, number), created_at, department_id, Step(at, author, author_id, kind, event, value)


def documents(connection: Connection, site_id: str) -> dict[str, dict[str, Any]]:
    """What is written of each department of a site, by its id."""
    query = select(departments.c.id, departments.c.document).where(departments.c.site_id == site_id)
    return {row.id: decode_content(row.document) for row in connection.execute(query)}


def touches(connection: Connection, site_id: str, earliest: datetime, until: datetime) -> Iterator[tuple[str, Touch]]:
    """The messages of conversations and the orders of everybody who said something in this time, by person, in order.

    Of two at the same moment the message comes first.
    """
    begin, end = to_micros(earliest), to_micros(until)
    person = func.coalesce(visitors.c.merged_into, visitors.c.visitor_id)
    told = and_(parts.c.site_id == site_id, parts.c.at >= begin, parts.c.at < end, parts.c.kind == "message")
    spoken = and_(told, parts.c.author.in_(("visitor", "operator")))
    persons = (
        select(person.label("person"))
        .select_from(parts.join(visitors, visitors.c.visitor_id == parts.c.visitor_id))
        .where(spoken)
        .distinct()
        .cte("persons")
    )
    members = _members(site_id, persons)
    nothing = [null().label(name) for name in ("message_id", "type", "received_at", "arrival", "body")]
    said = (
        select(
            person.label("person"),
            parts.c.at.label("at"),
            literal(0).label("rank"),
            parts.c.author.label("author"),
            parts.c.author_id.label("author_id"),
            conversations.c.department_id.label("department_id"),
            *nothing,
        )
        .select_from(
            parts.join(visitors, visitors.c.visitor_id == parts.c.visitor_id).join(
                conversations,
                and_(
                    conversations.c.visitor_id == parts.c.visitor_id,
                    conversations.c.id == parts.c.conversation_id,
                ),
            )
        )
        .where(spoken)
    )
    ordered = (
        select(
            members.c.person,
            events.c.timestamp,
            literal(1),
            *(null() for _ in range(3)),
            *(events.c[name] for name in ("message_id", "type", "received_at", "arrival", "body")),
        )
        .join(events, events.c.visitor_id == members.c.member)
        .where(events.c.name == ORDERED, events.c.timestamp >= begin, events.c.timestamp < end)
    )
    both = union_all(said, ordered).subquery("both")
    query = select(both).order_by(both.c.person, both.c.at, both.c.rank, both.c.arrival)
    yield from ((row[0], _touch(row)) for piece in pieces_of(connection, query, AT_ONCE) for row in piece)


def _members(site_id: str, persons: CTE) -> CTE:
    """These persons with everybody who was merged into them."""
    return union(
        select(persons.c.person, persons.c.person.label("member")),
        select(visitors.c.merged_into, visitors.c.visitor_id).where(
            visitors.c.site_id == site_id,
            visitors.c.merged_into.is_not(None),
            visitors.c.merged_into.in_(select(persons.c.person)),
        ),
    ).cte("members")


def _touch(row: Sequence[Any]) -> Touch:
    _, at, rank, author, author_id, department_id, message_id, kind, received_at, arrival, body = row
    if rank == 0:
        return Touch(at, author == "operator", author_id, department_id)
    event = event_of_row(message_id, kind, from_micros(at), from_micros(received_at), arrival, body)
    purchase = purchase_of(event)
    return Touch(at, order_id=purchase.order_id or None, worth=purchase.value)
