"""The enrolments: one row each, found by visitor, and those that wait by the moment at which they are due."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, literal_column, or_, select

from backend.domain.enrolment import DEFERRED, Enrolment
from backend.schemas.documents import decode_enrolment, encode_enrolment
from backend.storage.bulk import delete_rows, rows_of, upsert_rows
from backend.storage.tables import enrolments
from backend.storage.times import to_micros

_DUE = (
    select(enrolments.c.visitor_id)
    .where(enrolments.c.status == "waiting", enrolments.c.due_at <= bindparam("moment"))
    .order_by(enrolments.c.due_at)
    .limit(bindparam("most"))
)

# Spelt out, not bound: only so SQLite sees that the index of what waits will do.
_WAITING = literal_column("enrolments.status") == literal_column("'waiting'")


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
            each.rule_version,
            each.outcome or (DEFERRED if each.deferred else None),
            each.reason or each.deferred,
        )
        for each in changed
    ]
    upsert_rows(connection, enrolments, rows, keys=2)


def give(connection: Connection, given: Collection[Enrolment], to: str) -> None:
    """Makes these enrolments those of another visitor."""
    delete_rows(connection, enrolments, [(each.visitor_id, each.id) for each in given])
    save(connection, [each.but(visitor_id=to) for each in given])


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
    return _page(connection, query, limit, before)


def list_of_rule(
    connection: Connection,
    rule_id: str,
    limit: int,
    before: tuple[int, str] | None = None,
    *,
    members: Collection[str] | None = None,
    outcome: str | None = None,
    reason: str | None = None,
    version: int | None = None,
) -> list[Enrolment]:
    """A rule's enrolments, newest first; of these visitors only, with this outcome ("waiting": not ended), reason, …"""
    query = select(enrolments.c.document).where(enrolments.c.rule_id == rule_id)
    if members is not None:
        query = query.where(enrolments.c.visitor_id.in_(list(members)))
    if outcome == "waiting":
        query = query.where(_WAITING)
    elif outcome is not None:
        query = query.where(enrolments.c.outcome == outcome)
    if reason is not None:
        query = query.where(enrolments.c.reason == reason)
    if version is not None:
        query = query.where(enrolments.c.rule_version == version)
    return _page(connection, query, limit, before)


def _page(connection: Connection, query: Select[Any], limit: int, before: tuple[int, str] | None) -> list[Enrolment]:
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


def count_in_rule(connection: Connection, rule_id: str, *, before: int | None = None) -> int:
    """How many are in the rule now; with `before`, in versions before that one."""
    query = select(func.count()).select_from(enrolments).where(enrolments.c.rule_id == rule_id, _WAITING)
    if before is not None:
        query = query.where(enrolments.c.rule_version < before)
    return connection.scalar(query) or 0


def in_versions_before(connection: Connection, rule_id: str, version: int, most: int) -> list[str]:
    """Visitors who are in an earlier version of the rule than this one."""
    query = (
        select(enrolments.c.visitor_id)
        .where(enrolments.c.rule_id == rule_id, enrolments.c.rule_version < version, _WAITING)
        .limit(most)
    )
    return list(dict.fromkeys(connection.scalars(query)))


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
