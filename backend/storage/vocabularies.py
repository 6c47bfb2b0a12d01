"""The catalogue of properties: which names each site reports, a small reference table of bounded size."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, tuple_

from backend.domain.vocabulary import Known, Name, Names
from backend.storage.bulk import upsert_rows
from backend.storage.learned_tables import property_catalogue
from backend.storage.times import from_micros, to_micros

MOST_NAMES = 5_000
"""Names of one site; further ones are not kept."""

_KEY = (property_catalogue.c.kind, property_catalogue.c.event, property_catalogue.c.name)

Place = tuple[str, str, str]


def add(connection: Connection, site_id: str, names: Mapping[Name, Known]) -> None:
    """Adds what was noted to what is kept."""
    room = MOST_NAMES - _size(connection, site_id)
    events = sorted({each.of for each in names})
    here = property_catalogue.c.site_id == site_id
    query = select(property_catalogue).where(here, property_catalogue.c.event.in_(events))
    known = dict(map(_read, connection.execute(query)))
    rows = []
    for name in sorted(names):
        before, now = known.get(name), names[name]
        if before is None:
            room -= 1
        if before is None and room < 0:
            continue
        rows.append(_row(site_id, name, now if before is None else before.joined(now)))
    upsert_rows(connection, property_catalogue, rows, keys=4)


def with_examples(connection: Connection, site_id: str) -> dict[Name, Known]:
    """All names of a site of which an example is kept."""
    query = select(property_catalogue).where(property_catalogue.c.site_id == site_id)
    return {name: known for name, known in map(_read, connection.execute(query)) if known.examples}


def replace(connection: Connection, site_id: str, names: Mapping[Name, Known]) -> None:
    """Puts this in the place of what is kept of these names."""
    upsert_rows(connection, property_catalogue, [_row(site_id, *each) for each in sorted(names.items(), key=_first)], 4)


def find(
    connection: Connection,
    site_id: str,
    *,
    kind: str | None = None,
    event: str | None = None,
    search: str | None = None,
    limit: int = 50,
    after: Place | None = None,
) -> list[tuple[Name, Known]]:
    """Names of a site in order of kind, event and name, behind `after`; `search` stands anywhere in the name."""
    query = select(property_catalogue).where(property_catalogue.c.site_id == site_id)
    if kind is not None:
        query = query.where(property_catalogue.c.kind == kind)
    if event is not None:
        query = query.where(property_catalogue.c.event == event)
    if search is not None:
        query = query.where(func.lower(property_catalogue.c.name).contains(search.lower(), autoescape=True))
    if after is not None:
        query = query.where(tuple_(*_KEY) > tuple_(*after))
    return [_read(row) for row in connection.execute(query.order_by(*_KEY).limit(limit))]


def about(connection: Connection, site_id: str, events: Iterable[str]) -> Names:
    """All events and traits of a site, and the properties of these events."""
    of = property_catalogue.c.event
    query = select(property_catalogue).where(
        property_catalogue.c.site_id == site_id, or_(of == "", of.in_(sorted(set(events))))
    )
    return dict(map(_read, connection.execute(query)))


def place(found: tuple[Name, Known]) -> Place:
    """Where a name stands in the list."""
    return found[0].kind, found[0].of, found[0].name


def _size(connection: Connection, site_id: str) -> int:
    query = select(func.count()).select_from(property_catalogue).where(property_catalogue.c.site_id == site_id)
    return connection.scalar(query) or 0


def _first(pair: tuple[Name, Known]) -> Name:
    return pair[0]


def _row(site_id: str, name: Name, known: Known) -> tuple[Any, ...]:
    document = {"count": known.count, "types": known.types, "examples": known.examples}
    seen = to_micros(known.first_seen), to_micros(known.last_seen)
    return (site_id, *name, *seen, json.dumps(document, ensure_ascii=False))


def _read(row: Row[Any]) -> tuple[Name, Known]:
    told = json.loads(row.document)
    known = Known(from_micros(row.first_seen), from_micros(row.last_seen), **told)
    return Name(row.kind, row.event, row.name), known
