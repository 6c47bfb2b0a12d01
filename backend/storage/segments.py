"""Segments: a small reference table with their definitions, and a table of who belongs to which."""

import json
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from backend.domain.funnel import KEY
from backend.domain.mistakes import RuleErrors
from backend.domain.profile import Profile
from backend.domain.segment import Segment, SegmentSpec, parse_segment
from backend.errors import Conflict
from backend.storage.bulk import delete_rows, upsert_rows
from backend.storage.tables import segment_members, segments
from backend.storage.times import from_micros, to_micros

logger = logging.getLogger(__name__)

_Row = Row[tuple[str, str, str, int, int, str, int, int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSegment:
    """A segment as the API shows it: `document` is what was written down, `known` the site's names by id."""

    id: str
    site_id: str
    name: str
    version: int
    revision: int
    document: Mapping[str, Any]
    known: Mapping[str, str]
    created_at: datetime
    updated_at: datetime

    def segment(self) -> Segment:
        """The segment for the engine; RuleErrors where this version of chimein no longer understands it."""
        spec = parse_segment(dict(self.document), self.known)
        return Segment(id=self.id, site_id=self.site_id, spec=spec, revision=self.revision)


def new_id() -> str:
    """The id of a segment that is yet to be stored."""
    return uuid.uuid4().hex


def create_segment(
    conn: Connection, site_id: str, spec: SegmentSpec, now: datetime, segment_id: str | None = None
) -> StoredSegment:
    """Stores a new segment, version 1; Conflict where its name is taken."""
    segment_id, moment = segment_id or new_id(), to_micros(now)
    values = {"id": segment_id, "site_id": site_id, "version": 1, "created_at": moment, "updated_at": moment}
    try:
        conn.execute(insert(segments).values(**values, **_columns(spec), revision=_next_revision(conn, site_id)))
    except IntegrityError as error:
        raise _taken(spec) from error
    return _present(conn, site_id, segment_id)


def replace_segment(
    conn: Connection, site_id: str, segment_id: str, spec: SegmentSpec, *, anew: bool, now: datetime
) -> StoredSegment:
    """Puts a new document in the place of the old one; with `anew` everybody is asked again. Conflict as above."""
    values = {**_columns(spec), "version": segments.c.version + 1, "updated_at": to_micros(now)}
    if anew:
        values["revision"] = _next_revision(conn, site_id)
    try:
        conn.execute(update(segments).where(segments.c.id == segment_id).values(**values))
    except IntegrityError as error:
        raise _taken(spec) from error
    return _present(conn, site_id, segment_id)


def ask_anew(conn: Connection, site_id: str, text: str) -> None:
    """Lets everybody be asked anew about the segments in whose conditions this text stands."""
    here = (segments.c.site_id == site_id, segments.c.deleted_at.is_(None), segments.c.document.contains(text))
    for segment_id in list(conn.scalars(select(segments.c.id).where(*here).order_by(segments.c.id))):
        values = {"revision": _next_revision(conn, site_id)}
        conn.execute(update(segments).where(segments.c.id == segment_id).values(**values))


def delete_segment(conn: Connection, segment_id: str, now: datetime) -> None:
    """Takes a segment away; its row stays, so that no later definition gets its revision, and frees its name."""
    moment = to_micros(now)
    gone = {"name": f"\x7f{segment_id}", "deleted_at": moment, "updated_at": moment}
    conn.execute(update(segments).where(segments.c.id == segment_id).values(**gone))


def get_segment(conn: Connection, site_id: str, ref: str, *, lock: bool = False) -> StoredSegment | None:
    """The site's segment with this id or name; `lock` keeps whoever wants to refer to it waiting."""
    query = select(segments).where(segments.c.site_id == site_id, segments.c.deleted_at.is_(None))
    query = query.where((segments.c.id == ref) | (segments.c.name == ref))
    row = conn.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _stored(row, known(conn, site_id))


def list_segments(
    conn: Connection, site_id: str, *, limit: int | None = None, after: tuple[int, str] | None = None
) -> list[StoredSegment]:
    """The site's segments, oldest first, after the place `after`."""
    query = (
        select(segments)
        .where(segments.c.site_id == site_id, segments.c.deleted_at.is_(None))
        .order_by(segments.c.created_at, segments.c.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(segments.c.created_at, segments.c.id) > tuple_(*after))
    names = known(conn, site_id)
    return [_stored(row, names) for row in conn.execute(query)]


def place(stored: StoredSegment) -> tuple[int, str]:
    """Where the segment stands in the list."""
    return to_micros(stored.created_at), stored.id


def known(conn: Connection, site_id: str, *, lock: bool = False) -> dict[str, str]:
    """The name of each of the site's segments by its id; with `lock` none is taken away or renamed meanwhile."""
    query = select(segments.c.id, segments.c.name).where(segments.c.site_id == site_id, segments.c.deleted_at.is_(None))
    rows = conn.execute(query.order_by(segments.c.id).with_for_update(read=True) if lock else query)
    return {row.id: row.name for row in rows}


def load_segments(conn: Connection, site_id: str | None = None) -> dict[str, list[Segment]]:
    """Every site's segments, or one's, by site; one that can no longer be read is logged, and nobody is in it."""
    query = select(segments).where(segments.c.deleted_at.is_(None)).order_by(segments.c.created_at, segments.c.id)
    rows = conn.execute(query if site_id is None else query.where(segments.c.site_id == site_id)).all()
    names: dict[str, dict[str, str]] = {}
    for row in rows:
        names.setdefault(row.site_id, {})[row.id] = row.name
    loaded: dict[str, list[Segment]] = {}
    for row in rows:
        try:
            loaded.setdefault(row.site_id, []).append(_stored(row, names[row.site_id]).segment())
        except RuleErrors as error:
            logger.error("segment %s of site %s cannot be read and has no members: %s", row.id, row.site_id, error)
    return loaded


def save_members(
    conn: Connection, changed: Iterable[tuple[Profile | None, Profile]], beside: Executor | None = None
) -> list[Future[None]]:
    """Writes who came in and who left, for each (profile as it is stored, as it is now); None: whatever is stored.

    `beside` is a thread for the database's part, returned is what it does: nobody else may use the connection before.
    """
    came: list[tuple[str, str, int]] = []
    left: list[tuple[str, str]] = []
    anew: list[str] = []
    for before, after in changed:
        if before is None:
            anew.extend((after.id, *after.members))
        elif before.segments is after.segments:
            continue
        was = {} if before is None else _entered(before)
        now = _entered(after)
        came.extend((after.id, key, to_micros(moment)) for key, moment in now.items() if was.get(key) != moment)
        left.extend((after.id, key) for key in was.keys() - now.keys())
    if not (anew or left or came):
        return []
    if beside is not None:
        return [beside.submit(_write_members, conn, anew, left, came)]
    _write_members(conn, anew, left, came)
    return []


def _write_members(
    conn: Connection, anew: Collection[str], left: Sequence[tuple[str, str]], came: Sequence[tuple[str, str, int]]
) -> None:
    """Takes away all that is stored of `anew`, and these (visitor, segment), and writes (visitor, segment, at)."""
    if anew:
        conn.execute(delete(segment_members).where(segment_members.c.visitor_id.in_(anew)))
    delete_rows(conn, segment_members, left)
    upsert_rows(conn, segment_members, came, keys=2)


def sizes(conn: Connection, ids: Collection[str]) -> dict[str, int]:
    """How many members each of these segments has."""
    query = (
        select(segment_members.c.segment_id, func.count().label("size"))
        .where(segment_members.c.segment_id.in_(list(ids)))
        .group_by(segment_members.c.segment_id)
    )
    found = {row.segment_id: row.size for row in conn.execute(query)}
    return {each: found.get(each, 0) for each in ids}


def list_members(
    conn: Connection, segment_id: str, limit: int, after: tuple[int, str] | None = None
) -> list[tuple[str, datetime]]:
    """Members as (visitor id, entered at), who came last first; `after` is the place of the last one before."""
    entered, visitor = segment_members.c.entered_at, segment_members.c.visitor_id
    query = select(visitor, entered).where(segment_members.c.segment_id == segment_id)
    if after is not None:
        query = query.where(tuple_(entered, visitor) < tuple_(*after))
    rows = conn.execute(query.order_by(entered.desc(), visitor.desc()).limit(limit))
    return [(row.visitor_id, from_micros(row.entered_at)) for row in rows]


def member_place(member: tuple[str, datetime]) -> tuple[int, str]:
    """Where a member stands in the list."""
    return to_micros(member[1]), member[0]


def ids_after(conn: Connection, segment_id: str, after: str, limit: int) -> list[str]:
    """The ids of members in order of id, beginning behind `after`."""
    visitor = segment_members.c.visitor_id
    query = select(visitor).where(segment_members.c.segment_id == segment_id, visitor > after)
    return list(conn.scalars(query.order_by(visitor).limit(limit)))


def gone(conn: Connection) -> list[str]:
    """The ids of segments that were taken away and still have rows of members."""
    lasting = select(segment_members.c.visitor_id).where(segment_members.c.segment_id == segments.c.id).exists()
    return list(conn.scalars(select(segments.c.id).where(segments.c.deleted_at.is_not(None), lasting)))


def clear_members(conn: Connection, segment_id: str, limit: int) -> int:
    """Removes up to `limit` rows of members; returns how many."""
    ids = ids_after(conn, segment_id, "", limit)
    delete_rows(conn, segment_members, [(each, segment_id) for each in ids])
    return len(ids)


def _entered(profile: Profile) -> dict[str, datetime]:
    standings = profile.segments.items()  # those with stages are kept beside these
    return {key: each.entered_at for key, each in standings if each.entered_at is not None and key[0] != KEY}


def _next_revision(conn: Connection, site_id: str) -> Any:
    newest = conn.scalar(select(func.max(segments.c.revision)).where(segments.c.site_id == site_id))
    return (newest or 0) + 1


def _columns(spec: SegmentSpec) -> dict[str, str]:
    return {"name": spec.name, "document": json.dumps(spec.document, ensure_ascii=False)}


def _taken(spec: SegmentSpec) -> Conflict:
    return Conflict("Another segment has this name.", {"name": [f'"{spec.name}" is taken by another segment.']})


def _present(conn: Connection, site_id: str, segment_id: str) -> StoredSegment:
    stored = get_segment(conn, site_id, segment_id)
    assert stored is not None
    return stored


def _stored(row: _Row, names: Mapping[str, str]) -> StoredSegment:
    return StoredSegment(
        id=row.id,
        site_id=row.site_id,
        name=row.name,
        version=row.version,
        revision=row.revision,
        document=json.loads(row.document),
        known=names,
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
