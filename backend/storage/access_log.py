"""Who looked at whom: each reading, export and erasure, in SQL; what is new waits in Redis for a moment.

A reader must not wait for the database's one writer, and nothing may be read that is not noted: so a note goes into a
list in Redis, which is as lasting as the log, and from there into SQL in pieces.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
import redis
import structlog
from sqlalchemy import Connection, and_, delete, or_, select, update

from backend.domain.access import Access
from backend.domain.erased import VISITOR, Name
from backend.schemas.wire import encode_json
from backend.storage import tombstones
from backend.storage.bulk import insert_rows
from backend.storage.tables import access_log
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

KEY = "chimein:access"
AT_ONCE = 500

log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(Access).decode
_asked = msgspec.json.Decoder(dict[str, str]).decode


def note(client: redis.Redis, looks: Sequence[Access]) -> bool:
    """Writes looks down; False where Redis does not take them."""
    try:
        client.rpush(KEY, *(encode_json(each) for each in looks))
    except redis.RedisError as error:
        log.warning("access_noted_in_sql", reason=str(error)[:200])
        return False
    return True


def insert(connection: Connection, vault: Vault, looks: Sequence[Access]) -> None:
    """Writes looks into SQL, each once; those at somebody who was erased meanwhile without their id.

    Whoever is erased at this moment waits until these are written, and then finds them.
    """
    tombstones.share(connection)
    named: dict[str, set[Name]] = {}
    for each in looks:
        named.setdefault(each.site_id, set()).add((VISITOR, each.visitor))
    erased = tombstones.find(connection, vault, named)
    hidden = {
        (site_id, value): vault.tombstone(site_id, kind, value)
        for site_id, found in erased.items()
        for kind, value in found
    }
    rows = [
        (
            *(each.id, each.site_id, to_micros(each.at), each.token, each.role, each.action),
            hidden.get((each.site_id, each.visitor), each.visitor),
            each.detail,
            each.shown,
            None if each.asked is None else encode_json(each.asked).decode(),
        )
        for each in looks
    ]
    insert_rows(connection, access_log, rows, ignore=True)


def waiting(client: redis.Redis) -> list[Access]:
    """The next looks that are not in SQL yet."""
    found = cast("list[bytes]", client.lrange(KEY, 0, AT_ONCE - 1))
    return [_decode(each) for each in found]


def done(client: redis.Redis, number: int) -> None:
    """The first so many that waited are in SQL now."""
    client.ltrim(KEY, number, -1)


def forget(connection: Connection, vault: Vault, site_id: str, ids: Collection[str]) -> None:
    """Puts the keyed hash in the place of these visitors' ids."""
    for visitor_id in ids:
        hidden = vault.tombstone(site_id, VISITOR, visitor_id)
        where = (access_log.c.visitor == visitor_id, access_log.c.site_id == site_id)
        connection.execute(update(access_log).where(*where).values(visitor=hidden))


def list_looks(
    connection: Connection,
    site_id: str,
    *,
    visitors: Collection[str] | None = None,
    token: str | None = None,
    action: str | None = None,
    limit: int = 50,
    before: tuple[int, str] | None = None,
) -> list[Access]:
    """A site's looks, newest first; `before` is the place of the last one of the page before."""
    query = select(access_log).where(access_log.c.site_id == site_id)
    if visitors is not None:
        query = query.where(access_log.c.visitor.in_(list(visitors)))
    if token is not None:
        query = query.where(access_log.c.token == token)
    if action is not None:
        query = query.where(access_log.c.action == action)
    if before is not None:
        at, last = before
        query = query.where(or_(access_log.c.at < at, and_(access_log.c.at == at, access_log.c.id < last)))
    rows = connection.execute(query.order_by(access_log.c.at.desc(), access_log.c.id.desc()).limit(limit))
    return [_look(row._mapping) for row in rows]


def place(look: Access) -> tuple[int, str]:
    """Where `list_looks` goes on after this one."""
    return to_micros(look.at), look.id


def expire(connection: Connection, site_id: str, before: datetime, most: int) -> int:
    """Removes up to `most` looks from before this moment; returns how many."""
    old = select(access_log.c.id).where(access_log.c.site_id == site_id, access_log.c.at < to_micros(before))
    ids = list(connection.scalars(old.order_by(access_log.c.at).limit(most)))
    if ids:
        connection.execute(delete(access_log).where(access_log.c.id.in_(ids)))
    return len(ids)


def _look(row: Any) -> Access:
    asked = None if row["asked"] is None else _asked(row["asked"])
    return Access(**{**row, "at": from_micros(row["at"]), "asked": asked})
