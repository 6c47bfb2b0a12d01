"""Who may answer on a site, and what waits there to be answered."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select, update

from backend.domain.desk import Seat
from backend.storage.tables import conversations, departments, memberships, operators
from backend.storage.times import from_micros, maybe_from_micros, to_micros

READERS = "read_only"
"""The role that answers nobody."""

STILL_TALKING = timedelta(hours=1)
"""An open conversation in which nobody waits, and nothing was said for so long, takes no place of anybody."""

MOST_ANSWERS = 2_000


class Due(NamedTuple):
    """A conversation to look at: its site, visitor and id."""

    site_id: str
    visitor_id: str
    id: str


class Routed(NamedTuple):
    """When somebody was last looked for, and when it is to be done again."""

    looked_at: datetime | None
    again_at: datetime | None


def seats(connection: Connection, site_id: str, *, lock: bool = False) -> dict[str, Seat]:
    """All who may answer on a site, without what is seen of them and what they have to do, by operator.

    `lock` lets nobody else give out conversations here until this transaction ends.
    """
    query = (
        select(memberships, operators.c.name)
        .join(operators, operators.c.id == memberships.c.operator_id)
        .where(memberships.c.site_id.in_([site_id, ""]), memberships.c.role != READERS)
        .where(operators.c.disabled_at.is_(None))
        .order_by(memberships.c.operator_id, memberships.c.site_id)  # what is said of this site stands last, and holds
    )
    rows = connection.execute(query.with_for_update(of=memberships) if lock else query)
    return {
        row.operator_id: Seat(
            operator_id=row.operator_id,
            name=row.name,
            departments=frozenset(json.loads(row.departments)),
            capacity=row.capacity,
            chosen=row.presence,
            given_at=row.given_at,
        )
        for row in rows
    }


def loads(connection: Connection, site_id: str, ids: Collection[str], now: datetime) -> dict[str, int]:
    """How many conversations these operators are in."""
    query = (
        select(conversations.c.assignee_id, func.count())
        .where(
            conversations.c.site_id == site_id,
            conversations.c.assignee_id.in_(list(ids)),
            conversations.c.state == "open",
            or_(conversations.c.waiting_since.is_not(None), conversations.c.last_at > to_micros(now - STILL_TALKING)),
        )
        .group_by(conversations.c.assignee_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def documents(connection: Connection, site_id: str) -> dict[str, Mapping[str, Any]]:
    """What the departments of a site say of their hours and routing, by id."""
    query = select(departments.c.id, departments.c.document).where(departments.c.site_id == site_id)
    return {row.id: json.loads(row.document) for row in connection.execute(query)}


def department_names(connection: Connection, site_id: str) -> dict[str, str]:
    """What the departments of a site are called, by id."""
    query = select(departments.c.id, departments.c.name).where(departments.c.site_id == site_id)
    return {row.id: row.name for row in connection.execute(query)}


def document_of(connection: Connection, site_id: str, department_id: str) -> dict[str, Any] | None:
    """How a department answers; None where there is no such department."""
    return dict(found) if (found := documents(connection, site_id).get(department_id)) is not None else None


def change_document(
    connection: Connection, site_id: str, department_id: str, told: Mapping[str, Any], now: datetime
) -> bool:
    """Puts what is told into how a department answers, and leaves the rest; False where there is no such department."""
    found = document_of(connection, site_id, department_id)
    if found is None:
        return False
    kept = {name: each for name, each in {**found, **told}.items() if each is not None}
    same = and_(departments.c.site_id == site_id, departments.c.id == department_id)
    values = {"document": json.dumps(kept, ensure_ascii=False), "updated_at": to_micros(now)}
    connection.execute(update(departments).where(same).values(values))
    return True


def choose(connection: Connection, site_id: str, operator_id: str, presence: str) -> bool:
    """Notes what an operator chose to be; False where they are nobody here."""
    mine = and_(memberships.c.operator_id == operator_id, memberships.c.site_id.in_([site_id, ""]))
    return connection.execute(update(memberships).where(mine).values(presence=presence)).rowcount > 0


def waiting(connection: Connection) -> dict[tuple[str, str | None, str | None], int]:
    """How many open conversations wait, by site, assignee and department."""
    place = (conversations.c.site_id, conversations.c.assignee_id, conversations.c.department_id)
    query = select(*place, func.count()).where(_waits()).group_by(*place)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def due(connection: Connection, now: datetime, limit: int) -> list[Due]:
    """Conversations that wait and were not looked at in this waiting, or are to be looked at again; oldest first."""
    looked, again, since = conversations.c.routed_at, conversations.c.route_at, conversations.c.waiting_since
    query = select(*_place()).where(_waits(), or_(looked.is_(None), looked < since, again <= to_micros(now)))
    return [Due(*row) for row in connection.execute(query.order_by(since).limit(limit))]


def held_by(
    connection: Connection, site_id: str, assignee_id: str | None, department_id: str | None, limit: int
) -> list[Due]:
    """Conversations of a department that wait for this operator, or (None) for anybody; oldest first."""
    query = select(*_place()).where(
        _waits(),
        conversations.c.site_id == site_id,
        conversations.c.assignee_id.is_not_distinct_from(assignee_id),
        conversations.c.department_id.is_not_distinct_from(department_id),
    )
    return [Due(*row) for row in connection.execute(query.order_by(conversations.c.waiting_since).limit(limit))]


def routed(connection: Connection, due: Due) -> Routed:
    """When somebody was last looked for in this conversation."""
    query = select(conversations.c.routed_at, conversations.c.route_at).where(_is(due))
    row = connection.execute(query).one()
    return Routed(maybe_from_micros(row[0]), maybe_from_micros(row[1]))


def note_routed(connection: Connection, due: Due, since: datetime, routed: Routed) -> bool:
    """Notes that somebody was looked for; False where the visitor does not wait any more, or waits anew."""
    looked = None if routed.looked_at is None else to_micros(routed.looked_at)
    again = None if routed.again_at is None else to_micros(routed.again_at)
    still = and_(_is(due), conversations.c.waiting_since == to_micros(since))
    changed = connection.execute(update(conversations).where(still).values(routed_at=looked, route_at=again))
    return changed.rowcount > 0


def put_off(connection: Connection, due: Due, until: datetime) -> None:
    """Leaves a conversation alone until then."""
    looked = conversations.c.waiting_since
    connection.execute(update(conversations).where(_is(due)).values(routed_at=looked, route_at=to_micros(until)))


def note_given(connection: Connection, operator_id: str, site_id: str, number: int) -> None:
    """Notes that an operator has just been given something; the lowest `number` is whose turn it is next."""
    mine = and_(memberships.c.operator_id == operator_id, memberships.c.site_id.in_([site_id, ""]))
    connection.execute(update(memberships).where(mine).values(given_at=number))


def first_answers(connection: Connection, site_id: str, since: datetime) -> list[tuple[datetime, datetime]]:
    """When visitors began a conversation, and when they were answered first: of the latest ones that went on since."""
    query = (
        select(conversations.c.created_at, conversations.c.answered_at)
        .where(
            conversations.c.site_id == site_id,
            conversations.c.last_at >= to_micros(since),
            conversations.c.answered_at >= to_micros(since),
            conversations.c.opened_by != "operator",
        )
        .order_by(conversations.c.last_at.desc())
        .limit(MOST_ANSWERS)
    )
    return [(from_micros(row[0]), from_micros(row[1])) for row in connection.execute(query)]


def _waits() -> Any:
    return and_(conversations.c.waiting_since.is_not(None), conversations.c.state == "open")


def _place() -> tuple[Any, ...]:
    return conversations.c.site_id, conversations.c.visitor_id, conversations.c.id


def _is(due: Due) -> Any:
    return and_(conversations.c.visitor_id == due.visitor_id, conversations.c.id == due.id)
