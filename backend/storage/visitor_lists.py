"""Visitors as lists show them: found by what names them, by stage and by segment."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from backend.domain.identifier import as_known
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.profile import Profile
from backend.schemas.documents import decode_profile
from backend.storage.bulk import rows_of
from backend.storage.tables import segment_members, visitors
from backend.storage.times import to_micros
from backend.storage.visitors import email_of, load_profile

FEW = 1_000
"""Members of a segment, up to which they are looked up one by one."""


def ids_of_emails(connection: Connection, site_id: str, emails: Collection[str]) -> dict[str, list[str]]:
    """The visitors that are found under each of these addresses (in small letters), by id, at most a few of each."""
    found: dict[str, list[str]] = {}
    if emails:
        columns = (visitors.c.email, visitors.c.visitor_id)
        among = {visitors.c.site_id: [site_id], visitors.c.email: emails}
        for email, visitor_id in rows_of(connection, columns, among, " AND merged_into IS NULL"):
            found.setdefault(email, []).append(visitor_id)
    return found


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
        fits = (email is None or email_of(one) == as_known("email", email)) and (stage is None or one.stage == stage)
        fits = fits and (segment is None or one.is_in(segment))
        return [one] if fits and one.site_id == site_id else []
    query = select(visitors.c.profile).where(visitors.c.merged_into.is_(None))
    few = None if segment is None else _few(connection, segment)
    if few is None:
        query = query.where(visitors.c.site_id == site_id)
    else:
        query = query.where(visitors.c.visitor_id.in_(few))  # by their keys; the site's index would find everybody
    if email is not None:
        query = query.where(visitors.c.email == as_known("email", email))
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
    # Of the few with an address no index may give the order: SQLite would walk through all of the site by it.
    last_seen = visitors.c.last_seen if email is None else visitors.c.last_seen + 0
    query = query.order_by(last_seen.desc(), visitors.c.visitor_id).limit(limit)
    return [decode_profile(text) for (text,) in connection.execute(query)]


def recent(connection: Connection, site_id: str, since: datetime, limit: int) -> list[Profile]:
    """Who was seen at this moment or later, last seen first."""
    query = (
        select(visitors.c.profile)
        .where(visitors.c.site_id == site_id, visitors.c.last_seen >= to_micros(since))
        .where(visitors.c.merged_into.is_(None))
        .order_by(visitors.c.last_seen.desc())
        .limit(limit)
    )
    return [decode_profile(text) for (text,) in connection.execute(query)]


def count_recent(connection: Connection, site_id: str, since: datetime) -> int:
    """How many were seen at this moment or later."""
    query = select(func.count()).where(visitors.c.site_id == site_id, visitors.c.last_seen >= to_micros(since))
    return connection.scalar(query.where(visitors.c.merged_into.is_(None))) or 0


def _few(connection: Connection, segment: str) -> list[str] | None:
    """The members of a small segment; None for a large one."""
    query = select(segment_members.c.visitor_id).where(segment_members.c.segment_id == segment).limit(FEW + 1)
    found = list(connection.scalars(query))
    return found if len(found) <= FEW else None


def cursor_of(profile: Profile) -> tuple[int, str]:
    """Where `find` goes on after this profile."""
    return (to_micros(profile.last_seen) if profile.last_seen else 0), profile.id
