"""What SQLite leaves in the room of its pages that is free: emptied a piece at a time, while others read and write.

With `secure_delete` SQLite overwrites rows and pages that are removed. But when it moves rows from a page to its
neighbour it may lay out the page anew and leave the former copies between the list of cells and the cells, where no
pragma reaches them; whoever is erased later may be among them. Only VACUUM writes all pages anew, and nobody may write
meanwhile. So such room is zeroed in the file itself. That is sound because of four things:

- The write lock is held, so no page changes but by a checkpoint, which writes those that lie in the log: these wait
  for a turn in which they lie there no more.
- Nobody reads that room, so it makes no difference to whoever reads the page just now, from the file or mapped.
- Somebody may hold a copy of the page from before and would write it back. So each piece ends with a commit of our own,
  after which every connection, before it writes, throws away what it holds.
- The file is never closed: closing it would take away the locks on it of everybody else in this process.

Rows that SQLite copies are alive, and free room is never copied. So what was removed before the first piece is gone
behind the last, whatever is moved in between.
"""

import os
import sqlite3
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

PAGES_AT_ONCE = 1_000
"""Pages that are looked at while nobody else may write: some milliseconds."""

BUSY_SECONDS = 1.0

MOST_PAGES = 2**25
"""From so many pages on, one that continues a long value may begin as one with cells does."""

LOCK_BYTE = 2**30
"""The page in which this byte lies is never used."""

_HEADERS = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}
"""The length of the header of each kind of page that has cells."""

_files: dict[str, int] = {}


class Slack:
    """One way through a file, as it is when this is made."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _opened(path)
        head = os.pread(self._file, 100, 0)
        size = int.from_bytes(head[16:18], "big")
        self._size = 65_536 if size == 1 else size
        self._usable = self._size - head[20]
        self._zeros = bytes(self._size)
        count = os.fstat(self._file).st_size // self._size
        if count >= MOST_PAGES or any(head[52:56]):
            raise RuntimeError(f"{path} is too large to be emptied in place, or SQLite moves its pages about")
        self._todo: Sequence[int] = range(2, count + 1)  # the first holds the schema, which is nobody's
        self._later: list[int] = []
        self._untold = True  # somebody may have begun this before, and died

    def run(self, seconds: float) -> bool:
        """Goes on for about so many seconds; True when it is through. sqlite3.OperationalError where others write."""
        ends = time.monotonic() + seconds
        # A connection of its own, for it must not hold any page that others may change.
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            while self._todo:
                self._piece(connection, self._todo[:PAGES_AT_ONCE])
                self._todo = self._todo[PAGES_AT_ONCE:]
                if time.monotonic() >= ends:
                    break
        if not self._todo:
            os.fsync(self._file)
            self._todo, self._later = self._later, []
        return not self._todo

    def _piece(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        waiting = _in_log(Path(f"{self._path}-wal"), self._size)
        for number in numbers:
            if number not in waiting:
                self._empty(number)
        if self._untold:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {(version + 1) % 2**31}")
        connection.execute("COMMIT")
        self._untold = False
        self._later += (number for number in numbers if number in waiting)

    def _empty(self, number: int) -> None:
        """Zeroes the free room of a page, where there is something in it."""
        at = (number - 1) * self._size
        page = b"" if at <= LOCK_BYTE < at + self._size else os.pread(self._file, self._size, at)
        start, end = _room(page, self._usable)
        if page[start:end] != self._zeros[start:end] and _has_cells_behind(page, end):
            self._untold = True
            os.pwrite(self._file, self._zeros[start:end], at + start)


def _room(page: bytes, usable: int) -> tuple[int, int]:
    """Where the free room of a page lies between the list of its cells and the cells; (0, 0) where it has no cells."""
    header = _HEADERS.get(page[0]) if page else None
    if header is None:
        return 0, 0
    cells, end = struct.unpack_from(">HH", page, 3)
    start, end = header + 2 * cells, end or 65_536
    return (start, end) if start <= end <= usable else (0, 0)


def _has_cells_behind(page: bytes, end: int) -> bool:
    """Whether every cell of a page lies behind its free room, as it has to."""
    cells = int.from_bytes(page[3:5], "big")
    return end > 0 and all(place >= end for place in struct.unpack_from(f">{cells}H", page, _HEADERS[page[0]]))


def _in_log(path: Path, size: int) -> set[int]:
    """The pages that lie in SQLite's log."""
    found: set[int] = set()
    if not path.exists():
        return found
    with path.open("rb") as file:
        salts = file.read(32)[16:24]
        while len(frame := file.read(24)) == 24 and frame[8:16] == salts:
            found.add(int.from_bytes(frame[:4], "big"))
            file.seek(size, os.SEEK_CUR)
    return found


def _opened(path: str) -> int:
    """The file, open for as long as this process lives; anew where another has taken its place."""
    known = _files.get(path)
    if known is None or os.fstat(known).st_ino != Path(path).stat().st_ino:
        known = _files[path] = os.open(path, os.O_RDWR)
    return known
