"""The journal of merges: who was told to be whom, by what, and what of it was taken back; rows are never removed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, or_, select, update

from backend.storage.bulk import insert_rows, rows_of
from backend.storage.tables import merges
from backend.storage.times import from_micros, maybe_from_micros, to_micros


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """One link: the visitor `member_id` turned out to be `visitor_id`, both as they were named then.

    `source` is identify, signed, alias, the type of another event, or api; `message_id` that of the event; `author` the
    name of the token. `at` is the event's own time.
    """

    id: str
    visitor_id: str
    member_id: str
    site_id: str
    source: str
    message_id: str
    at: datetime
    author: str | None = None
    undone_at: datetime | None = None
    undone_by: str | None = None


_COLUMNS = tuple(merges.columns)


def record(connection: Connection, made: Sequence[Merge]) -> None:
    """Journals merges; one that is there already stays as it is."""
    rows = [
        (
            *(each.visitor_id, each.id, each.member_id, each.site_id, each.source, each.message_id, each.author),
            *(to_micros(each.at), None, None),
        )
        for each in made
    ]
    insert_rows(connection, merges, rows, ignore=True)


def of_visitors(connection: Connection, ids: Collection[str]) -> list[Merge]:
    """Every merge that was made into one of these visitors, undone or not, in order of time."""
    found = rows_of(connection, _COLUMNS, {merges.c.visitor_id: ids})
    return sorted((_merge(row) for row in found), key=lambda each: (each.at, each.id))


def find(connection: Connection, ids: Collection[str], merge_id: str) -> Merge | None:
    """The merge with this id in which one of these visitors took part; None where there is none."""
    took_part = or_(merges.c.visitor_id.in_(list(ids)), merges.c.member_id.in_(list(ids)))
    row = connection.execute(select(merges).where(took_part, merges.c.id == merge_id)).first()
    return None if row is None else _merge(tuple(row))


def list_merges(
    connection: Connection, ids: Collection[str], limit: int, before: tuple[int, str] | None = None
) -> list[Merge]:
    """The merges in which one of these visitors took part, newest first; `before` is (at in µs, id)."""
    query = select(merges).where(or_(merges.c.visitor_id.in_(list(ids)), merges.c.member_id.in_(list(ids))))
    if before is not None:
        moment, last = before
        query = query.where(or_(merges.c.at < moment, and_(merges.c.at == moment, merges.c.id < last)))
    query = query.order_by(merges.c.at.desc(), merges.c.id.desc()).limit(limit)
    return [_merge(tuple(row)) for row in connection.execute(query)]


def parted(connection: Connection, ids: Collection[str]) -> list[Merge]:
    """The merges that were undone in which one of these visitors took part."""
    took_part = or_(merges.c.visitor_id.in_(list(ids)), merges.c.member_id.in_(list(ids)))
    found = connection.execute(select(merges).where(took_part, merges.c.undone_at.is_not(None)))
    return [_merge(tuple(row)) for row in found]


def undo(connection: Connection, merge: Merge, at: datetime, author: str | None) -> bool:
    """Notes that this merge was taken back; False where that had been done."""
    done = connection.execute(
        update(merges)
        .where(merges.c.visitor_id == merge.visitor_id, merges.c.id == merge.id, merges.c.undone_at.is_(None))
        .values(undone_at=to_micros(at), undone_by=author)
    )
    return done.rowcount == 1


def cursor_of(merge: Merge) -> tuple[int, str]:
    """Where `list_merges` goes on after this one."""
    return to_micros(merge.at), merge.id


def below(journal: Iterable[Merge], visitor_id: str) -> set[str]:
    """This visitor and all who belong to it by merges that hold, through others too."""
    members: dict[str, list[str]] = {}
    for each in journal:
        if each.undone_at is None:
            members.setdefault(each.visitor_id, []).append(each.member_id)
    found, todo = {visitor_id}, [visitor_id]
    while todo:
        fresh = [each for each in members.get(todo.pop(), ()) if each not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def _merge(row: Sequence[object]) -> Merge:
    visitor_id, merge_id, member_id, site_id, source, message_id, author, at, undone_at, undone_by = row
    return Merge(
        id=str(merge_id),
        visitor_id=str(visitor_id),
        member_id=str(member_id),
        site_id=str(site_id),
        source=str(source),
        message_id=str(message_id),
        author=None if author is None else str(author),
        at=from_micros(at),  # type: ignore[arg-type]
        undone_at=maybe_from_micros(undone_at),  # type: ignore[arg-type]
        undone_by=None if undone_by is None else str(undone_by),
    )
