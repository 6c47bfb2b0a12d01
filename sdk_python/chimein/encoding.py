"""How is an event written? As JSON that any server can read, whatever Python values the caller put into it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

from chimein.errors import InvalidEvent

DEEPEST = 100
"""Levels of nesting that are written; what lies deeper is a mistake or a circle."""

EXACT = 2**53
"""Integers up to here survive every JSON reader."""


def encode(message: Mapping[str, Any]) -> bytes:
    """The message as UTF-8 JSON; raises `InvalidEvent` where its values are circular or cannot be written.

    What JSON or the databases behind it do not know is replaced, so that one odd value costs neither its event nor its
    neighbours: NaN and infinities become null, NUL and lone surrogates U+FFFD.
    """
    try:
        data = _write(message).encode()
        if b"\\u0000" not in data:
            return data
    except Exception:  # noqa: S110 - odd values are rare: the careful way below names what is wrong
        pass
    try:
        return _write(_repaired(message, DEEPEST)).encode()
    except InvalidEvent:
        raise
    except Exception as error:
        raise InvalidEvent(f"cannot be written as JSON: {error!r}") from error


def time_text(moment: datetime | str | None) -> str:
    """RFC 3339 of the moment, now where it is None; a text stands as it is.

    A naive datetime means local time if that makes it the present (`datetime.now()`), and else UTC, as in Segment's
    library.
    """
    if moment is None:
        return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    if isinstance(moment, str):
        return moment
    if moment.tzinfo is None:
        is_local = abs(datetime.now() - moment) < timedelta(seconds=5)  # noqa: DTZ005 - compared with a naive one
        moment = moment.astimezone() if is_local else moment.replace(tzinfo=timezone.utc)
    return moment.isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """The nearest value that JSON knows."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return _ordered(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return value.tolist()
    if isinstance(value, Collection):
        return list(value)
    return str(value)


_write = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode


def _number(value: Decimal) -> int | float | None:
    """Money as a number: conditions compare numbers, and never take a text for one."""
    if not value.is_finite():
        return None
    if abs(value) < EXACT and value == value.to_integral_value():
        return int(value)
    return float(value)


def _ordered(values: Collection[Any]) -> list[Any]:
    """A set as a list, in an order that does not change from run to run where its values have one."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _repaired(value: Any, levels: int) -> Any:
    """A copy of the value that has nothing in it which JSON or a database refuses."""
    if levels < 0:
        raise InvalidEvent(f"nested deeper than {DEEPEST} levels, or within itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_key(key): _repaired(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_repaired(item, levels - 1) for item in value]
    return _repaired(_plain(value), levels - 1)


def _key(key: Any) -> str:
    """A mapping's key as text; JSON has its own words for these three."""
    words = {None: "null", True: "true", False: "false"}
    if key is None or isinstance(key, bool):
        return words[key]
    return _clean_text(key if isinstance(key, str) else str(_plain(key)))


def _clean_text(text: str) -> str:
    """The text without NUL and lone surrogates; surrogates that form a pair become their character."""
    units = str.__str__(text).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace").replace("\0", "\ufffd")
