"""How lists of visitors are written in files: CSV and JSON lines, read row by row, and safe for spreadsheets."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.mistakes import nearest, quoted
from backend.domain.profile import Profile
from backend.errors import Malformed
from backend.schemas.fields import format_moment, format_money

KINDS = ("visitor_id", "user_id", "anonymous_id", "email")
"""What may name a visitor; a row with several must mean one visitor by all of them."""

COLUMNS = (
    *("visitor_id", "user_id", "anonymous_id", "email", "stage", "first_seen", "last_seen"),
    *("orders", "revenue", "currency", "entered_at", "left_at"),
)
"""What is exported of each; `left_at` is when they had left before."""

LONGEST_VALUE = 1_000
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A cell that begins so may be run by a spreadsheet, also with East Asian signs; behind a quote it is text."""

_PLACES = r"(^|[;|\t\r\n])"
"""Where a spreadsheet may let a cell begin: in many countries semicolons part columns, whatever the quotes say."""
_RUNS = re.compile(_PLACES + f"(?='*[{re.escape(''.join(FORMULA))}])")
_QUOTED = re.compile(_PLACES + f"'(?='*[{re.escape(''.join(FORMULA))}])")

_ALIASES = {"id": "visitor_id", "userid": "user_id", "anonymousid": "anonymous_id", "e_mail": "email", "mail": "email"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line at which it ends, and what names the visitor, by kind."""

    line: int
    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that names nobody, and why."""

    line: int
    message: str


def read_csv(body: bytes) -> Iterator[Row | Broken]:
    """The rows of a CSV file behind its first line, which names the columns; `Malformed` where that names no visitor.

    Commas, semicolons or tabs part the columns; further columns are passed over.
    """
    text = body.decode("utf-8-sig", "surrogateescape")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next(reader, [])
    except csv.Error:
        header = []
    columns = {place: kind for place, name in enumerate(header) if (kind := _kind(name)) in KINDS}
    if not columns:
        hint = next(filter(None, (nearest(_kind(name), KINDS) for name in header[:20])), "")
        raise Malformed(f"The first line names the columns, and one of {', '.join(KINDS)} must be among them.{hint}")
    if len(set(columns.values())) < len(columns):
        raise Malformed("The first line names a column twice.")
    return _csv_rows(reader, columns, len(header))


def _csv_rows(reader: Any, columns: Mapping[int, str], width: int) -> Iterator[Row | Broken]:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Broken(reader.line_num, f"This is no CSV: {error}.")
            continue
        if not cells:
            continue  # an empty line
        if len(cells) != width:
            yield Broken(reader.line_num, f"It has {len(cells)} columns, the first line has {width}.")
            continue
        yield _row(reader.line_num, {kind: _bare(cells[place]) for place, kind in columns.items()})


def read_lines(body: bytes) -> Iterator[Row | Broken]:
    """The rows of a file with one JSON object a line."""
    for number, line in enumerate(io.BytesIO(body), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            yield Broken(number, "This is no JSON in UTF-8.")
            continue
        if not isinstance(told, dict):
            yield Broken(number, f'Expected an object with one of {", ".join(KINDS)}, such as {{"email": "…"}}.')
            continue
        ids = {kind: value for key, value in told.items() if (kind := _kind(key)) in KINDS and value is not None}
        wrong = [kind for kind, value in ids.items() if not isinstance(value, str)]
        if wrong:
            yield Broken(number, f"{wrong[0]} must be text, in quotes.")
        elif not ids:
            hint = next(filter(None, (nearest(_kind(key), KINDS) for key in list(told)[:20])), "")
            yield Broken(number, f"It has none of {', '.join(KINDS)}.{hint}")
        else:
            yield _row(number, ids)


def _kind(name: str) -> str:
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    return _ALIASES.get(plain, plain)


def _row(line: int, told: Mapping[str, str]) -> Row | Broken:
    ids = {kind: value.strip() for kind, value in told.items() if value.strip()}
    if not ids:
        return Broken(line, "It names nobody.")
    for kind, value in ids.items():
        if any("\ud800" <= each <= "\udfff" for each in value):
            return Broken(line, f"{kind} is not written in UTF-8.")
        if len(value) > LONGEST_VALUE:
            return Broken(line, f"{kind} has more than {LONGEST_VALUE} characters.")
        if any(each < " " for each in value):
            return Broken(line, f"{kind} holds a character that cannot be seen.")
        if kind == "email" and "@" not in value:
            return Broken(line, f"{quoted(value)} is no e-mail address.")
    return Row(line, ids)


def _bare(cell: str) -> str:
    """A cell without the quotes that keep a spreadsheet from running it."""
    return _QUOTED.sub(r"\1", cell) if "'" in cell else cell


def member_cells(
    profile: Profile, email: str | None, entered_at: datetime, segment_id: str, currency: str
) -> list[Any]:
    """One member as `COLUMNS`: text, a number, or None."""
    standing = profile.segments.get(segment_id)
    left_at = standing.left_at if standing is not None else None
    return [
        profile.id,
        profile.user_id,
        profile.anonymous_ids[-1] if profile.anonymous_ids else None,
        email,
        profile.stage,
        _moment(profile.first_seen),
        _moment(profile.last_seen),
        profile.orders.count,
        format_money(profile.orders.revenue),
        currency,
        _moment(entered_at),
        _moment(left_at),
    ]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_moment(moment)


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV, in which no cell is a formula; None is an empty cell."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([[_safe(each) for each in row] for row in rows])
    return written.getvalue()


def _safe(value: Any) -> Any:
    return _RUNS.sub(r"\1'", value) if isinstance(value, str) else value


def json_lines(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as one JSON object a line."""
    return "".join(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
