"""Conversations with all their parts, piece by piece, as files of them are made."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, tuple_

from backend.domain.conversation import Conversation, Part
from backend.storage.conversations import conversation_of
from backend.storage.parts import part_of
from backend.storage.tables import attachments, conversations, parts
from backend.storage.times import to_micros

Place = tuple[str, str]
"""Whose conversation it is, and its id."""

AT_ONCE = 500
"""Parts in memory at a time."""


def piece(
    connection: Connection,
    site_id: str,
    after: Place,
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Conversation]:
    """The site's next conversations behind a place, of those that began from `since` to before `until`."""
    key = tuple_(conversations.c.visitor_id, conversations.c.id)
    query = select(conversations).where(conversations.c.site_id == site_id, key > tuple_(*after))
    if since is not None:
        query = query.where(conversations.c.created_at >= to_micros(since))
    if until is not None:
        query = query.where(conversations.c.created_at < to_micros(until))
    query = query.order_by(conversations.c.visitor_id, conversations.c.id).limit(limit)
    return [conversation_of(row) for row in connection.execute(query)]


def parts_of(
    connection: Connection, group: Sequence[Conversation], kinds: Collection[str] | None = None
) -> Iterator[list[Part]]:
    """The parts of these conversations (of these kinds), by conversation and in order, so many at a time."""
    key = (parts.c.visitor_id, parts.c.conversation_id, parts.c.number)
    theirs = tuple_(*key[:2]).in_([(each.visitor_id, each.id) for each in group])
    query = select(parts).where(theirs).order_by(*key).limit(AT_ONCE)
    if kinds is not None:
        query = query.where(parts.c.kind.in_(list(kinds)))
    last: tuple[str, str, int] | None = None
    while True:
        following = query if last is None else query.where(tuple_(*key) > tuple_(*last))
        found = [part_of(row) for row in connection.execute(following)]
        if found:
            yield found
        if len(found) < AT_ONCE:
            return
        last = (found[-1].visitor_id, found[-1].conversation_id, found[-1].number)


def file_names(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """What was uploaded under these ids, by its name."""
    if not ids:
        return {}
    query = select(attachments.c.id, attachments.c.name).where(attachments.c.id.in_(list(ids)))
    return {row.id: row.name for row in connection.execute(query)}
