"""The canned replies of a site, found by their shortcut."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.domain.canned_reply import CannedReply
from backend.errors import Conflict
from backend.storage.tables import canned_replies as replies
from backend.storage.times import from_micros, to_micros


def list_replies(connection: Connection, site_id: str, begins: str = "", limit: int = 1_000) -> list[CannedReply]:
    """The site's canned replies whose shortcuts begin so, by shortcut."""
    query = select(replies).where(replies.c.site_id == site_id)
    if begins:
        query = query.where(replies.c.shortcut.startswith(begins.lower(), autoescape=True))
    return [_reply(row) for row in connection.execute(query.order_by(replies.c.shortcut).limit(limit))]


def find(connection: Connection, site_id: str, reply_id: str) -> CannedReply | None:
    """The site's canned reply of this id."""
    row = connection.execute(select(replies).where(replies.c.site_id == site_id, replies.c.id == reply_id)).first()
    return None if row is None else _reply(row)


def create(connection: Connection, site_id: str, shortcut: str, text: str, now: datetime) -> CannedReply:
    """Writes a new one; Conflict where the shortcut is taken."""
    made = CannedReply(id=uuid.uuid4().hex, site_id=site_id, shortcut=shortcut.lower(), text=text, created_at=now)
    row = {"site_id": site_id, "id": made.id, "shortcut": made.shortcut, "text": text}
    try:
        connection.execute(insert(replies).values(**row, created_at=to_micros(now), updated_at=to_micros(now)))
    except IntegrityError:
        raise _taken(shortcut) from None
    return made


def change(connection: Connection, reply: CannedReply, now: datetime) -> None:
    """Writes it as it stands now; Conflict where its shortcut is taken."""
    query = update(replies).where(replies.c.site_id == reply.site_id, replies.c.id == reply.id)
    try:
        connection.execute(query.values(shortcut=reply.shortcut.lower(), text=reply.text, updated_at=to_micros(now)))
    except IntegrityError:
        raise _taken(reply.shortcut) from None


def remove(connection: Connection, site_id: str, reply_id: str) -> bool:
    """Removes it; False where there is none."""
    query = delete(replies).where(replies.c.site_id == site_id, replies.c.id == reply_id)
    return connection.execute(query).rowcount > 0


def _taken(shortcut: str) -> Conflict:
    return Conflict(f"There is a canned reply /{shortcut.lower()} already.")


def _reply(row: Row[Any]) -> CannedReply:
    return CannedReply(
        id=row.id, site_id=row.site_id, shortcut=row.shortcut, text=row.text, created_at=from_micros(row.created_at)
    )
