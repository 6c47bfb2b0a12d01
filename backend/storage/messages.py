"""The messages: promises made with the decision, and what became of them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, or_, select, update

from backend.domain.message import ON_SITE, Message
from backend.schemas.documents import decode_content, encode_content
from backend.storage.bulk import delete_rows, insert_rows, rows_of
from backend.storage.tables import messages
from backend.storage.times import from_micros, maybe_from_micros, to_micros

FEEDBACK = {
    "Message Shown": "shown",
    "Message Clicked": "clicked",
    "Message Dismissed": "dismissed",
    "Message Replied": "replied",
    "Message Answered": "replied",
}
"""What the page reports, and the status that it means."""

_RANK = ("queued", "claimed", "sending", "sent", "expired", "shown", "dismissed", "clicked", "replied")


def insert(connection: Connection, promised: Iterable[Message]) -> None:
    """Writes messages that were just decided; one that is there already stays as it is."""
    insert_rows(connection, messages, [_row(each) for each in promised], ignore=True)


def get(connection: Connection, visitor_id: str, message_id: str) -> Message | None:
    """One message; None when there is none."""
    row = connection.execute(
        select(messages).where(messages.c.visitor_id == visitor_id, messages.c.id == message_id)
    ).one_or_none()
    return None if row is None else message_of(row)


def among(connection: Connection, members: Collection[str], ids: Collection[str]) -> list[Message]:
    """The messages with these ids that are of one of these visitors."""
    query = select(messages).where(messages.c.visitor_id.in_(list(members)), messages.c.id.in_(list(ids)))
    return [message_of(row) for row in connection.execute(query)]


def waiting_on_site(connection: Connection, members: Collection[str], now: datetime) -> list[Message]:
    """What the page has not shown yet, oldest first."""
    query = (
        select(messages)
        .where(
            messages.c.visitor_id.in_(list(members)),
            messages.c.channel.in_(list(ON_SITE)),
            messages.c.status == "queued",
            messages.c.expires_at > to_micros(now),
        )
        .order_by(messages.c.created_at, messages.c.id)
    )
    return [message_of(row) for row in connection.execute(query)]


def addresses(connection: Connection, members: Collection[str]) -> list[str]:
    """Where these visitors were written to."""
    query = select(messages.c.address).where(messages.c.visitor_id.in_(list(members)), messages.c.address.is_not(None))
    return [each for each in connection.scalars(query.distinct()) if each is not None]


def talked(connection: Connection, members: Collection[str], most: int) -> list[Message]:
    """The latest messages of a visitor's conversation, oldest first: seen in the chat, or replied to on the site."""
    in_chat = and_(messages.c.channel == "chat", messages.c.shown_at.is_not(None))
    replied = and_(messages.c.channel.in_(list(ON_SITE)), messages.c.replied_at.is_not(None))
    query = (
        select(messages)
        .where(messages.c.visitor_id.in_(list(members)), or_(in_chat, replied))
        .order_by(messages.c.created_at.desc(), messages.c.id.desc())
        .limit(most)
    )
    return [message_of(row) for row in connection.execute(query)][::-1]


def list_messages(
    connection: Connection,
    site_id: str,
    *,
    rule: str | None = None,
    visitor_ids: Collection[str] | None = None,
    channel: str | None = None,
    status: str | None = None,
    limit: int = 50,
    before: tuple[int, str] | None = None,
) -> list[Message]:
    """A site's messages, newest first; `before` is (created at in µs, id)."""
    query = select(messages).where(messages.c.site_id == site_id)
    if rule is not None:
        query = query.where(messages.c.rule_id == rule)
    if visitor_ids is not None:
        query = query.where(messages.c.visitor_id.in_(list(visitor_ids)))
    if channel is not None:
        query = query.where(messages.c.channel == channel)
    if status is not None:
        query = query.where(messages.c.status == status)
    if before is not None:
        moment, last = before
        query = query.where(
            or_(messages.c.created_at < moment, and_(messages.c.created_at == moment, messages.c.id < last))
        )
    query = query.order_by(messages.c.created_at.desc(), messages.c.id.desc()).limit(limit)
    return [message_of(row) for row in connection.execute(query)]


def cursor_of(message: Message) -> tuple[int, str]:
    """Where `list_messages` goes on after this one."""
    return to_micros(message.created_at), message.id


def record_feedback(
    connection: Connection, told: Iterable[tuple[Collection[str], str, datetime, Mapping[str, Any]]]
) -> None:
    """Notes what the page reports: (the visitor's ids, event name, moment, properties).

    A status only moves forward, and each moment is the first of its kind; reports about a stranger's message are
    ignored.
    """
    for members, name, moment, properties in told:
        status = FEEDBACK[name]
        message_id = properties.get("message_id")
        if not isinstance(message_id, str):
            continue
        mine = and_(messages.c.visitor_id.in_(list(members)), messages.c.id == message_id)
        column = messages.c[f"{status}_at"]
        connection.execute(update(messages).where(mine, column.is_(None)).values({column: to_micros(moment)}))
        if status != "shown":
            connection.execute(
                update(messages).where(mine, messages.c.shown_at.is_(None)).values(shown_at=to_micros(moment))
            )
        lower = _RANK[: _RANK.index(status)]
        connection.execute(update(messages).where(mine, messages.c.status.in_(lower)).values(status=status))
        text = properties.get("text")
        if name == "Message Replied" and isinstance(text, str):
            connection.execute(update(messages).where(mine).values(reply=text[:10_000]))
        pressed = properties.get("answer")
        if name == "Message Answered" and isinstance(pressed, str):
            # What they wrote themselves says more than the button that they pressed.
            wanted = and_(mine, messages.c.reply.is_(None))
            connection.execute(update(messages).where(wanted).values(reply=pressed[:10_000]))


def of_enrolments(connection: Connection, visitor_id: str, enrolment_ids: Collection[str]) -> dict[str, str]:
    """The enrolment of each of a visitor's messages that these led to, by the message's id."""
    among = {messages.c.visitor_id: [visitor_id], messages.c.enrolment_id: enrolment_ids}
    return dict(rows_of(connection, (messages.c.id, messages.c.enrolment_id), among))


def give(connection: Connection, visitor_id: str, enrolment_ids: Collection[str], to: str) -> None:
    """Makes what these enrolments said that of another visitor; what is just being handed over stays where it is."""
    connection.execute(
        update(messages)
        .where(
            messages.c.visitor_id == visitor_id,
            messages.c.enrolment_id.in_(list(enrolment_ids)),
            messages.c.status != "sending",
        )
        .values(visitor_id=to)
    )


def remove_telling(connection: Connection, members: Collection[str], texts: Collection[str], since: datetime) -> None:
    """Removes these visitors' messages from `since` on in which one of these texts stands, as it is written in JSON."""
    if not texts:
        return
    query = select(messages.c.visitor_id, messages.c.id, messages.c.content)
    made = messages.c.visitor_id.in_(list(members)), messages.c.created_at >= to_micros(since)
    rows = connection.execute(query.where(*made))
    found = [(row.visitor_id, row.id) for row in rows if any(text in row.content for text in texts)]
    delete_rows(connection, messages, found)


def remove_made(connection: Connection, members: Collection[str], since: datetime, until: datetime) -> None:
    """Removes all of these visitors' messages that were made between these moments."""
    made = messages.c.created_at.between(to_micros(since), to_micros(until))
    connection.execute(delete(messages).where(messages.c.visitor_id.in_(list(members)), made))


def set_status(
    connection: Connection, visitor_id: str, message_id: str, status: str, reason: str | None, *, expected: str
) -> bool:
    """Moves a message from `expected` to another status; False when it was elsewhere already."""
    moved = connection.execute(
        update(messages)
        .where(messages.c.visitor_id == visitor_id, messages.c.id == message_id, messages.c.status == expected)
        .values(status=status, reason=reason)
    )
    return moved.rowcount == 1


def _row(message: Message) -> tuple[Any, ...]:
    return (
        message.visitor_id,
        message.id,
        message.site_id,
        message.rule_id,
        message.enrolment_id,
        message.channel,
        message.variant,
        message.status,
        message.reason,
        message.anonymous_id,
        message.address,
        encode_content(message.content),
        to_micros(message.created_at),
        to_micros(message.expires_at),
        to_micros(message.due_at),
        None,
        message.attempts,
        *(
            None if moment is None else to_micros(moment)
            for moment in (
                message.sent_at,
                message.shown_at,
                message.clicked_at,
                message.dismissed_at,
                message.replied_at,
            )
        ),
        message.reply,
        message.step,
    )


def message_of(row: Row[Any]) -> Message:
    """The message of a whole row."""
    return Message(
        id=row.id,
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        rule_id=row.rule_id,
        enrolment_id=row.enrolment_id,
        channel=row.channel,
        variant=row.variant,
        content=decode_content(row.content),
        created_at=from_micros(row.created_at),
        expires_at=from_micros(row.expires_at),
        due_at=from_micros(row.due_at),
        status=row.status,
        reason=row.reason,
        anonymous_id=row.anonymous_id,
        address=row.address,
        attempts=row.attempts,
        step=row.step,
        sent_at=maybe_from_micros(row.sent_at),
        shown_at=maybe_from_micros(row.shown_at),
        clicked_at=maybe_from_micros(row.clicked_at),
        dismissed_at=maybe_from_micros(row.dismissed_at),
        replied_at=maybe_from_micros(row.replied_at),
        reply=row.reply,
    )
