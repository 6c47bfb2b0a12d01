"""The visitors: one row each with its profile, and a link where it turned out to be somebody known."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select, update

from backend.domain.identifier import as_known
from backend.domain.profile import Profile
from backend.schemas.documents import decode_profile, encode_profile, profile_reader
from backend.storage.bulk import finish, insert_rows, pieces_of, rows_of, update_rows
from backend.storage.tables import PER_VISITOR, merges, segment_members, visitors
from backend.storage.times import from_micros, to_micros

AT_ONCE = 500
"""Rows that the database takes in while the next are encoded."""

_LOADED = (visitors.c.visitor_id, visitors.c.merged_into, visitors.c.profile)


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
    connection: Connection,
    fresh: Sequence[Stored],
    changed: Sequence[Stored],
    beside: Executor | None = None,
    begun: Sequence[Future[Any]] = (),
) -> None:
    """Writes rows: `fresh` ones must not exist yet (else SQLAlchemy's `IntegrityError`), `changed` ones must.

    With `beside`, the database takes some in while the next are encoded; `begun` is what that thread does before.
    """
    taken = list(begun)
    try:
        if beside is not None:
            for write, stored in ((insert_rows, fresh), (update_rows, changed)):
                for start in range(0, len(stored), AT_ONCE):
                    rows = [_row(each) for each in stored[start : start + AT_ONCE]]
                    taken.append(beside.submit(write, connection, visitors, rows))
    finally:
        finish(taken)
    if beside is None:
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


def person_of(connection: Connection, visitor_id: str) -> str:
    """The visitor that this one is now: the one it was merged into, else itself."""
    profile = load_profile(connection, visitor_id)
    return visitor_id if profile is None else profile.id


def named(connection: Connection, site_id: str, ids: Collection[str]) -> dict[str, Profile]:
    """By each of these ids the site's visitor that it belongs to now; of the profile only by what it is named."""
    found: dict[str, Profile] = {}
    links: dict[str, str] = {}
    wanted = set(ids)
    for _ in range(2):
        for visitor_id, merged_into, text in rows_of(connection, _LOADED, {visitors.c.visitor_id: wanted}):
            if merged_into is None:
                found[visitor_id] = _read_names(text)
            else:
                links[visitor_id] = merged_into
        wanted = set(links.values()) - found.keys()
        if not wanted:
            break
    found |= {each: found[person] for each, person in links.items() if person in found}
    return {each: profile for each, profile in found.items() if profile.site_id == site_id}


_read_names = profile_reader(("anonymous_ids", "user_id", "identifiers"))
_read_member = profile_reader(
    ("anonymous_ids", "user_id", "stage", "first_seen", "last_seen", "orders", "segments"),
)


def members(
    connection: Connection, segment_id: str, after: str, limit: int
) -> list[tuple[Profile, str | None, datetime]]:
    """Members of a segment in order of id, beginning behind `after`: (profile, email, entered at).

    Of the profile only what a list of members tells is read.
    """
    member, entered = segment_members.c.visitor_id, segment_members.c.entered_at
    query = select(member, entered).where(segment_members.c.segment_id == segment_id, member > after)
    page = {
        row.visitor_id: from_micros(row.entered_at) for row in connection.execute(query.order_by(member).limit(limit))
    }
    columns = (visitors.c.visitor_id, visitors.c.profile, visitors.c.email)
    rows = {row[0]: row for row in rows_of(connection, columns, {visitors.c.visitor_id: page})}
    return [(_read_member(rows[key][1]), rows[key][2], at) for key, at in page.items() if key in rows]


def ids_after(connection: Connection, site_id: str, after: str, limit: int, *, merged: bool = False) -> list[str]:
    """The ids of a site's visitors in order of id, beginning behind `after`; with `merged` those merged away too."""
    query = select(visitors.c.visitor_id).where(in_order_of_id(site_id), visitors.c.visitor_id > after)
    if not merged:
        query = query.where(visitors.c.merged_into.is_(None))
    return list(connection.scalars(query.order_by(visitors.c.visitor_id).limit(limit)))


def texts_after(connection: Connection, site_id: str, after: str, limit: int) -> list[tuple[str, str]]:
    """As `ids_after`, each id with the profile as it is kept."""
    query = (
        select(visitors.c.visitor_id, visitors.c.profile)
        .where(in_order_of_id(site_id), visitors.c.merged_into.is_(None), visitors.c.visitor_id > after)
        .order_by(visitors.c.visitor_id)
        .limit(limit)
    )
    return [(row.visitor_id, row.profile) for row in connection.execute(query)]


def texts(
    connection: Connection, site_id: str, stages: Collection[str] | None, at_once: int
) -> Iterator[list[tuple[str]]]:
    """The profiles, as they are kept, of a site's visitors who were not merged away, a piece at a time, in no order.

    With `stages`, only of who is in one of those. Nobody else may use the connection before the last of them.
    """
    query = select(visitors.c.profile).where(in_order_of_id(site_id), visitors.c.merged_into.is_(None))
    if stages is not None:
        query = query.where(visitors.c.stage.in_(sorted(stages)))
    yield from pieces_of(connection, query, at_once)


def count(connection: Connection, site_id: str) -> int:
    """How many visitors a site has, without those who were merged away."""
    every = select(func.count()).where(visitors.c.site_id == site_id)
    found: int = connection.scalar(every) or 0
    merged: int = connection.scalar(every.where(visitors.c.merged_into.is_not(None))) or 0
    return found - merged


def in_order_of_id(site_id: str) -> ColumnElement[bool]:
    """That a row is of this site, said so that no index answers it: else each page would sort all of the site's rows.

    Then the pages together go through the table once, in the order of its key.
    """
    return func.coalesce(visitors.c.site_id, "") == site_id


def relink(connection: Connection, moved: Sequence[tuple[str, str | None]]) -> None:
    """Changes to whom visitors belong, as (visitor id, the id of the person; None: to themselves)."""
    groups: dict[str | None, list[str]] = {}
    for visitor_id, person_id in moved:
        groups.setdefault(person_id, []).append(visitor_id)
    for person_id, ids in groups.items():
        connection.execute(update(visitors).where(visitors.c.visitor_id.in_(ids)).values(merged_into=person_id))


def lock_root(connection: Connection, visitor_id: str) -> Stored | None:
    """The row of the person behind a visitor's id, locked; None when there is none."""
    stored = load(connection, [visitor_id], lock=True).get(visitor_id)
    while stored is not None and stored.merged_into is not None:
        stored = load(connection, [stored.merged_into], lock=True).get(stored.merged_into)
    return stored


def lock_person(connection: Connection, site_id: str, visitor_id: str) -> dict[str, Stored]:
    """A visitor's row and those of everybody merged into it, by id, locked; empty when there is none."""
    locked: dict[str, Stored] = {}
    wanted = {visitor_id}
    while wanted - locked.keys():
        found = load(connection, wanted | locked.keys(), lock=True)
        if len(found) <= len(locked):
            break
        locked = found  # as of now that they are locked: somebody may have linked one more meanwhile
        # Whose row leads elsewhere may still list who belonged to it once.
        roots = [each.profile for each in locked.values() if each.merged_into is None]
        wanted = {member for profile in roots for member in members_of(profile)}
        wanted |= {each.merged_into for each in locked.values() if each.merged_into is not None}
    return locked if all(each.profile.site_id == site_id for each in locked.values()) else {}


def erase(connection: Connection, site_id: str, visitor_id: str) -> bool:
    """Removes everything that is kept of a visitor and of those merged into it; False when there is none.

    Only `pipeline.erase` sees to it that they stay away.
    """
    ids = list(lock_person(connection, site_id, visitor_id))
    for table in PER_VISITOR if ids else ():
        connection.execute(delete(table).where(table.c.visitor_id.in_(ids)))
    connection.execute(delete(merges).where(merges.c.member_id.in_(ids)))
    return bool(ids)


def remove(connection: Connection, visitor_id: str) -> None:
    """Removes the row of a visitor of whom nothing is left."""
    connection.execute(delete(visitors).where(visitors.c.visitor_id == visitor_id))


def members_of(profile: Profile) -> list[str]:
    """The ids under which this visitor's rows are kept: its own, and those that were merged into it."""
    return [profile.id, *profile.members]


def _row(stored: Stored) -> tuple[str, str, str | None, str | None, str | None, str, int, str, int | None]:
    profile = stored.profile
    return (
        profile.id,
        profile.site_id,
        stored.merged_into,
        profile.user_id,
        email_of(profile),
        profile.stage,
        to_micros(profile.last_seen) if profile.last_seen is not None else 0,
        encode_profile(profile),
        to_micros(profile.wake_at) if profile.wake_at is not None and stored.merged_into is None else None,
    )


def email_of(profile: Profile) -> str | None:
    """The address under which a visitor is found: the one that they were introduced with, else what was typed last."""
    told = profile.traits.get("email")
    if not isinstance(told, str):
        typed = [each for each in profile.identifiers if each.kind == "email"]
        if not typed:
            return None
        told = max(typed, key=lambda each: each.last_seen).value
    return as_known("email", told)[:320]
