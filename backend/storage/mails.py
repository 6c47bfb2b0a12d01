"""Conversations by mail: which parts went out to whom, at most once, and the addresses at which answers come in."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from backend.domain.conversation import Conversation
from backend.storage.conversations import COLUMNS as CONVERSATION
from backend.storage.conversations import conversation_of
from backend.storage.tables import conversation_mails as mails
from backend.storage.tables import conversations, mail_addresses
from backend.storage.times import from_micros, maybe_from_micros, to_micros

LEASE = timedelta(minutes=5)
"""So long a worker may take for one mail; longer than every time limit of a connection together."""

ENDED = ("sent", "failed", "unknown", "skipped")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMail:
    """A mail with the parts `first` to `number` of a conversation. It was promised as `queued`, and then goes the way
    `claimed`, `sending`, and one of `ENDED`."""

    id: str
    site_id: str
    visitor_id: str
    conversation_id: str
    first: int
    number: int
    address: str
    status: str
    attempts: int
    created_at: datetime
    lease_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Correspondent:
    """An address to which a conversation was written; `refused_at` is since when it is known to lead nowhere."""

    site_id: str
    visitor_id: str
    conversation_id: str
    address: str
    refused_at: datetime | None = None


def unmailed(connection: Connection, now: datetime, limit: int) -> list[Conversation]:
    """Conversations with something that neither the visitor has seen nor a mail has told.

    Left out are those that are to be looked at later.
    """
    due = or_(conversations.c.mail_due_at.is_(None), conversations.c.mail_due_at <= to_micros(now))
    unseen = and_(conversations.c.last > conversations.c.mailed, conversations.c.last > conversations.c.seen)
    query = select(*CONVERSATION).where(unseen, due).order_by(conversations.c.last_at)
    return [conversation_of(row) for row in connection.execute(query.limit(limit))]


def mailed(connection: Connection, conversation: Conversation) -> int:
    """Up to which part mails told of this conversation."""
    query = select(conversations.c.mailed).where(_this(conversation))
    return connection.execute(query).scalar_one_or_none() or 0


def off_since(connection: Connection, conversation: Conversation) -> datetime | None:
    """Since when no mails of this conversation are wanted; None where they are."""
    return maybe_from_micros(connection.scalar(select(conversations.c.mails_off_at).where(_this(conversation))))


def turn(connection: Connection, conversation: Conversation, off_since: datetime | None) -> bool:
    """Notes that mails of it are not wanted since then, or (None) are again; False where that is known."""
    told = conversations.c.mails_off_at
    wrong = told.is_(None) if off_since is not None else told.is_not(None)
    values = {"mails_off_at": None if off_since is None else to_micros(off_since)}
    return connection.execute(update(conversations).where(_this(conversation), wrong).values(values)).rowcount > 0


def look_later(connection: Connection, conversation: Conversation, at: datetime) -> None:
    """Leaves a conversation alone until then."""
    values = {"mail_due_at": to_micros(at)}
    connection.execute(update(conversations).where(_this(conversation)).values(values))


def tell_until(connection: Connection, conversation: Conversation, before: int, number: int) -> bool:
    """Moves on up to which part mails told, if that is `before` now: only one can do it."""
    claim = and_(_this(conversation), conversations.c.mailed == before)
    values = {"mailed": number, "mail_due_at": None}
    return connection.execute(update(conversations).where(claim).values(values)).rowcount > 0


def promise(connection: Connection, mail: StoredMail) -> None:
    """Writes down a mail that is to be sent now."""
    at = to_micros(mail.created_at)
    values = {name: getattr(mail, name) for name in ("id", "site_id", "first", "address", "status", "attempts")}
    connection.execute(mails.insert().values(**_key(mail), **values, created_at=at, due_at=at))


def due(connection: Connection, now: datetime, limit: int) -> list[StoredMail]:
    """The mails that wait to be sent, oldest first."""
    query = select(mails).where(mails.c.status == "queued", mails.c.due_at <= to_micros(now))
    return [_mail_of(row) for row in connection.execute(query.order_by(mails.c.due_at).limit(limit))]


def claim(connection: Connection, mail: StoredMail, now: datetime) -> bool:
    """Takes a mail, if nobody else has."""
    values = {"status": "claimed", "lease_until": to_micros(now + LEASE)}
    return _move(connection, mail, "queued", values)


def begin(connection: Connection, mail: StoredMail, now: datetime) -> bool:
    """From here on nobody can tell whether it left, but who sends it."""
    return _move(connection, mail, "claimed", {"status": "sending", "lease_until": to_micros(now + LEASE)})


def end(connection: Connection, mail: StoredMail, status: str, now: datetime, reason: str | None = None) -> bool:
    """Writes down how it ended; False where it had ended otherwise before."""
    values: dict[str, Any] = {"status": status, "reason": reason, "lease_until": None}
    if status == "sent":
        values["sent_at"] = to_micros(now)
    held = mails.c.status.in_(("claimed", "sending", "unknown") if status == "sent" else ("claimed", "sending"))
    return connection.execute(update(mails).where(_is(mail), held).values(values)).rowcount > 0


def again(connection: Connection, mail: StoredMail, at: datetime, reason: str, *, counted: bool) -> bool:
    """It surely did not leave: it waits until then."""
    values = {"status": "queued", "lease_until": None, "due_at": to_micros(at), "reason": reason}
    held = mails.c.status.in_(("claimed", "sending"))
    attempts = mails.c.attempts + int(counted)
    return connection.execute(update(mails).where(_is(mail), held).values(attempts=attempts, **values)).rowcount > 0


def recover(connection: Connection, now: datetime, *, idempotent: bool) -> tuple[int, list[StoredMail]]:
    """Takes back what dead workers held: how many wait again, and those of which nobody knows whether they left."""
    lapsed = mails.c.lease_until <= to_micros(now)
    safe = ("claimed", "sending") if idempotent else ("claimed",)
    values = {"status": "queued", "lease_until": None}
    queued = connection.execute(update(mails).where(mails.c.status.in_(safe), lapsed).values(values)).rowcount
    query = select(mails).where(mails.c.status == "sending", lapsed)
    lost = [_mail_of(row) for row in connection.execute(query.limit(100))]
    return queued, [each for each in lost if end(connection, each, "unknown", now, "its worker died")]


def ids_of(connection: Connection, conversation: Conversation, limit: int = 50) -> list[tuple[str, datetime]]:
    """The ids of the latest mails of a conversation that may have left, and when they were made, oldest first."""
    query = select(mails.c.id, mails.c.created_at).where(
        mails.c.visitor_id == conversation.visitor_id,
        mails.c.conversation_id == conversation.id,
        mails.c.status.not_in(("skipped", "failed")),
    )
    rows = connection.execute(query.order_by(mails.c.number.desc()).limit(limit)).all()
    return [(row.id, from_micros(row.created_at)) for row in reversed(rows)]


def correspond(connection: Connection, who: Correspondent, digest: str, now: datetime) -> Correspondent:
    """Notes to whom a conversation is written, once; answers what is known of that address."""
    table = mail_addresses.c
    mine = and_(
        table.visitor_id == who.visitor_id, table.conversation_id == who.conversation_id, table.address == who.address
    )
    row = connection.execute(select(mail_addresses).where(mine)).first()
    if row is not None:
        return _correspondent_of(row)
    values = {name: getattr(who, name) for name in ("site_id", "visitor_id", "conversation_id", "address")}
    connection.execute(mail_addresses.insert().values(**values, digest=digest, created_at=to_micros(now)))
    return who


def correspondent(connection: Connection, digest: str) -> Correspondent | None:
    """Whose token has this keyed hash."""
    row = connection.execute(select(mail_addresses).where(mail_addresses.c.digest == digest)).first()
    return None if row is None else _correspondent_of(row)


def refuse(connection: Connection, who: Correspondent, now: datetime) -> bool:
    """Notes that this address leads nowhere, in every conversation of the site; False where that was known."""
    table = mail_addresses.c
    mine = and_(table.site_id == who.site_id, table.address == who.address, table.visitor_id == who.visitor_id)
    values = {"refused_at": to_micros(now)}
    return (
        connection.execute(update(mail_addresses).where(mine, table.refused_at.is_(None)).values(values)).rowcount > 0
    )


def refused(connection: Connection, members: Collection[str], address: str) -> bool:
    """Whether a mail to one of these visitors came back from this address for good."""
    table = mail_addresses.c
    query = select(table.address).where(
        table.visitor_id.in_(list(members)), table.address == address, table.refused_at.is_not(None)
    )
    return connection.execute(query.limit(1)).first() is not None


def _move(connection: Connection, mail: StoredMail, status: str, values: dict[str, Any]) -> bool:
    return connection.execute(update(mails).where(_is(mail), mails.c.status == status).values(values)).rowcount > 0


def _key(mail: StoredMail) -> dict[str, Any]:
    return {"visitor_id": mail.visitor_id, "conversation_id": mail.conversation_id, "number": mail.number}


def _is(mail: StoredMail) -> ColumnElement[bool]:
    return and_(*(mails.c[name] == value for name, value in _key(mail).items()))


def _this(conversation: Conversation) -> ColumnElement[bool]:
    return and_(conversations.c.visitor_id == conversation.visitor_id, conversations.c.id == conversation.id)


def _mail_of(row: Row[Any]) -> StoredMail:
    return StoredMail(
        id=row.id,
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        conversation_id=row.conversation_id,
        first=row.first,
        number=row.number,
        address=row.address,
        status=row.status,
        attempts=row.attempts,
        created_at=from_micros(row.created_at),
        lease_until=maybe_from_micros(row.lease_until),
    )


def _correspondent_of(row: Row[Any]) -> Correspondent:
    return Correspondent(
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        conversation_id=row.conversation_id,
        address=row.address,
        refused_at=maybe_from_micros(row.refused_at),
    )
