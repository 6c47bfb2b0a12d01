"""The enrolments: one row each, found by visitor, and those that wait by the moment at which they are due."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from backend.domain.enrolment import Enrolment
from backend.schemas.documents import decode_enrolment, encode_enrolment
from backend.storage.bulk import rows_of, upsert_rows
from backend.storage.tables import enrolments
from backend.storage.times import to_micros

_DUE = (
    select(enrolments.c.visitor_id)
    .where(enrolments.c.status == "waiting", enrolments.c.due_at <= bindparam("moment"))
    .order_by(enrolments.c.due_at)
    .limit(bindparam("most"))
)


def of_visitors(connection: Connection, ids: Collection[str]) -> list[Enrolment]:
    """Every enrolment of these visitors, in order of entry."""
    rows = rows_of(connection, (enrolments.c.document,), {enrolments.c.visitor_id: ids})
    return sorted((decode_enrolment(text) for (text,) in rows), key=lambda each: each.entered_at)


def due_visitors(connection: Connection, moment: datetime, most: int) -> list[str]:
    """The visitors of whom something waits that is due at `moment` or before, the longest due first."""
    return list(dict.fromkeys(connection.scalars(_DUE, {"moment": to_micros(moment), "most": most})))


def save(connection: Connection, changed: Iterable[Enrolment]) -> None:
    """Writes enrolments as they stand now."""
    rows = [
        (
            each.visitor_id,
            each.id,
            each.site_id,
            each.rule_id,
            "waiting" if each.waiting else "ended",
            to_micros(each.entered_at),
            to_micros(each.due_at),
            encode_enrolment(each),
        )
        for each in changed
    ]
    upsert_rows(connection, enrolments, rows, keys=2)


def get(connection: Connection, visitor_id: str, enrolment_id: str) -> Enrolment | None:
    """One enrolment; None when there is none."""
    text = connection.scalar(
        select(enrolments.c.document).where(enrolments.c.visitor_id == visitor_id, enrolments.c.id == enrolment_id)
    )
    return None if text is None else decode_enrolment(text)


def list_enrolments(
    connection: Connection, members: Collection[str], limit: int, before: tuple[int, str] | None = None
) -> list[Enrolment]:
    """A visitor's enrolments, newest first; `before` is (entered at in µs, id)."""
    query = select(enrolments.c.document).where(enrolments.c.visitor_id.in_(list(members)))
    if before is not None:
        moment, last = before
        query = query.where(
            or_(
                enrolments.c.entered_at < moment,
                and_(enrolments.c.entered_at == moment, enrolments.c.id < last),
            )
        )
    query = query.order_by(enrolments.c.entered_at.desc(), enrolments.c.id.desc()).limit(limit)
    return [decode_enrolment(text) for text in connection.scalars(query)]


def cursor_of(enrolment: Enrolment) -> tuple[int, str]:
    """Where `list_enrolments` goes on after this one."""
    return to_micros(enrolment.entered_at), enrolment.id


def count_waiting(connection: Connection) -> int:
    """How many timers wait."""
    query = select(func.count()).select_from(enrolments).where(enrolments.c.status == "waiting")
    return connection.scalar(query) or 0


def count_due(connection: Connection, moment: datetime) -> int:
    """How many of them are due."""
    query = (
        select(func.count())
        .select_from(enrolments)
        .where(enrolments.c.status == "waiting", enrolments.c.due_at <= to_micros(moment))
    )
    return connection.scalar(query) or 0
