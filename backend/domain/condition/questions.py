"""What is asked about what a visitor did, beside how often: first, last, amounts, and in which window of time."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from backend.domain.cart import money
from backend.domain.condition.fields import parse_event_path
from backend.domain.condition.operators import ALIASES, read_window
from backend.domain.condition.tree import Amount, Edge
from backend.domain.condition.values import read_time
from backend.domain.condition.when import Relative, read_when
from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted

AMOUNTS = ("sum", "min", "max", "avg")
AMOUNT_OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "between")
EDGES = ("before", "after")

Path: TypeAlias = Sequence[str | int]
Document: TypeAlias = Mapping[Any, Any]


def read_questions(doc: Document, path: Path, mistakes: Mistakes) -> dict[str, Any]:
    """`first`, `last` and amounts, as the fields of `Performed`; empty where nothing of that is asked."""
    found: dict[str, Any] = {}
    for name in ("first", "last"):
        if doc.get(name) is not None:
            found[name] = _read_edge(doc[name], (*path, name), mistakes)
    asked = [name for name in AMOUNTS if doc.get(name) is not None]
    if asked:
        found["amounts"] = tuple(_read_amount(name, doc[name], (*path, name), mistakes) for name in asked)
    first, last = found.get("first"), found.get("last")
    if isinstance(first, Edge) and isinstance(last, Edge) and _apart(first, last):
        mistakes.add((*path, "last"), "The first would have to be after the last: nothing is.")
    return found


def read_bounds(doc: Document, path: Path, mistakes: Mistakes, *, entered: bool) -> dict[str, Any]:
    """The window and `same`, as the fields of `Performed`."""
    found: dict[str, Any] = {}
    if doc.get("within") is not None:
        found["within"] = mistakes.attempt(read_window, doc["within"], (*path, "within"))
    if doc.get("between") is not None:
        if "within" in found:
            mistakes.add((*path, "between"), "Give within or between, not both.")
        found |= _read_between(doc["between"], (*path, "between"), mistakes)
    since, until = doc.get("since"), doc.get("until")
    if since == "entry":
        found["since_entry"] = True
        if not entered:
            mistakes.add((*path, "since"), "There is no entry yet where the trigger itself is checked.")
    elif since is not None:
        found["since"] = mistakes.attempt(_read_moment, since, (*path, "since"))
    if until is not None:
        found["until"] = mistakes.attempt(_read_moment, until, (*path, "until"))
    start, end = found.get("since"), found.get("until")
    if isinstance(start, datetime) and isinstance(end, datetime) and end <= start:
        mistakes.add((*path, "until"), "until is not later than since, so nothing can lie between them.")
    if doc.get("same") is not None:
        found["same"] = mistakes.attempt(parse_event_path, doc["same"], (*path, "same"))
    return found


def _read_edge(value: object, path: Path, mistakes: Mistakes) -> Edge | None:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"op": "before", "value": {"ago": "30d"}}.')
        return None
    mistakes.known_keys(value, ("op", "value"), path)
    op = value.get("op")
    if op not in EDGES:
        mistakes.add((*path, "op"), f"Expected before or after, not {quoted(op)}.{nearest(op, EDGES)}")
    moment = mistakes.attempt(read_when, value.get("value"), (*path, "value"))
    return None if op not in EDGES or moment is None else Edge(op=op, value=moment)


def _apart(first: Edge, last: Edge) -> bool:
    """Whether the first is asked to be after a moment before which the last is asked to be."""
    if first.op != "after" or last.op != "before":
        return False
    one, other = first.value, last.value
    if isinstance(one, Relative) and isinstance(other, Relative):
        return one.span >= other.span
    return isinstance(one, datetime) and isinstance(other, datetime) and one >= other


def _read_amount(kind: Any, value: object, path: Path, mistakes: Mistakes) -> Amount | None:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"of": "properties.total", "op": "gte", "value": 100}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("of", "op", "value"), path)
    of = mistakes.attempt(parse_event_path, value.get("of"), (*path, "of"))
    op = value.get("op", "gte")
    if op not in AMOUNT_OPERATORS:
        hint = nearest(ALIASES.get(op, op) if isinstance(op, str) else op, AMOUNT_OPERATORS)
        mistakes.add((*path, "op"), f"Unknown operator {quoted(op)}.{hint}")
    read = _read_pair if op == "between" else _read_number
    wanted: Any = mistakes.attempt(read, value.get("value"), (*path, "value"))
    return Amount(kind=kind, of=of or (), op=op, value=wanted) if mistakes.total == noted else None


def _read_number(value: object) -> Decimal:
    amount = money(value)
    if amount is None:
        raise ValueError('Expected a number, such as 100 or "99.90".')
    return amount


def _read_pair(value: object) -> tuple[Decimal, Decimal]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("between needs a list of two values: [lowest, highest].")
    low, high = map(_read_number, value)
    if low > high:
        raise ValueError("The first value of between is greater than the second, so nothing can lie between them.")
    return low, high


def _read_between(value: object, path: Path, mistakes: Mistakes) -> dict[str, timedelta]:
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"from": "7d", "to": "2d"}: so long ago.')
        return {}
    mistakes.known_keys(value, ("from", "to"), path)
    far = mistakes.attempt(read_window, value.get("from"), (*path, "from"))
    near = mistakes.attempt(parse_duration, value.get("to"), (*path, "to"))
    if far is None or near is None:
        return {}
    if far <= near:
        mistakes.add((*path, "to"), "to is not later than from: 7d ago to 2d ago is from 7d to 2d.")
    return {"within": far, "ago": near}


def _read_moment(value: object) -> datetime:
    moment = read_time(value) if isinstance(value, str) else None
    if moment is None:
        raise ValueError('Expected "entry", a time such as 2026-03-01T12:00:00Z, or a date as 2026-03-01.')
    return moment
