"""Who looked at which product, put it into the cart or bought it, and when last: found by the product.

It is noted for sites only whose rules ask for it, once for each visitor, product and kind, and never for longer than
`KEPT`; a visitor's oldest are forgotten when there are too many.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update

from backend.storage.bulk import delete_rows, insert_rows, raise_rows, rows_of
from backend.storage.catalogue_tables import catalogues, interests
from backend.storage.times import from_micros, maybe_from_micros, to_micros

KEPT = timedelta(days=180)
MOST_OF_ONE = 200
"""So many are kept of one visitor and kind."""

MOST_READ = 20_000
"""So many of one visitor are read at once, the latest: a machine may have looked at everything."""

Noted = tuple[str, str, str, str, datetime]
"""(visitor id, product id, kind, site id, when last)."""


def note(conn: Connection, found: Iterable[Noted]) -> None:
    """Writes these down; of each visitor, product and kind the latest counts. None comes twice."""
    rows = [(*each[:4], to_micros(each[4])) for each in found]
    raise_rows(conn, interests, sorted(rows), keys=3)


def visitors_after(
    conn: Connection,
    site_id: str,
    product_id: str,
    kinds: Collection[str],
    since: datetime,
    after: str,
    limit: int,
) -> list[str]:
    """The ids of visitors with such an interest in the product since then, in order of id, behind `after`."""
    visitor = interests.c.visitor_id
    query = (
        select(visitor)
        .where(interests.c.site_id == site_id, interests.c.product_id == product_id, visitor > after)
        .where(interests.c.kind.in_(list(kinds)), interests.c.at > to_micros(since))
        .group_by(visitor)
        .order_by(visitor)
        .limit(limit)
    )
    return list(conn.scalars(query))


def wanted(conn: Connection, site_id: str, ids: Collection[str]) -> set[str]:
    """Those of these products in which anybody has an interest."""
    if not ids:
        return set()
    among = {interests.c.site_id: [site_id], interests.c.product_id: list(ids)}
    return {row[0] for row in rows_of(conn, (interests.c.product_id,), among, " GROUP BY product_id")}


def after(conn: Connection, site_id: str, visitor_id: str, limit: int) -> list[tuple[str, str, str, datetime]]:
    """Rows as (visitor id, product id, kind, when last) of the site, in order of visitor, behind this one.

    About `limit` of them, and of the last visitor as many as are read at once.
    """
    columns = (interests.c.visitor_id, interests.c.product_id, interests.c.kind, interests.c.at)
    in_order = func.coalesce(interests.c.site_id, "") == site_id  # by the key: see `visitors.in_order_of_id`
    query = select(*columns).where(in_order, interests.c.visitor_id > visitor_id)
    found = [tuple(row) for row in conn.execute(query.order_by(interests.c.visitor_id).limit(limit))]
    if len(found) == limit:
        last = found[-1][0]
        found = [row for row in found if row[0] != last]
        whole = select(*columns).where(interests.c.visitor_id == last, in_order).order_by(interests.c.at.desc())
        found.extend(tuple(row) for row in conn.execute(whole.limit(MOST_READ)))
    return [(visitor, product, kind, from_micros(at)) for visitor, product, kind, at in found]


def forget(conn: Connection, keys: Sequence[tuple[str, str, str]]) -> None:
    """Removes these, as (visitor id, product id, kind)."""
    delete_rows(conn, interests, list(keys))


def forget_visitors(conn: Connection, ids: Collection[str]) -> None:
    """Removes everything that is noted of these visitors."""
    conn.execute(delete(interests).where(interests.c.visitor_id.in_(list(ids))))


def noting_since(conn: Connection, site_id: str) -> datetime | None:
    """From when on interests are noted for the site; None: they are not."""
    return maybe_from_micros(conn.scalar(select(catalogues.c.noting_since).where(catalogues.c.site_id == site_id)))


def note_from(conn: Connection, site_id: str, now: datetime | None) -> None:
    """Begins to note interests for the site, or with None ends it."""
    insert_rows(conn, catalogues, [(site_id, None, 0, None)], ignore=True)
    since = None if now is None else to_micros(now)
    conn.execute(update(catalogues).where(catalogues.c.site_id == site_id).values(noting_since=since))


def noting(conn: Connection) -> Iterator[str]:
    """The sites for which interests are noted."""
    yield from conn.scalars(select(catalogues.c.site_id).where(catalogues.c.noting_since.is_not(None))).all()


def clear(conn: Connection, site_id: str, limit: int) -> int:
    """Removes up to `limit` interests of a site for which they are not noted any more; returns how many."""
    keys = (interests.c.visitor_id, interests.c.product_id, interests.c.kind)
    found = conn.execute(select(*keys).where(interests.c.site_id == site_id).limit(limit)).all()
    delete_rows(conn, interests, [tuple(row) for row in found])
    return len(found)
