"""The attachments: one row each, under the visitor whose they are; their bytes lie in files (see `storage/files`)."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from backend.domain.attachment import Attachment
from backend.domain.conversation import Conversation
from backend.storage.bulk import insert_rows
from backend.storage.tables import attachments, parts
from backend.storage.times import from_micros, to_micros


def insert(connection: Connection, attachment: Attachment) -> None:
    """Writes a new one; the first of an id stays."""
    told = {column.name: getattr(attachment, column.name) for column in attachments.columns}
    told["at"] = to_micros(attachment.at)
    insert_rows(connection, attachments, [tuple(told.values())], ignore=True)


def find(connection: Connection, attachment_id: str) -> Attachment | None:
    """The one with this id; None when there is none."""
    row = connection.execute(select(attachments).where(attachments.c.id == attachment_id)).first()
    return None if row is None else attachment_of(row)


def bind(connection: Connection, members: Collection[str], ids: Collection[str], part_id: str) -> list[Attachment]:
    """Those of these that are these visitors' and were not said yet, now said with this part, in the order of `ids`."""
    mine = (attachments.c.visitor_id.in_(list(members)), attachments.c.id.in_(list(ids)))
    free = (*mine, attachments.c.part_id.is_(None))
    found = {row.id: attachment_of(row) for row in connection.execute(select(attachments).where(*free))}
    if found:
        connection.execute(update(attachments).where(*free).values(part_id=part_id))
    return [found[each] for each in dict.fromkeys(ids) if each in found]


def waiting(connection: Connection, visitor_id: str, since: datetime) -> tuple[int, int]:
    """How many files this visitor has sent since then, and their bytes."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(attachments.c.size), 0)).where(
            attachments.c.visitor_id == visitor_id, attachments.c.at > to_micros(since)
        )
    ).one()
    return int(row[0]), int(row[1])


def unsaid(connection: Connection, site_id: str) -> int:
    """The bytes of all files of a site that were sent and not said with anything."""
    query = select(func.coalesce(func.sum(attachments.c.size), 0)).where(
        attachments.c.site_id == site_id, attachments.c.part_id.is_(None)
    )
    return int(connection.execute(query).scalar_one())


def of_part(connection: Connection, visitor_id: str, part_id: str) -> list[Attachment]:
    """Those that were said with a part."""
    query = select(attachments).where(attachments.c.visitor_id == visitor_id, attachments.c.part_id == part_id)
    return [attachment_of(row) for row in connection.execute(query)]


def of_conversation(connection: Connection, members: Collection[str], conversation: Conversation) -> list[Attachment]:
    """Those of these visitors that were said in a conversation."""
    mine = (parts.c.visitor_id == conversation.visitor_id, parts.c.conversation_id == conversation.id)
    said = attachments.c.part_id.in_(select(parts.c.id).where(*mine))
    query = select(attachments).where(attachments.c.visitor_id.in_(list(members)), said)
    return [attachment_of(row) for row in connection.execute(query)]


def forgotten(connection: Connection, before: datetime, limit: int) -> list[Attachment]:
    """Those that were sent before this moment and never said with anything."""
    query = (
        select(attachments)
        .where(attachments.c.part_id.is_(None), attachments.c.at < to_micros(before))
        .order_by(attachments.c.at)
        .limit(limit)
    )
    return [attachment_of(row) for row in connection.execute(query)]


def remove(connection: Connection, visitor_id: str, attachment_id: str) -> bool:
    """Removes one; True where no other of this visitor has the same bytes, so that they may go too."""
    mine = attachments.c.visitor_id == visitor_id
    digest = connection.scalar(select(attachments.c.digest).where(mine, attachments.c.id == attachment_id))
    connection.execute(delete(attachments).where(mine, attachments.c.id == attachment_id))
    same = select(attachments.c.id).where(mine, attachments.c.digest == digest).limit(1)
    return digest is not None and connection.scalar(same) is None


def attachment_of(row: Row[Any]) -> Attachment:
    """The attachment of a row."""
    return Attachment(
        **{name: getattr(row, name) for name in ("id", "site_id", "visitor_id", "name", "type", "size", "digest")},
        at=from_micros(row.at),
        part_id=row.part_id,
    )
