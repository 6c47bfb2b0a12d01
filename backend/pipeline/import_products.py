"""The verb `import_products`: a file of products goes into the catalogue, a piece at a time, with a report."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, BinaryIO, cast

from backend.domain.product import Facts, Source
from backend.errors import ChimeinError
from backend.pipeline.stock_up import stock_up
from backend.runtime import Runtime
from backend.schemas.feed import FeedError, Format, Row, format_of, read_rows
from backend.storage import products

AT_ONCE = 500
MOST_ERRORS = 100
"""So many mistakes are told one by one; all are counted."""

MOST_BYTES = 256 * 2**20
"""Bytes of a file, unpacked."""


@dataclass(slots=True)
class Report:
    """What became of a file: rows in it, products that came of them, rows that were left out and why.

    `failed` says why nothing further could be read; what was read before counts. `ended` are the products that a
    complete file no longer holds, so that they cannot be bought.
    """

    rows: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    ended: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    failed: str | None = None
    note: str | None = None

    def reject(self, row: Row) -> None:
        """Counts a row that is left out, and tells why, if that is not the hundredth time."""
        self.rejected += 1
        for name, sentence in row.mistakes:
            if len(self.errors) < MOST_ERRORS:
                self.errors.append({"line": row.line, "id": row.product_id, "field": name or None, "message": sentence})


def import_products(
    rt: Runtime,
    site_id: str,
    file: BinaryIO,
    source: Source,
    kind: Format | None = None,
    *,
    complete: bool = False,
) -> Report:
    """Takes over the products of a file; without `kind` it is found out how it is written, and whether it is packed.

    A bad row costs only itself. With `complete`, what an earlier file told of and this one does not hold is sold out.
    """
    report, now = Report(), rt.clock()
    seen: set[bytes] = set()
    unnamed = False
    try:
        plain = opened(file)
        head = plain.peek(64)[:64]  # type: ignore[attr-defined]
        rows = read_rows(plain, kind or format_of(head), now)
        for piece in _pieces(rows):
            report.rows += len(piece)
            good: list[tuple[str, Facts]] = []
            for row in piece:
                if row.product_id is not None:
                    if complete:
                        seen.add(_digest(row.product_id))
                else:
                    unnamed = True
                if row.mistakes or row.product_id is None:
                    report.reject(row)
                else:
                    good.append((row.product_id, row.facts))
            stocked = stock_up(rt, site_id, good, source)
            report.created += stocked.created
            report.changed += stocked.changed
            report.unchanged += stocked.unchanged
    except FeedError as error:
        report.failed = str(error)
    except (OSError, EOFError, zlib.error):
        report.failed = "The file is cut short, or is not packed by gzip as it seems to be."
    except ChimeinError as error:
        report.failed = error.message
    if complete:
        if report.failed is not None or unnamed or not seen:
            report.note = "Nothing was taken to be sold out: not every row could be read."
        else:
            report.ended = _end_others(rt, site_id, seen)
    return report


def opened(file: BinaryIO) -> BinaryIO:
    """The file as it reads unpacked; FeedError, while reading, where it is larger than `MOST_BYTES`."""
    buffered = io.BufferedReader(cast(Any, file))
    packed = buffered.peek(2)[:2] == b"\x1f\x8b"
    raw: Any = gzip.GzipFile(fileobj=buffered) if packed else buffered
    return cast(BinaryIO, io.BufferedReader(cast(Any, _Bounded(raw)), 64 * 1024))


class _Bounded(io.RawIOBase):
    """Reads so much and no more."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read1(len(buffer)) if hasattr(self._raw, "read1") else self._raw.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise FeedError(f"A file has at most {MOST_BYTES // 2**20} MB, unpacked.")
        buffer[: len(data)] = data
        return len(data)


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    try:
        for row in rows:
            piece.append(row)
            if len(piece) == AT_ONCE:
                yield piece
                piece = []
    except FeedError:
        if piece:
            yield piece  # what came before counts
        raise
    if piece:
        yield piece


def _digest(product_id: str) -> bytes:
    """The id in few bytes: of a million products all are remembered."""
    return blake2b(product_id.encode(), digest_size=8).digest()


def _end_others(rt: Runtime, site_id: str, seen: set[bytes]) -> int:
    """Marks as sold out whatever a file told of before and does not any more; returns how many."""
    after: str | None = None
    ended = 0
    while True:
        with rt.db.read() as connection:
            found = products.find(connection, site_id, limit=AT_ONCE, after=after)
        if not found:
            return ended
        after = found[-1].id
        gone: list[tuple[str, Facts]] = [
            (each.id, {"available": False, "stock": None})
            for each in found
            if "feed" in each.told_by.values()
            and _digest(each.id) not in seen
            and each.told.get("available") is not False
        ]
        stock_up(rt, site_id, gone, "feed")
        ended += len(gone)


def report_view(report: Report, at: datetime) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "rows": report.rows,
        "created": report.created,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "ended": report.ended,
        "errors": report.errors,
        "failed": report.failed,
        "note": report.note,
        "at": at,
    }
