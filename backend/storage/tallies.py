"""The numbers of each rule, by day, step, variant, channel and metric: small rows to which changes are added."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from backend.domain.tally import Key
from backend.storage.tables import tallies


@dataclass(frozen=True, slots=True)
class Tally:
    """One number; money in millionths."""

    rule_id: str
    day: date
    step: str
    variant: str
    channel: str
    metric: str
    number: int


def add(connection: Connection, deltas: Mapping[tuple[str, Key], int]) -> None:
    """Changes numbers, by (site id, key); in one order, so that two writers cannot wait for each other."""
    rows = [
        {
            "site_id": site_id,
            "rule_id": key.rule_id,
            "day": key.day.isoformat(),
            "step": key.step,
            "variant": key.variant,
            "channel": key.channel,
            "metric": key.metric,
            "number": number,
        }
        for (site_id, key), number in deltas.items()
        if number
    ]
    if not rows:
        return
    rows.sort(key=lambda row: tuple(map(str, row.values())))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(tallies)
    keys = [column.name for column in tallies.primary_key]
    grown = {"number": tallies.c.number + statement.excluded.number}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=grown), rows)


def of_site(
    connection: Connection,
    site_id: str,
    rule_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[Tally]:
    """The numbers of a site, or of one rule, of the days from `since` up to and with `until`."""
    query = select(tallies).where(tallies.c.site_id == site_id)
    if rule_id is not None:
        query = query.where(tallies.c.rule_id == rule_id)
    if since is not None:
        query = query.where(tallies.c.day >= since.isoformat())
    if until is not None:
        query = query.where(tallies.c.day <= until.isoformat())
    return [
        Tally(row.rule_id, date.fromisoformat(row.day), row.step, row.variant, row.channel, row.metric, int(row.number))
        for row in connection.execute(query.order_by(*tallies.primary_key))
    ]


def by_variant(connection: Connection, site_id: str, rule_id: str, step: str, metric: str) -> dict[str, int]:
    """One number of a step, for each variant."""
    query = (
        select(tallies.c.variant, func.sum(tallies.c.number))
        .where(tallies.c.site_id == site_id, tallies.c.rule_id == rule_id)
        .where(tallies.c.step == step, tallies.c.metric == metric)
        .group_by(tallies.c.variant)
    )
    return {variant: int(number) for variant, number in connection.execute(query)}
