"""How are products written in files? CSV, JSON, JSON lines and Google's product feeds, read a row at a time.

Whatever the file, memory stays bounded: a row has at most `LONGEST_ROW` bytes.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal, TypeAlias, cast

from backend.domain.mistakes import nearest, quoted
from backend.domain.product import Facts
from backend.domain.product_facts import Mistake, read_facts, read_id
from backend.schemas.feed_names import COLUMNS, document_of
from backend.schemas.feed_xml import LONGEST_ROW, FeedError, items_of

Format: TypeAlias = Literal["csv", "json", "jsonl", "xml"]
FORMATS: tuple[Format, ...] = ("csv", "json", "jsonl", "xml")

MOST_JSON = 8 * 2**20
"""Bytes of a JSON file, which is read as a whole; JSON lines may be longer."""

DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Row:
    """One product of a file, which begins on this line: its id and facts, or what is wrong with it."""

    line: int
    product_id: str | None
    facts: Facts
    mistakes: tuple[Mistake, ...] = ()


def format_of(head: bytes) -> Format:
    """What a file that begins like this is written in, as far as that can be told."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return {b"<": "xml", b"[": "json", b"{": "jsonl"}.get(start, "csv")  # type: ignore[return-value]


def read_rows(file: BinaryIO, kind: Format, now: datetime) -> Iterator[Row]:
    """The rows of a file in their order; raises FeedError where nothing further can be read of it."""
    match kind:
        case "csv":
            yield from _csv(file, now)
        case "json":
            yield from _json(file)
        case "jsonl":
            yield from _json_lines(file)
        case "xml":
            for line, values in items_of(file):
                yield _row(line, document_of(values, now))


def row_of(line: int, doc: Any) -> Row:
    """A row written as a JSON object."""
    if not isinstance(doc, Mapping):
        return Row(line, None, {}, (("", 'Expected an object such as {"id": "k-17", "price": "134.00"}.'),))
    told = dict(doc)
    if "id" not in told and "product_id" in told:
        told["id"] = told.pop("product_id")
    return _row(line, told)


def _row(line: int, doc: Mapping[str, Any]) -> Row:
    told = dict(doc)
    product_id: str | None = None
    mistakes: list[Mistake] = []
    try:
        product_id = read_id(told.pop("id", None))
    except ValueError as error:
        mistakes.append(("id", str(error)))
    facts, wrong = read_facts(told)
    return Row(line, product_id, facts, (*mistakes, *wrong))


def _json(file: BinaryIO) -> Iterator[Row]:
    raw = file.read(MOST_JSON + 1)
    if len(raw) > MOST_JSON:
        raise FeedError(f"A JSON file has at most {MOST_JSON // 2**20} MB: write one object a line (jsonl) instead.")
    doc = _parsed(raw)
    listed = doc.get("products") if isinstance(doc, dict) else doc
    if not isinstance(listed, list):
        raise FeedError('Expected a list of products, or {"products": [...]}.')
    for place, each in enumerate(listed, start=1):
        yield row_of(place, each)


def _json_lines(file: BinaryIO) -> Iterator[Row]:
    line = 0
    while raw := file.readline(LONGEST_ROW + 1):
        line += 1
        if len(raw) > LONGEST_ROW:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(LONGEST_ROW)
            yield Row(line, None, {}, (("", f"A line has at most {LONGEST_ROW // 1024} kB."),))
        elif raw.strip():
            try:
                yield row_of(line, _parsed(raw))
            except FeedError as error:
                yield Row(line, None, {}, (("", str(error)),))


def _parsed(raw: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise FeedError(f"{name} is no JSON number.")

    def whole(digits: str) -> Any:
        return int(digits) if len(digits) < 20 else float(digits)

    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=refuse, parse_int=whole)
    except UnicodeDecodeError:
        raise FeedError("It is not UTF-8.") from None
    except RecursionError:
        raise FeedError("The JSON nests too deep.") from None
    except json.JSONDecodeError as error:
        raise FeedError(f"It is not JSON: {error.msg}, at character {error.pos + 1}.") from None


def _csv(file: BinaryIO, now: datetime) -> Iterator[Row]:
    text = io.TextIOWrapper(cast(Any, file), encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        head = text.readline(LONGEST_ROW)
        delimiter = max(",;\t", key=head.count)
        names = [_column(each) for each in next(csv.reader([head], delimiter=delimiter), [])]
        if "id" not in names:
            known = ", ".join(each for each in dict.fromkeys(COLUMNS.values()) if "." not in each)
            hint = nearest("id", names)
            raise FeedError(f"The first line names no column id; known are {known}.{hint}")
        twice = next((each for each in names if each and names.count(each) > 1), None)
        if twice is not None:
            raise FeedError(f"Two columns mean {quoted(twice)}.")
        lines = _Lines(text)
        yield from _records(csv.reader(lines, delimiter=delimiter), lines, names, now)
    finally:
        text.detach()


def _records(reader: Any, lines: "_Lines", names: list[str], now: datetime) -> Iterator[Row]:
    while True:
        line, lines.cut = reader.line_num + 2, False
        wrong = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            wrong = f"The line cannot be read: {error}."
        if lines.cut:
            wrong = f"A line has at most {LONGEST_ROW // 1024} kB."
        if wrong is not None:
            yield Row(line, None, {}, (("", wrong),))
            continue
        if not any(cells):
            continue
        if len(cells) > len(names):
            wrong = f"The line has {len(cells)} cells, and there are {len(names)} columns."
            yield Row(line, None, {}, (("", wrong),))
            continue
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name and cell.strip()}
        yield _row(line, document_of(values, now))


class _Lines:
    """The lines of a text, each up to `LONGEST_ROW` characters; `cut`: one was longer."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.cut = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = rest = self._text.readline(LONGEST_ROW)
        if not line:
            raise StopIteration
        while len(rest) == LONGEST_ROW and not rest.endswith("\n"):
            self.cut = True
            rest = self._text.readline(LONGEST_ROW)
        return "\n" if self.cut else line  # a part of it would leave a quotation open


def _column(name: str) -> str:
    """What a column means: one of ours, or of Google's; an attribute stands as it is, and what is unknown as ""."""
    bare = name.strip().removeprefix("g:")
    if bare.lower().startswith("attributes."):
        return bare[:111]
    return COLUMNS.get(bare.lower().replace(" ", "_"), "")


__all__ = ["FORMATS", "FeedError", "Format", "Row", "format_of", "read_rows", "row_of"]
