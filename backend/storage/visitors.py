"""The visitors: one row each with its profile, and a link where it turned out to be somebody known."""

from collections.abc import Collection, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select

from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.profile import Profile
from backend.schemas.documents import decode_profile, encode_profile
from backend.storage.bulk import insert_rows, rows_of, update_rows
from backend.storage.catalogue_tables import interests
from backend.storage.tables import enrolments, events, merges, messages, segment_members, visitors, webhooks
from backend.storage.times import to_micros

AT_ONCE = 500
"""Rows that the database takes in while the next are encoded."""

_LOADED = (visitors.c.visitor_id, visitors.c.merged_into, visitors.c.profile)


FEW = 1_000
"""Members of a segment, up to which they are looked up one by one."""


@dataclass(slots=True)
class Stored:
    """A visitor's row: its profile, and the id of the visitor that it was merged into."""

    profile: Profile
    merged_into: str | None


def load(connection: Connection, ids: Collection[str], *, lock: bool = False) -> dict[str, Stored]:
    """The rows with these ids; `lock` keeps other writers of them waiting until this transaction ends."""
    suffix = ""
    if lock and connection.dialect.name != "sqlite":
        suffix = " ORDER BY visitor_id FOR UPDATE"  # in one order, so that two writers cannot wait for each other
    return {
        visitor_id: Stored(decode_profile(text), merged_into)
        for visitor_id, merged_into, text in rows_of(connection, _LOADED, {visitors.c.visitor_id: ids}, suffix)
    }


def save(
    connection: Connection, fresh: Sequence[Stored], changed: Sequence[Stored], beside: Executor | None = None
) -> None:
    """Writes rows: `fresh` ones must not exist yet (else SQLAlchemy's `IntegrityError`), `changed` ones must.

    With `beside`, the database takes some in while the next are encoded.
    """
    if beside is not None and len(fresh) > AT_ONCE:
        taken = []
        for start in range(0, len(fresh), AT_ONCE):
            rows = [_row(each) for each in fresh[start : start + AT_ONCE]]
            taken.append(beside.submit(insert_rows, connection, visitors, rows))
        wait(taken)
        for each in taken:
            each.result()
    else:
        insert_rows(connection, visitors, [_row(each) for each in fresh])
    update_rows(connection, visitors, [_row(each) for each in changed])


_DUE = (
    select(visitors.c.visitor_id)
    .where(visitors.c.wake_at <= bindparam("moment"))
    .order_by(visitors.c.wake_at)
    .limit(bindparam("most"))
)


def due(connection: Connection, moment: datetime, most: int) -> list[str]:
    """The visitors for whom a rule waits that wants to look at them at `moment` or before, the longest due first."""
    return list(connection.scalars(_DUE, {"moment": to_micros(moment), "most": most}))


def load_profile(connection: Connection, visitor_id: str) -> Profile | None:
    """The profile of a visitor, or of the one that it was merged into; None when there is none."""
    for _ in range(2):
        stored = load(connection, [visitor_id]).get(visitor_id)
        if stored is None:
            return None
        if stored.merged_into is None:
            return stored.profile
        visitor_id = stored.merged_into
    return None


def find(
    connection: Connection,
    site_id: str,
    *,
    anonymous_id: str | None = None,
    user_id: str | None = None,
    email: str | None = None,
    stage: str | None = None,
    segment: str | None = None,
    limit: int = 50,
    after: tuple[int, str] | None = None,
) -> list[Profile]:
    """Profiles of a site, last seen first; ids find the one visitor that they belong to. `segment` is an id.

    `after` is (last seen in µs, id) of the last profile of the page before.
    """
    named = [anonymous_visitor(site_id, anonymous_id)] if anonymous_id is not None else []
    if user_id is not None:
        named.append(known_visitor(site_id, user_id))
    if named:
        profiles = [load_profile(connection, each) for each in named]
        one = profiles[0]
        same = all(each is not None and one is not None and each.id == one.id for each in profiles)
        if one is None or not same or after is not None:
            return []
        fits = (email is None or _email(one) == email.lower()) and (stage is None or one.stage == stage)
        fits = fits and (segment is None or one.is_in(segment))
        return [one] if fits and one.site_id == site_id else []
    query = select(visitors.c.profile).where(visitors.c.merged_into.is_(None))
    few = None if segment is None else _few(connection, segment)
    if few is None:
        query = query.where(visitors.c.site_id == site_id)
    else:
        query = query.where(visitors.c.visitor_id.in_(few))  # by their keys; the site's index would find everybody
    if email is not None:
        query = query.where(visitors.c.email == email.lower())
    if stage is not None:
        query = query.where(visitors.c.stage == stage)
    if segment is not None:
        members = select(segment_members.c.visitor_id).where(segment_members.c.segment_id == segment)
        query = query.where(visitors.c.visitor_id.in_(members))
    if after is not None:
        seen, last = after
        query = query.where(
            or_(visitors.c.last_seen < seen, and_(visitors.c.last_seen == seen, visitors.c.visitor_id > last))
        )
    query = query.order_by(visitors.c.last_seen.desc(), visitors.c.visitor_id).limit(limit)
    return [decode_profile(text) for (text,) in connection.execute(query)]


def _few(connection: Connection, segment: str) -> list[str] | None:
    """The members of a small segment; None for a large one."""
    query = select(segment_members.c.visitor_id).where(segment_members.c.segment_id == segment).limit(FEW + 1)
    found = list(connection.scalars(query))
    return found if len(found) <= FEW else None


def ids_after(connection: Connection, site_id: str, after: str, limit: int) -> list[str]:
    """The ids of a site's visitors that were not merged away, in order of id, beginning behind `after`."""
    query = (
        select(visitors.c.visitor_id)
        .where(in_order_of_id(site_id), visitors.c.merged_into.is_(None), visitors.c.visitor_id > after)
        .order_by(visitors.c.visitor_id)
        .limit(limit)
    )
    return list(connection.scalars(query))


def texts_after(connection: Connection, site_id: str, after: str, limit: int) -> list[tuple[str, str]]:
    """As `ids_after`, each id with the profile as it is kept."""
    query = (
        select(visitors.c.visitor_id, visitors.c.profile)
        .where(visitors.c.site_id == site_id, visitors.c.merged_into.is_(None), visitors.c.visitor_id > after)
        .order_by(visitors.c.visitor_id)
        .limit(limit)
    )
    return [(row.visitor_id, row.profile) for row in connection.execute(query)]


def in_order_of_id(site_id: str) -> ColumnElement[bool]:
    """That a row is of this site, said so that no index answers it: else each page would sort all of the site's rows.

    Then the pages together go through the table once, in the order of its key.
    """
    return func.coalesce(visitors.c.site_id, "") == site_id


def record_merge(connection: Connection, rows: Sequence[tuple[str, str, str, str, datetime]]) -> None:
    """Journals merges as (visitor id, member id, source, message id, at)."""
    insert_rows(connection, merges, [(*row[:4], to_micros(row[4])) for row in rows], ignore=True)


def erase(connection: Connection, site_id: str, visitor_id: str) -> bool:
    """Removes everything that is kept of a visitor and of those merged into it; False when there is none."""
    profile = load_profile(connection, visitor_id)
    if profile is None or profile.site_id != site_id:
        return False
    ids = members_of(profile)
    load(connection, ids, lock=True)  # whoever folds for them now ends first
    for table in (events, enrolments, messages, webhooks, merges, segment_members, interests, visitors):
        connection.execute(delete(table).where(table.c.visitor_id.in_(ids)))
    return True


def members_of(profile: Profile) -> list[str]:
    """The ids under which this visitor's rows are kept: its own, and those that were merged into it."""
    return [profile.id, *profile.members]


def cursor_of(profile: Profile) -> tuple[int, str]:
    """Where `find` goes on after this profile."""
    return (to_micros(profile.last_seen) if profile.last_seen else 0), profile.id


def _row(stored: Stored) -> tuple[str, str, str | None, str | None, str | None, str, int, str, int | None]:
    profile = stored.profile
    return (
        profile.id,
        profile.site_id,
        stored.merged_into,
        profile.user_id,
        _email(profile),
        profile.stage,
        to_micros(profile.last_seen) if profile.last_seen is not None else 0,
        encode_profile(profile),
        to_micros(profile.wake_at) if profile.wake_at is not None and stored.merged_into is None else None,
    )


def _email(profile: Profile) -> str | None:
    """The address under which a visitor is found: the one that they were introduced with, else what was typed last."""
    told = profile.traits.get("email")
    if not isinstance(told, str):
        typed = [each for each in profile.identifiers if each.kind == "email"]
        if not typed:
            return None
        told = max(typed, key=lambda each: each.last_seen).value
    return told.lower()[:320]
