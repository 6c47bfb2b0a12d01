"""Sites: a small reference table, its secrets sealed, and a cache for the paths that ask at every request."""

import logging
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from sqlalchemy import Connection, Row, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from backend.domain.site import Site
from backend.errors import Conflict, Unavailable
from backend.schemas.site import dump_document, load_document
from backend.storage import catalogue_tables as catalogue_tables
from backend.storage import learned_tables as learned_tables
from backend.storage import tables
from backend.storage.database import Database, is_transient
from backend.storage.tables import sites
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

logger = logging.getLogger(__name__)

LONGEST = 200
"""Characters; no id, name or write key has as many."""

PER_SITE = tuple(table for table in tables.metadata.sorted_tables if "site_id" in table.c)
"""Everything that is kept of one site, of its visitors too; nothing of it outlives the site."""

_Row = Row[tuple[str, str, str, str, str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSite:
    """A site and when it was made."""

    site: Site
    created_at: datetime


def new_site(name: str) -> Site:
    """A site with fresh keys and everything else as by default; not stored yet."""
    return Site(
        id=uuid.uuid4().hex,
        name=name,
        write_key="chi_pub_" + secrets.token_urlsafe(18),
        secret_key="chi_sec_" + secrets.token_urlsafe(32),
    )


def create_site(conn: Connection, vault: Vault, site: Site, now: datetime) -> StoredSite:
    """Stores a new site; Conflict where its name or write key is taken."""
    with _unique():
        conn.execute(insert(sites).values(id=site.id, created_at=to_micros(now), **_columns(vault, site)))
    return StoredSite(site=site, created_at=now)


def update_site(conn: Connection, vault: Vault, site: Site) -> None:
    """Writes the site over what is kept under its id; Conflict where its name or write key is taken."""
    with _unique():
        conn.execute(update(sites).where(sites.c.id == site.id).values(**_columns(vault, site)))


def get_site(conn: Connection, vault: Vault, ref: str, *, lock: bool = False) -> StoredSite | None:
    """The site with this id or name, as it is now; `lock` keeps whoever wants to change it so too waiting."""
    query = select(sites).where(or_(sites.c.id == ref, sites.c.name == ref))
    row = conn.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _stored(vault, row)


def list_sites(
    conn: Connection, vault: Vault, *, only: str | None = None, limit: int, after: tuple[int, str] | None = None
) -> list[StoredSite]:
    """Sites, oldest first, after the place `after`; with `only` at most the one with that id."""
    query = select(sites).order_by(sites.c.created_at, sites.c.id).limit(limit)
    if only is not None:
        query = query.where(sites.c.id == only)
    if after is not None:
        moment, site_id = after
        query = query.where(or_(sites.c.created_at > moment, (sites.c.created_at == moment) & (sites.c.id > site_id)))
    return [_stored(vault, row) for row in conn.execute(query)]


def ids(conn: Connection) -> list[str]:
    """The ids of all sites."""
    return list(conn.scalars(select(sites.c.id).order_by(sites.c.id)))


def all_sites(conn: Connection, vault: Vault) -> list[Site]:
    """Every site, oldest first."""
    rows = conn.execute(select(sites).order_by(sites.c.created_at, sites.c.id))
    return [_stored(vault, row).site for row in rows]


def place(stored: StoredSite) -> tuple[int, str]:
    """Where the site stands in the list."""
    return to_micros(stored.created_at), stored.site.id


def silence_site(conn: Connection, site_id: str) -> None:
    """Takes away the site's rules, segments and tokens, so that nothing more is said in its name."""
    conn.execute(delete(tables.rules).where(tables.rules.c.site_id == site_id))
    for each in (tables.rule_versions, tables.segments):
        conn.execute(delete(each).where(each.c.site_id == site_id))
    conn.execute(delete(tables.tokens).where(tables.tokens.c.site_id == site_id))


def clear_site(conn: Connection, site_id: str, limit: int) -> int:
    """Removes up to `limit` visitors of the site with all that is kept of them; answers how many."""
    visitors = tables.visitors
    found = conn.execute(select(visitors.c.visitor_id).where(visitors.c.site_id == site_id).limit(limit))
    ids = list(found.scalars())
    if ids:
        for table in tables.PER_VISITOR:
            conn.execute(delete(table).where(table.c.visitor_id.in_(ids)))
    return len(ids)


def delete_site(conn: Connection, site_id: str) -> bool:
    """Removes the site and what is kept by its id alone; False where there is none."""
    for table in PER_SITE:
        conn.execute(delete(table).where(table.c.site_id == site_id))
    silence_site(conn, site_id)
    return conn.execute(delete(sites).where(sites.c.id == site_id)).rowcount > 0


def _can_be_kept(text: str) -> bool:
    """Whether a database could hold this text at all: PostgreSQL refuses to even look for a NUL."""
    return len(text) <= LONGEST and "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _columns(vault: Vault, site: Site) -> dict[str, str]:
    return {
        "name": site.name,
        "write_key": site.write_key,
        "secret_key": vault.seal(site.secret_key),
        "document": dump_document(site),
    }


def _stored(vault: Vault, row: _Row) -> StoredSite:
    return StoredSite(site=_site(vault, row), created_at=from_micros(row.created_at))


def _site(vault: Vault, row: _Row) -> Site:
    return Site(
        id=row.id,
        name=row.name,
        write_key=row.write_key,
        secret_key=vault.unseal(row.secret_key),
        **load_document(row.document),
    )


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        taken = "write_key" if "write_key" in str(error.orig) else "name"
        raise Conflict(
            f"Another site has this {taken.replace('_', ' ')}.", {taken: ["Is taken by another site."]}
        ) from error


class SiteCache:
    """Sites as of at most five seconds ago; safe for threads and greenlets, for it only reads and replaces entries."""

    SECONDS = 5.0
    UNKNOWN_SECONDS = 1.0
    """Shorter, so that a page which asks before its site is made need not wait."""
    UNKNOWN_LIMIT = 10_000

    def __init__(self, db: Database, secret_key: str, clock: Callable[[], float] = monotonic) -> None:
        self.vault = Vault(secret_key)
        self._db = db
        self._clock = clock
        self._keys: dict[str, tuple[float, Site]] = {}
        self._ids: dict[str, tuple[float, Site]] = {}
        self._names: dict[str, tuple[float, Site]] = {}
        self._unknown: dict[tuple[str, str], float] = {}

    def by_write_key(self, key: str) -> Site | None:
        """The site that this write key belongs to."""
        entry = self._keys.get(key)
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        return self._look_up(self._keys, "write_key", key)

    def by_id(self, site_id: str) -> Site | None:
        """The site with this id."""
        entry = self._ids.get(site_id)
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        return self._look_up(self._ids, "id", site_id)

    def by_ref(self, ref: str) -> Site | None:
        """The site with this id or name."""
        entry = self._names.get(ref)
        if entry is not None and entry[0] > self._clock():
            return entry[1]
        return self.by_id(ref) or self._look_up(self._names, "name", ref)

    def forget(self) -> None:
        """Lets this process see at once what it has just changed; the others see it within five seconds."""
        for known in (self._keys, self._ids, self._names, self._unknown):
            known.clear()

    def _look_up(self, known: dict[str, tuple[float, Site]], column: str, value: str) -> Site | None:
        if "\0" in value:
            return None  # PostgreSQL would not even compare it
        now = self._clock()
        if self._unknown.get((column, value), 0.0) > now or not _can_be_kept(value):
            return None
        stale = known.get(value)
        try:
            with self._db.read() as conn:
                row = conn.execute(select(sites).where(sites.c[column] == value)).first()
        except DBAPIError as error:
            if not is_transient(error):
                raise
            if stale is None:
                raise Unavailable("The database does not answer.", retry_after=2) from error
            logger.warning("the database does not answer: going on with what is known of site %s", stale[1].id)
            return stale[1]
        if row is None:
            known.pop(value, None)
            if len(self._unknown) >= self.UNKNOWN_LIMIT:
                self._unknown.clear()  # made-up keys must not fill the memory
            self._unknown[(column, value)] = now + self.UNKNOWN_SECONDS
            return None
        site = _site(self.vault, row)
        known[value] = (now + self.SECONDS, site)
        return site
