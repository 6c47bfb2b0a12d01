"""Who came into which stage of the funnel, and when: what reports on it count."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, text
from sqlalchemy.exc import IntegrityError

from backend.domain.engine import Staged
from backend.storage.bulk import insert_rows, upsert_rows
from backend.storage.tables import stage_entries
from backend.storage.times import to_micros

Entry = tuple[str, int, str, str, str]
"""(person, at in µs, stage, source, device)"""

Row = tuple[str, int, str, int, str, str, str]
"""(visitor, at in µs, site, revision of its funnel, stage, source, device)"""

AT_ONCE = 5_000
MANY = 100


def rows_of(site_id: str, revision: int, told: Sequence[tuple[str, Sequence[Staged]]]) -> list[Row]:
    """What tells that these visitors came into stages of this definition of their site's funnel."""
    return [
        (visitor_id, to_micros(each.at), site_id, revision, each.stage, each.source, each.device)
        for visitor_id, entries in told
        for each in entries
    ]


def insert(connection: Connection, rows: Sequence[Row]) -> None:
    """Writes rows down. Of two at one moment the later counts: no event may fail for what merely reports read."""
    if len(rows) < MANY:
        upsert_rows(connection, stage_entries, rows, keys=2)
        return
    connection.exec_driver_sql("SAVEPOINT before_stages")
    try:
        insert_rows(connection, stage_entries, rows)  # a third of the time, and nearly always right
    except IntegrityError:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before_stages")
        upsert_rows(connection, stage_entries, rows, keys=2)
    connection.exec_driver_sql("RELEASE SAVEPOINT before_stages")


def forget(connection: Connection, ids: Collection[str]) -> None:
    """Removes what was written of these visitors."""
    if ids:
        connection.execute(delete(stage_entries).where(stage_entries.c.visitor_id.in_(list(ids))))


_ENTRIES = text(
    "WITH links AS MATERIALIZED"
    " (SELECT visitor_id, merged_into FROM visitors WHERE site_id = :site AND merged_into IS NOT NULL)"
    " SELECT coalesce(links.merged_into, entries.visitor_id) AS person, entries.at, entries.stage,"
    " entries.source, entries.device"
    " FROM stage_entries AS entries LEFT JOIN links ON links.visitor_id = entries.visitor_id"
    " WHERE entries.site_id = :site AND entries.at >= :since AND entries.at < :until AND entries.revision = :revision"
    " ORDER BY person, entries.at"
)


def entries(connection: Connection, site_id: str, revision: int, since: datetime, until: datetime) -> Iterator[Entry]:
    """Every entry from `since` on and before `until` in order of person and time, a few at a time in memory.

    Who was merged into somebody counts as that person.
    """
    told = {"site": site_id, "revision": revision, "since": to_micros(since), "until": to_micros(until)}
    for row in connection.execution_options(yield_per=AT_ONCE).execute(_ENTRIES, told):
        yield row.person, row.at, row.stage, row.source, row.device
