"""How long products last: for each site, the seconds that one piece usually does, by the product's id."""

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from backend.storage.bulk import upsert_rows
from backend.storage.learned_tables import product_intervals
from backend.storage.times import from_micros, to_micros


def of_site(connection: Connection, site_id: str) -> dict[str, float]:
    """Those of one site; empty where none are learned yet."""
    query = select(product_intervals.c.document).where(product_intervals.c.site_id == site_id)
    text = connection.scalar(query)
    return {} if text is None else dict(json.loads(text))


def of_all(connection: Connection) -> dict[str, Mapping[str, float]]:
    """Those of every site, by its id."""
    rows = connection.execute(select(product_intervals.c.site_id, product_intervals.c.document))
    return {row.site_id: json.loads(row.document) for row in rows}


def learned(connection: Connection) -> dict[str, datetime]:
    """When those of each site were learned last."""
    rows = connection.execute(select(product_intervals.c.site_id, product_intervals.c.learned_at))
    return {row.site_id: from_micros(row.learned_at) for row in rows}


def save(connection: Connection, site_id: str, intervals: Mapping[str, float], now: datetime) -> None:
    """Puts these in the place of those before."""
    text = json.dumps(intervals, sort_keys=True, ensure_ascii=False)
    upsert_rows(connection, product_intervals, [(site_id, to_micros(now), text)], keys=1)
