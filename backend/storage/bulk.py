"""Many rows in one statement: the driver's `executemany` on SQLite, arrays on PostgreSQL (one round trip, one plan)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Table
from sqlalchemy.sql.type_api import TypeEngine

Row = tuple[Any, ...]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row], *, ignore: bool = False) -> int:
    """Inserts rows (values in the table's column order); with `ignore`, leaves out those whose key exists.

    Returns how many were inserted. Without `ignore`, a key that exists raises SQLAlchemy's `IntegrityError`.
    """
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(_sqlite_insert(table, ignore), list(rows)).rowcount
    return connection.exec_driver_sql(_postgres_insert(table, ignore), _columns(rows)).rowcount


def update_rows(connection: Connection, table: Table, rows: Sequence[Row], keys: int = 1) -> int:
    """Overwrites rows found by their first `keys` columns with the values of the others."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        turned = [(*row[keys:], *row[:keys]) for row in rows]
        return connection.exec_driver_sql(_sqlite_update(table, keys), turned).rowcount
    return connection.exec_driver_sql(_postgres_update(table, keys), _columns(rows)).rowcount


def upsert_rows(connection: Connection, table: Table, rows: Sequence[Row], keys: int = 1) -> int:
    """Inserts rows, or overwrites those that exist."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        return connection.exec_driver_sql(_upsert(_sqlite_insert(table, False), table, keys), list(rows)).rowcount
    return connection.exec_driver_sql(_upsert(_postgres_insert(table, False), table, keys), _columns(rows)).rowcount


def _columns(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _array(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, BigInteger):
        return "bigint[]"
    return "int[]" if isinstance(kind, Integer) else "text[]"


@cache
def _sqlite_insert(table: Table, ignore: bool) -> str:
    names = _names(table)
    holes = ", ".join("?" * len(names))
    return f"INSERT {'OR IGNORE ' if ignore else ''}INTO {table.name} ({', '.join(names)}) VALUES ({holes})"  # noqa: S608


@cache
def _postgres_insert(table: Table, ignore: bool) -> str:
    names = _names(table)
    arrays = ", ".join(f"%s::{_array(column.type)}" for column in table.columns)
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608
    return statement + (" ON CONFLICT DO NOTHING" if ignore else "")


@cache
def _sqlite_update(table: Table, keys: int) -> str:
    names = _names(table)
    sets = ", ".join(f"{name} = ?" for name in names[keys:])
    where = " AND ".join(f"{name} = ?" for name in names[:keys])
    return f"UPDATE {table.name} SET {sets} WHERE {where}"  # noqa: S608


@cache
def _postgres_update(table: Table, keys: int) -> str:
    names = _names(table)
    arrays = ", ".join(f"%s::{_array(column.type)}" for column in table.columns)
    sets = ", ".join(f"{name} = fresh.{name}" for name in names[keys:])
    where = " AND ".join(f"{table.name}.{name} = fresh.{name}" for name in names[:keys])
    return f"UPDATE {table.name} SET {sets} FROM unnest({arrays}) AS fresh({', '.join(names)}) WHERE {where}"  # noqa: S608


def _upsert(insert: str, table: Table, keys: int) -> str:
    names = _names(table)
    sets = ", ".join(f"{name} = excluded.{name}" for name in names[keys:])
    return f"{insert} ON CONFLICT ({', '.join(names[:keys])}) DO UPDATE SET {sets}"
