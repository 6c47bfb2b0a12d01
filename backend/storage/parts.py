"""The parts of conversations: one row each, in order of number."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, select, tuple_, update

from backend.domain.conversation import Conversation, Part
from backend.schemas.documents import decode_content, encode_content
from backend.storage.tables import conversations, parts, sites
from backend.storage.times import from_micros, maybe_from_micros, to_micros


def insert(connection: Connection, *new: Part) -> None:
    """Writes new parts; their numbers must be free."""
    if new:
        connection.execute(parts.insert(), [_values(each) for each in new])


def save(connection: Connection, part: Part) -> None:
    """Writes a part that was changed."""
    values = _values(part)
    key = and_(
        parts.c.visitor_id == part.visitor_id,
        parts.c.conversation_id == part.conversation_id,
        parts.c.number == part.number,
    )
    connection.execute(update(parts).where(key).values(values))


def find(connection: Connection, visitor_id: str, part_id: str) -> Part | None:
    """The part with this id in any of a visitor's conversations; None when there is none."""
    row = connection.execute(select(parts).where(parts.c.visitor_id == visitor_id, parts.c.id == part_id)).first()
    return None if row is None else part_of(row)


def known(connection: Connection, members: Collection[str], ids: Collection[str]) -> set[str]:
    """Those of these ids under which these visitors have a part already."""
    query = select(parts.c.id).where(parts.c.visitor_id.in_(list(members)), parts.c.id.in_(list(ids)))
    return set(connection.scalars(query))


def list_parts(
    connection: Connection,
    conversation: Conversation,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = 50,
    kinds: Collection[str] | None = None,
) -> list[Part]:
    """The latest parts of a conversation behind `after` (and before `before`), in order."""
    query = select(parts).where(
        parts.c.visitor_id == conversation.visitor_id,
        parts.c.conversation_id == conversation.id,
        parts.c.number > after,
    )
    if before is not None:
        query = query.where(parts.c.number < before)
    if kinds is not None:
        query = query.where(parts.c.kind.in_(list(kinds)))
    rows = connection.execute(query.order_by(parts.c.number.desc()).limit(limit)).all()
    return [part_of(row) for row in reversed(rows)]


def forget(
    connection: Connection, members: Collection[str], authors: Collection[str], texts: Collection[str], now: datetime
) -> None:
    """Empties what these authors said in the conversations of these visitors, and what tells one of these texts.

    The texts are as they are written in JSON. The places of the parts stay.
    """
    mine = parts.c.visitor_id.in_(list(members))
    emptied: set[tuple[str, str]] = set()
    for row in connection.execute(select(parts).where(mine)).all():
        told = f"{encode_content({'text': row.text})} {row.content}"
        if row.author_id in authors or any(text in told for text in texts):
            gone = {"text": "", "content": "{}", "words": "", "author_id": None, "deleted_at": to_micros(now)}
            key = and_(
                parts.c.visitor_id == row.visitor_id,
                parts.c.conversation_id == row.conversation_id,
                parts.c.number == row.number,
            )
            connection.execute(update(parts).where(key).values(gone))
            emptied.add((row.visitor_id, row.conversation_id))
    for visitor_id, conversation_id in emptied:
        key = and_(conversations.c.visitor_id == visitor_id, conversations.c.id == conversation_id)
        connection.execute(update(conversations).where(key).values(preview="", remark=None))


def told(connection: Connection, found: Collection[Conversation]) -> dict[str, tuple[int, int]]:
    """Of each conversation the last part that its visitor may see, and how many of those that they have not seen."""
    if not found:
        return {}
    fresh = and_(parts.c.author != "visitor", parts.c.number > conversations.c.seen)
    same = and_(parts.c.visitor_id == conversations.c.visitor_id, parts.c.conversation_id == conversations.c.id)
    query = (
        select(parts.c.conversation_id, func.max(parts.c.number), func.count(case((fresh, 1))))
        .join(conversations, same)
        .where(
            parts.c.visitor_id.in_({each.visitor_id for each in found}),
            parts.c.conversation_id.in_([each.id for each in found]),
            parts.c.kind == "message",
        )
        .group_by(parts.c.conversation_id)
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def said_since(connection: Connection, since: datetime, most: int) -> list[Part]:
    """The latest parts of all conversations since a moment, in order of time."""
    query = select(parts).where(parts.c.site_id.in_(select(sites.c.id)), parts.c.at > to_micros(since))
    rows = connection.execute(query.order_by(parts.c.at.desc(), parts.c.number.desc()).limit(most)).all()
    return [part_of(row) for row in reversed(rows)]


Place = tuple[str, str, int]
"""A part's visitor, conversation and number."""


def list_of_visitors(
    connection: Connection, members: Collection[str], limit: int, before: Place | None = None
) -> list[Part]:
    """The parts of all conversations of these visitors, by conversation, the latest first."""
    key = (parts.c.visitor_id, parts.c.conversation_id, parts.c.number)
    query = select(parts).where(parts.c.visitor_id.in_(list(members)))
    if before is not None:
        query = query.where(tuple_(*key) < tuple_(*before))
    rows = connection.execute(query.order_by(*(each.desc() for each in key)).limit(limit))
    return [part_of(row) for row in rows]


def place(part: Part) -> Place:
    """Where it stands in that list."""
    return part.visitor_id, part.conversation_id, part.number


def _values(part: Part) -> dict[str, Any]:
    told = " ".join(str(part.content.get(name) or "") for name in ("title", "body", "subject"))
    return {
        "visitor_id": part.visitor_id,
        "conversation_id": part.conversation_id,
        "number": part.number,
        "id": part.id,
        "site_id": part.site_id,
        "author": part.author,
        "author_id": part.author_id,
        "kind": part.kind,
        "channel": part.channel,
        "text": part.text,
        "content": encode_content(part.content),
        "words": f"{part.text} {told}".casefold().strip(),
        "at": to_micros(part.at),
        "edited_at": None if part.edited_at is None else to_micros(part.edited_at),
        "deleted_at": None if part.deleted_at is None else to_micros(part.deleted_at),
    }


def part_of(row: Row[Any]) -> Part:
    """The part of a row."""
    return Part(
        id=row.id,
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        conversation_id=row.conversation_id,
        number=row.number,
        author=row.author,
        author_id=row.author_id,
        kind=row.kind,
        channel=row.channel,
        text=row.text,
        content=decode_content(row.content),
        at=from_micros(row.at),
        edited_at=maybe_from_micros(row.edited_at),
        deleted_at=maybe_from_micros(row.deleted_at),
    )
