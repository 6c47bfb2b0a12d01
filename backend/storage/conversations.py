"""The conversations: one row each, found by its id, by whose it is, and by the lists that operators look at."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, or_, select, update

from backend.domain.conversation import PRIORITIES, STATES, Conversation
from backend.storage.tables import conversation_mails, conversations, mail_addresses, parts
from backend.storage.times import from_micros, maybe_from_micros, to_micros

_BESIDE = {"mailed", "mail_due_at", "mails_off_at", "routed_at", "route_at"}
"""Columns that only mails and routing look at."""

COLUMNS = tuple(each for each in conversations.c if each.name not in _BESIDE)

_SAVE = (
    update(conversations)
    .where(conversations.c.visitor_id == bindparam("new_visitor_id"), conversations.c.id == bindparam("new_id"))
    .values({each: bindparam(f"new_{each.name}") for each in COLUMNS if each.name not in {"visitor_id", "id"}})
)

Place = tuple[int, str]
"""Where a conversation stands in a list: the moment of its last part in µs, and its id."""


def find(connection: Connection, site_id: str, conversation_id: str, *, lock: bool = False) -> Conversation | None:
    """One conversation of a site; `lock` keeps whoever else speaks in it waiting until this transaction ends."""
    query = select(*COLUMNS).where(conversations.c.id == conversation_id, conversations.c.site_id == site_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else conversation_of(row)


def of_visitors(connection: Connection, members: Collection[str], limit: int) -> list[Conversation]:
    """The conversations of these visitors, the latest first."""
    query = (
        select(*COLUMNS)
        .where(conversations.c.visitor_id.in_(list(members)))
        .order_by(conversations.c.last_at.desc(), conversations.c.id.desc())
        .limit(limit)
    )
    return [conversation_of(row) for row in connection.execute(query)]


def lock_of_visitors(connection: Connection, members: Collection[str]) -> dict[str, list[Conversation]]:
    """All conversations of each of these visitors, locked in one order."""
    query = (
        select(*COLUMNS)
        .where(conversations.c.visitor_id.in_(list(members)))
        .order_by(conversations.c.visitor_id, conversations.c.id)
        .with_for_update()
    )
    found: dict[str, list[Conversation]] = {}
    for row in connection.execute(query):
        found.setdefault(row.visitor_id, []).append(conversation_of(row))
    return found


def insert(connection: Connection, new: Sequence[Conversation]) -> None:
    """Writes conversations that were not there."""
    if new:
        connection.execute(conversations.insert(), [_values(each) for each in new])


def save(connection: Connection, *changed: Conversation) -> None:
    """Writes conversations as they stand now; they must be there."""
    if changed:
        told = [{f"new_{name}": value for name, value in _values(each).items()} for each in changed]
        connection.execute(_SAVE, told)


def silent_since(connection: Connection, site_id: str, before: datetime, limit: int) -> list[Conversation]:
    """Conversations of a site in which nothing was said since then, the oldest first."""
    old = (conversations.c.state.in_(STATES), conversations.c.last_at < to_micros(before))
    query = select(*COLUMNS).where(conversations.c.site_id == site_id, *old).order_by(conversations.c.last_at)
    return [conversation_of(row) for row in connection.execute(query.limit(limit))]


def remove(connection: Connection, conversation: Conversation) -> None:
    """Removes a conversation with what was said in it and mailed of it."""
    mine = (conversations.c.visitor_id == conversation.visitor_id, conversations.c.id == conversation.id)
    for table in (parts, conversation_mails, mail_addresses):
        of_it = (table.c.visitor_id == conversation.visitor_id, table.c.conversation_id == conversation.id)
        connection.execute(delete(table).where(*of_it))
    connection.execute(delete(conversations).where(*mine))


def list_conversations(
    connection: Connection,
    site_id: str,
    *,
    state: str | None = None,
    assignee_id: str | None = None,
    unassigned: bool = False,
    department_ids: Collection[str] | None = None,
    tag: str | None = None,
    visitor_ids: Collection[str] | None = None,
    words: str | None = None,
    limit: int = 50,
    before: Place | None = None,
) -> list[Conversation]:
    """The conversations of a site, the latest first; `words` are looked for in whatever was said."""
    query = select(*COLUMNS).where(conversations.c.site_id == site_id)
    if state is not None:
        query = query.where(conversations.c.state == state)
    if assignee_id is not None:
        query = query.where(conversations.c.assignee_id == assignee_id)
    if unassigned:
        query = query.where(conversations.c.assignee_id.is_(None))
    if department_ids is not None:
        query = query.where(conversations.c.department_id.in_(list(department_ids)))
    if tag is not None:
        query = query.where(conversations.c.tags.contains(json.dumps(tag), autoescape=True))
    if visitor_ids is not None:
        query = query.where(conversations.c.visitor_id.in_(list(visitor_ids)))
    if words:
        query = query.where(_tells(words))
    if before is not None:
        moment, last = before
        at = conversations.c.last_at
        query = query.where(or_(at < moment, and_(at == moment, conversations.c.id < last)))
    query = query.order_by(conversations.c.last_at.desc(), conversations.c.id.desc()).limit(limit)
    return [conversation_of(row) for row in connection.execute(query)]


def _tells(words: str) -> ColumnElement[bool]:
    """That in some part stands each of these words."""
    same = and_(parts.c.visitor_id == conversations.c.visitor_id, parts.c.conversation_id == conversations.c.id)
    holds = [parts.c.words.contains(each, autoescape=True) for each in words.casefold().split()[:10]]
    return select(parts.c.id).where(same, parts.c.deleted_at.is_(None), *holds).exists()


def place(conversation: Conversation) -> Place:
    """Where it stands in the lists."""
    return to_micros(conversation.last_at), conversation.id


def numbers(connection: Connection, site_id: str) -> dict[tuple[str | None, str | None], tuple[int, int]]:
    """How many open conversations there are by (assignee, department), and how many of them wait for an answer."""
    query = (
        select(
            conversations.c.assignee_id,
            conversations.c.department_id,
            func.count(),
            func.count(conversations.c.waiting_since),
        )
        .where(conversations.c.site_id == site_id, conversations.c.state == "open")
        .group_by(conversations.c.assignee_id, conversations.c.department_id)
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(query)}


def first_waits(
    connection: Connection, site_id: str, since: datetime, limit: int = 10_000
) -> list[tuple[datetime, datetime]]:
    """When visitors began conversations since this moment, and when the first answer came; of those answered."""
    at, states = to_micros(since), conversations.c.state.in_(("open", "snoozed", "closed"))
    query = (
        select(conversations.c.created_at, conversations.c.answered_at)
        .where(conversations.c.site_id == site_id, states, conversations.c.last_at >= at)
        .where(conversations.c.created_at >= at, conversations.c.answered_at.is_not(None))
        .where(conversations.c.opened_by == "visitor")
        .limit(limit)
    )
    return [(from_micros(row.created_at), from_micros(row.answered_at)) for row in connection.execute(query)]


def held_by(connection: Connection, operator_id: str) -> list[tuple[str, str]]:
    """The conversations, as (site id, id), that are not closed and that this operator is to answer."""
    query = select(conversations.c.site_id, conversations.c.id).where(
        conversations.c.assignee_id == operator_id, conversations.c.state != "closed"
    )
    return [(row.site_id, row.id) for row in connection.execute(query)]


def see(connection: Connection, conversation: Conversation, number: int) -> bool:
    """Notes that the visitor has seen the parts up to this one; False where that was known."""
    return _reach(connection, conversation, "seen", number)


def read(connection: Connection, conversation: Conversation, number: int) -> bool:
    """Notes that an operator has read the parts up to this one; False where that was known."""
    return _reach(connection, conversation, "read", number)


def _reach(connection: Connection, conversation: Conversation, name: str, number: int) -> bool:
    column = conversations.c[name]
    reached = min(number, conversation.last)
    mine = and_(conversations.c.visitor_id == conversation.visitor_id, conversations.c.id == conversation.id)
    return (
        connection.execute(update(conversations).where(mine, column < reached).values({column: reached})).rowcount > 0
    )


def forget_browsers(connection: Connection, members: Collection[str], names: Collection[str]) -> None:
    """Takes these browsers out of the conversations of these visitors: they are of somebody else, who is erased."""
    mine = and_(conversations.c.visitor_id.in_(list(members)), conversations.c.anonymous_id.in_(list(names)))
    connection.execute(update(conversations).where(mine).values(anonymous_id=None))


def awake(connection: Connection, now: datetime, limit: int) -> list[Conversation]:
    """Those whose snooze is over."""
    until = conversations.c.snoozed_until
    query = select(*COLUMNS).where(until.is_not(None), until <= to_micros(now)).order_by(until).limit(limit)
    return [conversation_of(row) for row in connection.execute(query)]


def _values(conversation: Conversation) -> Mapping[str, Any]:
    moments = ("created_at", "last_at", "snoozed_until", "waiting_since", "answered_at", "closed_at")
    plain = (
        *("visitor_id", "id", "site_id", "opened_by", "state", "anonymous_id", "message_id", "assignee_id"),
        *("department_id", "last", "seen", "read", "rating", "remark", "preview"),
    )
    told: dict[str, Any] = {name: getattr(conversation, name) for name in plain}
    for name in moments:
        moment = getattr(conversation, name)
        told[name] = None if moment is None else to_micros(moment)
    told["priority"] = PRIORITIES.index(conversation.priority)
    told["tags"] = json.dumps(list(conversation.tags), ensure_ascii=True)
    return told


def conversation_of(row: Row[Any]) -> Conversation:
    """The conversation of a row."""
    return Conversation(
        id=row.id,
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        opened_by=row.opened_by,
        created_at=from_micros(row.created_at),
        last_at=from_micros(row.last_at),
        anonymous_id=row.anonymous_id,
        message_id=row.message_id,
        state=row.state,
        snoozed_until=maybe_from_micros(row.snoozed_until),
        assignee_id=row.assignee_id,
        department_id=row.department_id,
        priority=PRIORITIES[row.priority],
        tags=tuple(json.loads(row.tags)),
        last=row.last,
        seen=row.seen,
        read=row.read,
        waiting_since=maybe_from_micros(row.waiting_since),
        answered_at=maybe_from_micros(row.answered_at),
        closed_at=maybe_from_micros(row.closed_at),
        rating=row.rating,
        remark=row.remark,
        preview=row.preview,
    )
