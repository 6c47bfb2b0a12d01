"""However many timers wait, what is due and what a visitor has are found by an index."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy

from backend.storage import enrolments, visitors
from backend.storage.events import history_since
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, at, call, popup_rule


@pytest.fixture
def plans(each_shop: Shop) -> Iterator[list[str]]:
    """How the database goes about each query that is asked from now on, with scanning a whole table made dear."""
    shop, found = each_shop, list[str]()
    shop.rule(popup_rule(delay="1h"))
    shop.send(call("Product Added"), call("Page Viewed", anonymousId="bob"))

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not statement.startswith("SELECT") or many:
            return
        word = "EXPLAIN QUERY PLAN" if shop.rt.db.dialect == "sqlite" else "EXPLAIN"
        with connection.connection.driver_connection.cursor() if word == "EXPLAIN" else _cursor(connection) as asked:
            asked.execute(f"{word} {statement}", parameters)
            found.append("\n".join(" ".join(map(str, row)) for row in asked.fetchall()))

    sqlalchemy.event.listen(shop.rt.db.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        sqlalchemy.event.remove(shop.rt.db.engine, "before_cursor_execute", explain)


class _cursor:  # noqa: N801 - used as a function
    """SQLite's cursor as a context, which it is not by itself."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.connection.driver_connection.cursor()

    def __enter__(self) -> Any:
        return self._cursor

    def __exit__(self, *_: object) -> None:
        self._cursor.close()


def test_what_is_due_is_found_by_its_moment(each_shop: Shop, plans: list[str]) -> None:
    with each_shop.rt.db.read() as connection:
        if each_shop.rt.db.dialect != "sqlite":
            connection.execute(sqlalchemy.text("SET enable_seqscan = off"))
        plans.clear()
        assert enrolments.due_visitors(connection, at(hours=2), 1_000)
        assert visitors.due(connection, at(hours=2), 1_000) == []
    due, wake = plans
    assert "ix_enrolments_due_at" in due
    assert "ix_visitors_wake_at" in wake
    for plan in plans:
        assert "SCAN " not in plan
        assert "Seq Scan" not in plan
        assert "TEMP B-TREE" not in plan


def test_what_a_visitor_has_is_found_by_the_key(each_shop: Shop) -> None:
    """These go past SQLAlchemy, so their plans are asked for by hand."""
    shop = each_shop
    sqlite = shop.rt.db.dialect == "sqlite"
    shop.send(call("Product Added"))
    ann = shop.profile().id
    asked: list[tuple[str, Any]] = []
    with shop.rt.db.read() as connection:
        recorded = _Recording(connection, asked)
        enrolments.of_visitors(recorded, [ann])  # type: ignore[arg-type]
        list(history_since(recorded, [(ann, "Product Added", at(hours=-1))]))  # type: ignore[arg-type]
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        if not sqlite:
            cursor.execute("SET enable_seqscan = off")
        plans = []
        for statement, values in asked:
            cursor.execute(f"{'EXPLAIN QUERY PLAN' if sqlite else 'EXPLAIN'} {statement}", values)
            plans.append("\n".join(" ".join(map(str, row)) for row in cursor.fetchall()))
        cursor.close()
    of_visitors, history = plans
    assert "autoindex_enrolments" in of_visitors or "pk_enrolments" in of_visitors
    assert "ix_events_visitor_id_timestamp" in history or "pk_events" in history
    assert "SCAN enrolments" not in of_visitors
    assert "SCAN events" not in history
    if sqlite:
        assert "visitor_id=? AND timestamp>?" in history


class _Recording:
    """A connection that notes what its driver's cursors are asked."""

    def __init__(self, connection: Any, asked: list[tuple[str, Any]]) -> None:
        self._connection = connection
        self._asked = asked
        self.dialect = connection.dialect

    @property
    def connection(self) -> "_Recording":
        """Itself: it hands out the cursors."""
        return self

    def cursor(self) -> Any:
        """A cursor of the driver, listened to."""
        return _Cursor(self._connection.connection.cursor(), self._asked)


class _Cursor:
    def __init__(self, cursor: Any, asked: list[tuple[str, Any]]) -> None:
        self._cursor = cursor
        self._asked = asked

    def execute(self, statement: str, values: Any) -> Any:
        """Asks, and notes it."""
        self._asked.append((statement, values))
        return self._cursor.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
