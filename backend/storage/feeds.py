"""The addresses from which products are fetched: when each is due, and what came of it the last time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from backend.storage.catalogue_tables import feeds
from backend.storage.times import from_micros, maybe_from_micros, to_micros

LEASE = timedelta(minutes=20)
"""So long whoever fetches a feed has time; then another may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One feed: `format` is one of `FORMATS` or "auto"; `complete`: what is not in it cannot be bought.

    `every` is None for one that is fetched only when somebody asks; `report` is of the last time.
    """

    id: str
    site_id: str
    url: str
    format: str = "auto"
    every: timedelta | None = None
    complete: bool = False
    created_at: datetime
    due_at: datetime | None = None
    fetched_at: datetime | None = None
    report: Mapping[str, Any] | None = None


def add(conn: Connection, feed: Feed) -> None:
    """Stores a new feed."""
    conn.execute(
        insert(feeds).values(
            id=feed.id,
            site_id=feed.site_id,
            url=feed.url,
            format=feed.format,
            every_seconds=None if feed.every is None else int(feed.every.total_seconds()),
            complete=int(feed.complete),
            created_at=to_micros(feed.created_at),
            due_at=None if feed.due_at is None else to_micros(feed.due_at),
        )
    )


def of_site(conn: Connection, site_id: str) -> list[Feed]:
    """A site's feeds, oldest first."""
    query = select(feeds).where(feeds.c.site_id == site_id).order_by(feeds.c.created_at, feeds.c.id)
    return [_feed(row) for row in conn.execute(query)]


def get(conn: Connection, site_id: str, feed_id: str) -> Feed | None:
    """The site's feed with this id."""
    row = conn.execute(select(feeds).where(feeds.c.id == feed_id, feeds.c.site_id == site_id)).first()
    return None if row is None else _feed(row)


def remove(conn: Connection, site_id: str, feed_id: str) -> bool:
    """Takes a feed away; the products that it told of stay. False where there is none."""
    return conn.execute(delete(feeds).where(feeds.c.id == feed_id, feeds.c.site_id == site_id)).rowcount > 0


def ask(conn: Connection, feed_id: str, now: datetime) -> None:
    """Lets it be fetched as soon as somebody can."""
    conn.execute(update(feeds).where(feeds.c.id == feed_id).values(due_at=to_micros(now)))


def claim(conn: Connection, now: datetime) -> Feed | None:
    """The feed that is due longest, which nobody else fetches then; None where none is."""
    moment = to_micros(now)
    free = (feeds.c.due_at <= moment, or_(feeds.c.lease_until.is_(None), feeds.c.lease_until <= moment))
    row = conn.execute(select(feeds).where(*free).order_by(feeds.c.due_at, feeds.c.id).limit(1)).first()
    if row is None:
        return None
    until = to_micros(now + LEASE)
    claimed = conn.execute(update(feeds).where(feeds.c.id == row.id, *free).values(lease_until=until))
    return _feed(row) if claimed.rowcount == 1 else None


def end(conn: Connection, feed: Feed, report: Mapping[str, Any], now: datetime, due_at: datetime | None) -> None:
    """Writes down what came of it and when it is due next; somebody may have asked meanwhile, which then counts."""
    asked = None if feed.due_at is None else to_micros(feed.due_at)
    told = {"lease_until": None, "fetched_at": to_micros(now), "report": json.dumps(report, ensure_ascii=False)}
    conn.execute(update(feeds).where(feeds.c.id == feed.id).values(**told))
    following = None if due_at is None else to_micros(due_at)
    conn.execute(update(feeds).where(feeds.c.id == feed.id, feeds.c.due_at == asked).values(due_at=following))


def _feed(row: Row[Any]) -> Feed:
    return Feed(
        id=row.id,
        site_id=row.site_id,
        url=row.url,
        format=row.format,
        every=None if row.every_seconds is None else timedelta(seconds=row.every_seconds),
        complete=bool(row.complete),
        created_at=from_micros(row.created_at),
        due_at=maybe_from_micros(row.due_at),
        fetched_at=maybe_from_micros(row.fetched_at),
        report=None if row.report is None else json.loads(row.report),
    )
