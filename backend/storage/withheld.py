"""What was not let in, counted: by site, day in UTC, and reason."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend.storage.tables import withheld


def add(connection: Connection, numbers: Mapping[tuple[str, str], int], now: datetime) -> None:
    """Adds so many events by (site id, reason) to today's."""
    day = now.date().isoformat()
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    for (site_id, reason), number in sorted(numbers.items()):
        statement = insert(withheld).values(site_id=site_id, day=day, reason=reason, number=number)
        keys = [withheld.c.site_id, withheld.c.day, withheld.c.reason]
        more = {"number": withheld.c.number + statement.excluded.number}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=more))


def of_site(connection: Connection, site_id: str, days: int = 31) -> list[tuple[str, str, int]]:
    """The latest (day, reason, number) of a site, newest first."""
    query = select(withheld.c.day, withheld.c.reason, withheld.c.number).where(withheld.c.site_id == site_id)
    rows = connection.execute(query.order_by(withheld.c.day.desc(), withheld.c.reason).limit(days * 4))
    return [(row.day, row.reason, row.number) for row in rows]
