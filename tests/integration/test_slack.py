"""What SQLite leaves in the free room of its pages is emptied while others read and write, in a file of any size."""

import random
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.storage import slack
from backend.storage.database import Database
from backend.storage.slack import Slack

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEX = re.compile(rb"[0-9a-f]{32,}")


class Filled:
    """A file whose rows were moved about a lot, some of which were removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = Database(f"sqlite:///{path}")
        self.random = random.Random(7)
        self.ids = [f"{self.random.getrandbits(128):032x}" for _ in range(5_000)]
        with self.db.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE people (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
            connection.exec_driver_sql("CREATE TABLE ticks (number INTEGER PRIMARY KEY, body TEXT)")
            for each in self.ids:
                connection.exec_driver_sql("INSERT INTO people VALUES (?, ?)", (each, self.body(each)))
        with self.db.begin() as connection:
            for each in self.ids:
                self.touch(connection, each)
        self.gone = set(self.random.sample(self.ids, 2_000))
        with self.db.begin() as connection:
            for each in self.gone:
                connection.exec_driver_sql("DELETE FROM people WHERE id = ?", (each,))
        assert self.db.scrub(1)

    def body(self, each: str) -> str:
        return each[::-1] + "-" * self.random.randrange(50, 1_500)

    def touch(self, connection: object, each: str) -> None:
        connection.exec_driver_sql("UPDATE people SET body = ? WHERE id = ?", (self.body(each), each))  # type: ignore[attr-defined]

    def left(self) -> list[str]:
        """Who of those that were removed can still be read in one of the files."""
        runs = {run for file in self.path.parent.glob(self.path.name + "*") for run in HEX.findall(file.read_bytes())}
        found = {run[at : at + 32].decode() for run in runs for at in range(len(run) - 31)}
        return [each for each in self.gone if each in found or each[::-1] in found]

    def check(self) -> None:
        with self.db.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            found = {row[0] for row in connection.exec_driver_sql("SELECT id FROM people")}
        assert found == set(self.ids) - self.gone


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    filled = Filled(tmp_path / "filled.db")
    assert filled.left(), "SQLite lays out pages anew and leaves copies of rows that were removed later"
    yield filled
    filled.db.close()


def test_a_file_of_any_size_is_emptied_a_piece_at_a_time_while_others_write(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack, "PAGES_AT_ONCE", 50)
    stop, written = threading.Event(), list[int]()
    kept = sorted(set(filled.ids) - filled.gone)

    def write() -> None:
        other = Database(f"sqlite:///{filled.path}")
        while not stop.wait(0.002):
            with other.begin() as connection:
                for each in filled.random.sample(kept, 20):
                    filled.touch(connection, each)
                connection.exec_driver_sql("INSERT INTO ticks VALUES (?, ?)", (len(written), "x" * 500))
            written.append(len(written))
        other.close()

    thread = threading.Thread(target=write)
    thread.start()
    turns = 1
    try:
        while filled.db.empty(NOW, 0) is None:
            turns += 1
            assert turns < 10_000
    finally:
        stop.set()
        thread.join()
    assert turns > 3, "one piece in each turn"
    assert filled.db.scrub(1)
    assert filled.left() == []
    filled.check()
    with filled.db.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM ticks").scalar() == len(written) > 0


def test_whoever_holds_pages_from_before_does_not_write_back_what_was_emptied(filled: Filled) -> None:
    other = Database(f"sqlite:///{filled.path}")
    with other.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA mmap_size=0")  # so that it holds copies
        connection.exec_driver_sql("SELECT sum(length(body)) FROM people").all()
    assert Slack(str(filled.path)).run(10)
    with other.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE people SET body = 'A' || substr(body, 2)")  # in place, as it is as long
    assert other.scrub(1)
    other.close()
    assert filled.left() == []
    filled.check()


def test_what_lies_in_the_log_of_sqlite_is_emptied_once_it_is_in_the_file(filled: Filled) -> None:
    with filled.db.engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT count(*) FROM people").all()
        with filled.db.begin() as connection:
            connection.exec_driver_sql("UPDATE people SET body = 'B' || substr(body, 2)")
        assert filled.db.empty(NOW, 0.1) is None, "somebody reads, so the log stays"
        once = Slack(str(filled.path))
        assert not once.run(10), "all is in the log"
        assert not once.run(10)
        assert filled.left()
        reader.exec_driver_sql("COMMIT")
    assert filled.db.scrub(1)
    assert once.run(10)
    assert filled.left() == []
    filled.check()


def test_an_erasure_in_the_midst_of_it_has_a_way_of_its_own_afterwards(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack, "PAGES_AT_ONCE", 50)
    assert filled.db.empty(NOW, 0) is None
    later = NOW.replace(hour=5)
    done = None
    while done is None:
        done = filled.db.empty(later, 0)
    assert done == NOW
    done = None
    while done is None:
        done = filled.db.empty(later, 0)
    assert done == later


def test_a_file_whose_pages_sqlite_moves_about_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "moved.db"
    db = Database(f"sqlite:///{path}")
    with db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA auto_vacuum=FULL")
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY)")
    db.scrub(1)
    if db.engine.connect().exec_driver_sql("PRAGMA auto_vacuum").scalar():
        with pytest.raises(RuntimeError, match="moves its pages"):
            db.empty(NOW, 1)
    db.close()
