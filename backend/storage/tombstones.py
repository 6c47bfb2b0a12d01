"""Tombstones: the keyed hashes of names that a site has erased, so that nothing late brings their person back."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend.domain.erased import Name, Tombstone
from backend.storage.bulk import rows_of, upsert_rows
from backend.storage.tables import erasures, tombstones
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

_LOCK = 0x6368_696D


def share(connection: Connection) -> None:
    """Keeps erasures waiting until this transaction ends: whoever folds must know all of them, or none.

    On SQLite there is one writer at a time anyway.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")


def exclude(connection: Connection) -> None:
    """Waits until nobody folds, and lets nobody begin until this transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def newest(connection: Connection) -> dict[str, datetime]:
    """When each site erased somebody last; sites that never did are left out."""
    rows = connection.execute(select(erasures.c.site_id, erasures.c.last_at))
    return {row.site_id: from_micros(row.last_at) for row in rows}


def find(
    connection: Connection, vault: Vault, names: Mapping[str, Collection[Name]]
) -> dict[str, dict[Name, Tombstone]]:
    """Those of these names, by site, that were erased."""
    asked = {vault.tombstone(site_id, *name): (site_id, name) for site_id, group in names.items() for name in group}
    columns = (tombstones.c.digest, tombstones.c.erased_at, tombstones.c.lifted_at)
    found: dict[str, dict[Name, Tombstone]] = {site_id: {} for site_id in names}
    if asked:
        among = {tombstones.c.site_id: list(names), tombstones.c.digest: list(asked)}
        for digest, erased_at, lifted_at in rows_of(connection, columns, among):
            site_id, name = asked[digest]
            found[site_id][name] = Tombstone(from_micros(erased_at), lifted_at is not None)
    return found


def add(connection: Connection, vault: Vault, site_id: str, names: Iterable[Name], at: datetime) -> int:
    """Puts a tombstone on each of these names, and counts the erasure; returns how many."""
    moment = to_micros(at)
    digests = {vault.tombstone(site_id, *name): name[0] for name in names}
    upsert_rows(
        connection, tombstones, [(site_id, digest, kind, moment, None) for digest, kind in digests.items()], keys=2
    )
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    statement = insert(erasures).values(site_id=site_id, last_at=moment, number=1, scrubbed_at=0)
    again = {"last_at": statement.excluded.last_at, "number": erasures.c.number + 1}
    connection.execute(statement.on_conflict_do_update(index_elements=[erasures.c.site_id], set_=again))
    return len(digests)


def lift(connection: Connection, vault: Vault, site_id: str, names: Iterable[Name], at: datetime) -> None:
    """Their person has come back: what happens from now on may take effect."""
    digests = [vault.tombstone(site_id, *name) for name in names]
    where = (tombstones.c.site_id == site_id, tombstones.c.digest.in_(digests), tombstones.c.lifted_at.is_(None))
    connection.execute(update(tombstones).where(*where).values(lifted_at=to_micros(at)))


def unscrubbed(connection: Connection) -> datetime | None:
    """When the last erasure was that may have left something in the log or on disk; None where none did."""
    query = select(erasures.c.last_at).where(erasures.c.last_at > erasures.c.scrubbed_at)
    moments = list(connection.scalars(query))
    return from_micros(max(moments)) if moments else None


def scrubbed(connection: Connection, until: datetime) -> None:
    """Notes that no erasure up to this moment has left anything."""
    moment = to_micros(until)
    connection.execute(update(erasures).where(erasures.c.scrubbed_at < moment).values(scrubbed_at=moment))


def numbers(connection: Connection, site_id: str) -> tuple[int, datetime | None, bool]:
    """How many a site has erased, when it did last, and whether that is gone from the log and the disk too."""
    row = connection.execute(select(erasures).where(erasures.c.site_id == site_id)).one_or_none()
    if row is None:
        return 0, None, True
    return row.number, from_micros(row.last_at), row.scrubbed_at >= row.last_at
