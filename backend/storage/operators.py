"""The operators: who may use the console, and in what role on which site."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from backend.storage.tables import operators


def names(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """What these operators are called, by id, also of those who are gone."""
    if not ids:
        return {}
    query = select(operators.c.id, operators.c.name).where(operators.c.id.in_(list(ids)))
    return {row.id: row.name for row in connection.execute(query)}
