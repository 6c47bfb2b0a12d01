"""How are values compared? Types are never coerced: a number is no text, and true is no 1."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], bool]
"""Holds the value of a field (None: missing) against what the rule asks for."""

Scalar: TypeAlias = str | int | float | bool

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d{1,9})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d))?",
    re.ASCII,
)


def read_time(value: object) -> datetime | None:
    """The moment that RFC 3339 text (a date alone: midnight UTC) or an aware datetime means; None for all else."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if not isinstance(value, str) or len(value) > 40 or not (found := _RFC3339.fullmatch(value)):
        return None
    day, clock, fraction, zone = found.groups()
    micros = (fraction or ".0")[:7].ljust(7, "0")
    offset = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{micros}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_number(value: object) -> bool:
    """True for int and float, not for bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_scalar(value: object) -> bool:
    """True for text, numbers and booleans."""
    return isinstance(value, str | int | float)


def equals(wanted: Scalar) -> Check:
    """The check for equality with one scalar."""
    if isinstance(wanted, bool):
        return lambda x: x is wanted
    if isinstance(wanted, str):
        moment = read_time(wanted)
        if moment is None:
            return lambda x: bool(x == wanted)
        return lambda x: bool(x == wanted) or (x.__class__ is datetime and x == moment)
    return lambda x: bool(x == wanted) and x.__class__ is not bool


def is_one_of(wanted: tuple[Scalar, ...]) -> Check:
    """The check for equality with any of many scalars, in constant time."""
    texts = frozenset(x for x in wanted if isinstance(x, str))
    numbers = frozenset(x for x in wanted if is_number(x))
    truths = tuple(x for x in wanted if isinstance(x, bool))
    moments = frozenset(filter(None, map(read_time, texts)))

    def check(x: Any) -> bool:
        kind = x.__class__
        if kind is str:
            return x in texts
        if kind is int or kind is float:
            return x in numbers
        if kind is bool:
            return x in truths
        return kind is datetime and x in moments

    return check


def same(one: Any, other: Any) -> bool:
    """True when two plain JSON values are equal without any coercion; a missing value equals nothing."""
    if one is None or other is None:
        return False
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
