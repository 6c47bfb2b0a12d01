"""Which parts of a condition can never hold? Only what is plain from what stands together: no history, no arithmetic.

It looks at conditions as they were written, after they were read: the places of the parts are needed for the answer.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from backend.domain.condition.fields import kind_of
from backend.domain.condition.values import is_number, read_time
from backend.domain.mistakes import quoted

Path: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[Path, Mapping[str, Any]]

_OF_ONE_TYPE = frozenset({"eq", "in", "gt", "gte", "lt", "lte", "between"})
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_LOWER, _UPPER = ("gt", "gte", "after"), ("lt", "lte", "before")


def never_holds(*places: tuple[Path, object]) -> Iterator[tuple[Path, str]]:
    """Where, and why, something can never hold; `places` are conditions that must hold at one moment, with their paths.

    A part inside of `any` or `not` is told of too: it does nothing where it stands.
    """
    parts = [part for path, condition in places for part in _together(path, condition)]
    yield from _contradictions(parts)
    for path, part in parts:
        yield from _inside(path, part)


def _together(path: Path, condition: object) -> Iterator[Place]:
    """The parts that must hold together."""
    if not isinstance(condition, Mapping):
        return
    inner = condition.get("all")
    if isinstance(inner, list):
        for index, part in enumerate(inner):
            yield from _together((*path, "all", index), part)
    else:
        yield path, condition


def _inside(path: Path, part: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    if isinstance(part.get("field"), str):
        yield from _other_type(path, part["field"], part)
    choices = part.get("any")
    for index, choice in enumerate(choices if isinstance(choices, list) else ()):
        yield from never_holds(((*path, "any", index), choice))
    if "not" in part:
        yield from never_holds(((*path, "not"), part["not"]))
    if "performed" in part:
        count = part.get("count")
        if isinstance(count, Mapping) and count.get("op") == "lt" and count.get("value") == 0:
            yield (*path, "count"), "This can never hold: nothing is done less than 0 times."
        if part.get("where") is not None:
            yield from never_holds(((*path, "where"), part["where"]))


def _other_type(path: Path, field: str, part: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Told of values that the field can never have: the API shows money as text, and conditions compare a number."""
    if part.get("op") not in _OF_ONE_TYPE:
        return
    kind = kind_of(field)
    value = part.get("value")
    values = value if isinstance(value, list) else [value]
    if kind is None or not values or any(_kind(each) in {None, kind} for each in values):
        return
    shown = quoted(values[0]) if isinstance(values[0], str) else json.dumps(values[0])
    hint = f" Write {values[0]}, without quotes." if kind == "number" and _NUMBER.fullmatch(str(values[0])) else ""
    yield (*path, "value"), f"This can never hold: {field} is a {kind}, and {shown} is a {_kind(values[0])}.{hint}"


def _kind(value: object) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    return "number" if is_number(value) else "text" if isinstance(value, str) else None


def _contradictions(parts: Sequence[Place]) -> Iterator[tuple[Path, str]]:
    by_field: dict[str, list[Place]] = defaultdict(list)
    plain: dict[str, Path] = {}
    for path, part in parts:
        if isinstance(part.get("field"), str):
            by_field[part["field"]].append((path, part))
        plain.setdefault(_key(part), path)
    for path, part in parts:
        if isinstance(part.get("not"), Mapping) and _key(part["not"]) in plain:
            yield path, f"This can never hold: it must not be what {_told(plain[_key(part['not'])])} asks for."
    for field, asked in by_field.items():
        found = _clash(asked)
        if found is not None:
            path, why = found
            yield path, f"This can never hold: {field} {why}."


def _clash(asked: Sequence[Place]) -> tuple[Path, str] | None:
    """The first question about a field that cannot be answered with yes beside those before it."""
    values: tuple[Any, ...] | None = None
    low: tuple[Any, bool] | None = None
    high: tuple[Any, bool] | None = None
    missing = present = False
    for path, part in asked:
        op, value = part.get("op"), part.get("value")
        if op in {"eq", "in"}:
            wanted = tuple(value) if op == "in" and isinstance(value, list) else (value,)
            values = wanted if values is None else tuple(each for each in values if any(_same(each, w) for w in wanted))
        elif op in {"ne", "not_in"} and values is not None:
            unwanted = value if op == "not_in" and isinstance(value, list) else [value]
            values = tuple(each for each in values if not any(_same(each, u) for u in unwanted))
        elif op == "between" and isinstance(value, list) and len(value) == 2:
            low, high = _higher(low, value[0], strict=False), _lower(high, value[1], strict=False)
        elif op in _LOWER:
            low = _higher(low, value, strict=op != "gte")
        elif op in _UPPER:
            high = _lower(high, value, strict=op != "lte")
        missing = missing or op == "is_not_set"
        present = present or op not in {"is_not_set", "ne", "not_in", "not_contains"}
        if missing and present:
            return path, "must be missing, and must have a value"
        if values is not None and not values:
            return path, "cannot have several values at once"
        if low is not None and high is not None and _empty(low, high):
            return path, f"would have to lie above {low[0]} and below {high[0]}"
        if values is not None and not any(_within(each, low, high) for each in values):
            return path, "cannot be that and lie within these bounds"
    return None


def _higher(now: tuple[Any, bool] | None, value: object, *, strict: bool) -> tuple[Any, bool] | None:
    bound = _bound(value)
    if bound is None or (now is not None and type(bound) is not type(now[0])):
        return now
    return (bound, strict) if now is None or (bound, strict) > now else now


def _lower(now: tuple[Any, bool] | None, value: object, *, strict: bool) -> tuple[Any, bool] | None:
    bound = _bound(value)
    if bound is None or (now is not None and type(bound) is not type(now[0])):
        return now
    return (bound, strict) if now is None or (bound, not strict) < (now[0], not now[1]) else now


def _bound(value: object) -> Any:
    """A value that has an order: a number or a moment; None for all else."""
    if is_number(value):
        return float(value)  # type: ignore[arg-type]
    return read_time(value) if isinstance(value, str) else None


def _empty(low: tuple[Any, bool], high: tuple[Any, bool]) -> bool:
    if type(low[0]) is not type(high[0]):
        return True
    return bool(low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1])))


def _within(value: object, low: tuple[Any, bool] | None, high: tuple[Any, bool] | None) -> bool:
    bound = _bound(value)
    if low is not None and (type(bound) is not type(low[0]) or bound < low[0] or (bound == low[0] and low[1])):
        return False
    return high is None or not (type(bound) is not type(high[0]) or bound > high[0] or (bound == high[0] and high[1]))


def _same(a: object, b: object) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _key(part: object) -> str:
    return json.dumps(part, sort_keys=True, default=str)


def _told(path: Path) -> str:
    return ".".join(map(str, path))
