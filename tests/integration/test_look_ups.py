"""Looking up events: by an index, also in a table that has just begun to grow and of which no statistics are known."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from backend.storage import bulk, events
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import Shop, call


def test_no_look_up_reads_the_whole_table(each_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        each_shop.put(*(call("Page Viewed", messageId=f"{number}-{n}", anonymousId=f"v{n}") for n in range(100)))
    each_shop.processor.drain()
    person = each_shop.profile("v1").id
    plans: list[str] = []
    plain = bulk._driver

    class Watched:
        def __init__(self, cursor: Any, word: str) -> None:
            self.cursor, self.word = cursor, word

        def execute(self, statement: str, values: Any) -> None:
            self.cursor.execute(f"{self.word} {statement}", values)
            plans.append("\n".join(str(row) for row in self.cursor.fetchall()))
            self.cursor.execute(statement, values)

        def fetchall(self) -> list[Any]:
            found: list[Any] = self.cursor.fetchall()
            return found

    @contextmanager
    def watched(connection: Connection, statement: str) -> Iterator[Watched]:
        with plain(connection, statement) as cursor:
            yield Watched(cursor, "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN")

    monkeypatch.setattr(bulk, "_driver", watched)
    with each_shop.rt.db.read() as connection:
        assert len(list(events.history_since(connection, [(person, "Page Viewed", None)]))) == 30
        assert len(events.sent_before(connection, [(person, "1-1"), (person, "nowhere")])) == 1
    assert len(plans) == 2
    for plan in plans:
        assert "events" in plan
        assert "Seq Scan on events" not in plan
        assert "SCAN events" not in plan
