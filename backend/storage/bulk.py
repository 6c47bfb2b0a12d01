"""Many rows in one go, past SQLAlchemy's per-row costs: the driver itself on SQLite, COPY on PostgreSQL."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from typing import Any, cast

from psycopg import capabilities
from sqlalchemy import Column, Connection, Select, Table
from sqlalchemy.exc import DBAPIError

Row = tuple[Any, ...]

STATEMENT_ROWS = (2_000, 500)
"""Rows in one statement of SQLite where there are so many: it takes Python's lock once for each statement, not for each
row, so that Python goes on beside it."""

STREAMED = 100
"""Rows that PostgreSQL sends at a time while it goes on with a query."""

MOST_VALUES = 32_766
"""Values that SQLite takes in one statement, in every build since 3.32."""


def finish(begun: Sequence[Future[Any]]) -> None:
    """Waits for what another thread does with the connection: nobody else may use it before; raises what it raised."""
    wait(begun)
    for each in begun:
        each.result()


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row], *, ignore: bool = False) -> int:
    """Inserts rows (values in the table's column order); with `ignore`, leaves out those whose key exists.

    Returns how many were inserted. Without `ignore`, a key that exists raises SQLAlchemy's `IntegrityError`.
    """
    return _write(connection, table, rows, "ON CONFLICT DO NOTHING" if ignore else "")


def upsert_rows(connection: Connection, table: Table, rows: Sequence[Row], keys: int = 1) -> int:
    """Inserts rows, or overwrites those that exist; a row's key are its first `keys` columns."""
    return _write(connection, table, rows, _overwrite(table, keys))


def raise_rows(connection: Connection, table: Table, rows: Sequence[Row], keys: int) -> int:
    """Inserts rows, or raises the last column of those that exist where the new value is greater; none comes twice."""
    names = [column.name for column in table.columns]
    last = names[-1]
    raised = f"SET {last} = excluded.{last} WHERE {table.name}.{last} < excluded.{last}"
    return _write(connection, table, rows, f"ON CONFLICT ({', '.join(names[:keys])}) DO UPDATE {raised}")


def update_rows(connection: Connection, table: Table, rows: Sequence[Row], keys: int = 1) -> int:
    """Overwrites rows, which must be there, found by their first `keys` columns with the values of the others."""
    if connection.dialect.name == "sqlite":
        return _write(connection, table, rows, _overwrite(table, keys))  # many in one statement, as no UPDATE can
    if not rows:
        return 0
    _fill_scratch(connection, table, rows)
    return connection.exec_driver_sql(_postgres_update(table, keys)).rowcount


def delete_rows(connection: Connection, table: Table, keys: Sequence[Row]) -> None:
    """Removes the rows with these keys: the values of the table's first columns."""
    if not keys:
        return
    names = [column.name for column in table.columns][: len(keys[0])]
    if connection.dialect.name == "sqlite":
        where = " AND ".join(f"{name} = ?" for name in names)
        connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {where}", [tuple(key) for key in keys])  # noqa: S608
        return
    where = " AND ".join(f"{table.name}.{name} = asked.{name}" for name in names)
    lists = ", ".join("unnest(%s::text[])" for _ in names)
    asked = f"ROWS FROM ({lists}) AS asked({', '.join(names)})"
    statement = f"DELETE FROM {table.name} USING {asked} WHERE {where}"  # noqa: S608
    connection.exec_driver_sql(statement, tuple([key[place] for key in keys] for place in range(len(names))))


def rows_of(
    connection: Connection,
    columns: Sequence[Column[Any]],
    among: Mapping[Column[Any], Collection[str]],
    suffix: str = "",
) -> list[Row]:
    """The rows of one table in which each column of `among` has one of its values.

    `suffix` is SQL of ours that ends the statement. However many values there are, it is one statement.
    """
    sqlite = connection.dialect.name == "sqlite"
    statement = _select(tuple(columns), tuple(among), sqlite) + suffix
    values = [json.dumps(list(each)) if sqlite else list(each) for each in among.values()]
    with _driver(connection, statement) as cursor:
        cursor.execute(statement, values)
        return cast(list[Row], cursor.fetchall())


def pairs_of(
    connection: Connection, first: Column[Any], second: Column[Any], pairs: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of these pairs that are in a table whose key they are: one look-up each, not one for each combination."""
    table, a, b = first.table.name, first.name, second.name
    if connection.dialect.name == "sqlite":
        one, two = (f"json_extract(asked.value, '$[{place}]')" for place in range(2))
        source, values = "json_each(?) AS asked", [json.dumps(list(pairs))]
    else:
        one, two = "asked.one", "asked.two"
        source = "unnest(%s::text[], %s::text[]) AS asked(one, two)"
        values = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]  # type: ignore[list-item]
    statement = _look_ups(connection, table, f"{table}.{a}, {table}.{b}", source, f"{a} = {one} AND {b} = {two}")
    with _driver(connection, statement) as cursor:
        cursor.execute(statement, values)
        return {(row[0], row[1]) for row in cursor.fetchall()}


def rows_from(
    connection: Connection,
    columns: Sequence[Column[Any]],
    key: Sequence[Column[Any]],
    asked: Sequence[Row],
    suffix: str = "",
) -> list[Row]:
    """The rows of one table in which the first two of `key` are as asked, and the third is so much or more.

    `asked` are (text, text, int), `suffix` SQL of ours that ends the statement. However many there are, it is one
    statement, with one look into an index for each.
    """
    table = key[0].table.name
    names = ", ".join(f"{table}.{column.name}" for column in columns)
    first, second, third = (column.name for column in key)
    if connection.dialect.name == "sqlite":
        one, two, three = (f"json_extract(asked.value, '$[{place}]')" for place in range(3))
        source, values = "json_each(?) AS asked", [json.dumps(list(asked))]
    else:
        one, two, three = "asked.one", "asked.two", "asked.three"
        source = "unnest(%s::text[], %s::text[], %s::bigint[]) AS asked(one, two, three)"
        values = [[row[place] for row in asked] for place in range(3)]  # type: ignore[misc]
    match = f"{table}.{first} = {one} AND {table}.{second} = {two} AND {table}.{third} >= {three}"
    statement = _look_ups(connection, table, names, source, match + suffix)
    with _driver(connection, statement) as cursor:
        cursor.execute(statement, values)
        return cast(list[Row], cursor.fetchall())


def _look_ups(connection: Connection, table: str, names: str, source: str, match: str) -> str:
    """A SELECT that looks into the table once for each row of `source`, named `asked`, whatever the planner believes.

    It believes what statistics say, and has none of a table that has just begun to grow: then it reads it whole.
    """
    if connection.dialect.name == "sqlite":
        return f"SELECT {names} FROM {source} CROSS JOIN {table} ON {match}"  # noqa: S608
    one = f"SELECT {names} FROM {table} WHERE {match} OFFSET 0"  # noqa: S608 - OFFSET keeps it a look-up of its own
    return f"SELECT found.* FROM {source} CROSS JOIN LATERAL ({one}) AS found"  # noqa: S608


def _write(connection: Connection, table: Table, rows: Sequence[Row], on_conflict: str) -> int:
    if not rows:
        return 0
    names = ", ".join(column.name for column in table.columns)
    if connection.dialect.name == "sqlite":
        return _write_sqlite(connection, table, rows, on_conflict)
    if not on_conflict:
        _copy(connection, table, table.name, rows)
        return len(rows)
    _fill_scratch(connection, table, rows)
    statement = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM fresh_{table.name} {on_conflict}"  # noqa: S608
    return connection.exec_driver_sql(statement).rowcount


def _write_sqlite(connection: Connection, table: Table, rows: Sequence[Row], on_conflict: str) -> int:
    width, written, start = len(table.columns), 0, 0
    with _driver(connection, table.name) as cursor:
        for many in STATEMENT_ROWS:
            while many * width <= MOST_VALUES and len(rows) - start >= many:
                values = list(chain.from_iterable(rows[start : start + many]))
                written += cursor.execute(_sqlite_insert(table, many, on_conflict), values).rowcount
                start += many
        if start < len(rows):
            written += cursor.executemany(_sqlite_insert(table, 1, on_conflict), rows[start:]).rowcount
    return written


def _fill_scratch(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Fills the session's scratch table `fresh_…`, which empties itself at the end of the transaction."""
    scratch = f"fresh_{table.name}"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {scratch} (LIKE {table.name} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
    )
    connection.exec_driver_sql(f"DELETE FROM {scratch}")  # noqa: S608 - of an earlier call in this transaction
    _copy(connection, table, scratch, rows)


def _copy(connection: Connection, table: Table, into: str, rows: Sequence[Row]) -> None:
    statement = f"COPY {into} ({', '.join(column.name for column in table.columns)}) FROM STDIN"
    with _driver(connection, statement) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def pieces_of(connection: Connection, query: Select[Any], at_once: int) -> Iterator[list[Row]]:
    """The rows of a query, so many at a time; nobody else may use the connection before the last of them.

    PostgreSQL goes on while the rows that are here are looked at; with a cursor of its own, each waits for the other.
    """
    statement = str(query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    with _driver(connection, statement) as cursor:
        if connection.dialect.name == "sqlite":
            cursor.execute(statement)
            while rows := cursor.fetchmany(at_once):
                yield rows
            return
        rows = cursor.stream(statement, size=STREAMED if capabilities.has_stream_chunked() else 1)
        while piece := list(islice(rows, at_once)):
            yield piece


@contextmanager
def _driver(connection: Connection, statement: str) -> Iterator[Any]:
    """A cursor of the driver itself; its errors become SQLAlchemy's, as everywhere else."""
    dialect = connection.dialect
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(statement, None, error, dialect.loaded_dbapi.Error, dialect=dialect) from error
    finally:
        cursor.close()


@lru_cache(maxsize=256)
def _select(columns: tuple[Column[Any], ...], among: tuple[Column[Any], ...], sqlite: bool) -> str:
    names = ", ".join(column.name for column in columns)
    one_of = "IN (SELECT value FROM json_each(?))" if sqlite else "= ANY(%s)"
    where = " AND ".join(f"{column.name} {one_of}" for column in among)
    return f"SELECT {names} FROM {columns[0].table.name} WHERE {where}"  # noqa: S608


@lru_cache(maxsize=64)
def _sqlite_insert(table: Table, rows: int, on_conflict: str) -> str:
    names = ", ".join(column.name for column in table.columns)
    holes = "(" + ", ".join("?" * len(table.columns)) + ")"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([holes] * rows)} {on_conflict}"  # noqa: S608


@lru_cache(maxsize=64)
def _overwrite(table: Table, keys: int) -> str:
    names = [column.name for column in table.columns]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names[keys:])
    return f"ON CONFLICT ({', '.join(names[:keys])}) DO UPDATE SET {sets}"


@lru_cache(maxsize=64)
def _postgres_update(table: Table, keys: int) -> str:
    names = [column.name for column in table.columns]
    sets = ", ".join(f"{name} = fresh.{name}" for name in names[keys:])
    where = " AND ".join(f"{table.name}.{name} = fresh.{name}" for name in names[:keys])
    return f"UPDATE {table.name} SET {sets} FROM fresh_{table.name} AS fresh WHERE {where}"  # noqa: S608
