"""Reads a request's JSON so that nothing gets through which a database, or our own code, would choke on later."""

import json
import math
from typing import Any, NoReturn

from backend.errors import Malformed

DEPTH = 64
"""Deeper than any rule; far shallower than what exhausts a stack."""
LARGEST = 2**53
"""Above it JavaScript no longer tells neighbours apart."""


def read_json(body: bytes) -> Any:
    """The value that the body says; Malformed with a sentence where it says none, or one that nobody can keep."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    try:
        value = json.loads(
            text, parse_int=_whole, parse_float=_decimal, parse_constant=_refuse, object_pairs_hook=_object
        )
    except RecursionError:
        raise Malformed("The JSON nests too deep.") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    _check(value)
    return value


def check_text(text: str) -> None:
    """Malformed where the text holds a NUL or half of a surrogate pair."""
    if "\0" in text:
        raise Malformed("Text may not hold the character NUL.")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise Malformed("Text may not hold half of a surrogate pair.") from None


def _check(value: Any) -> None:
    """Walks without recursion: the depth is what is to be found out."""
    level = [value]
    for _ in range(DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    check_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise Malformed(f"The JSON nests deeper than {DEPTH} levels.")


def _whole(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > LARGEST:
        raise Malformed("A whole number lies beyond 2^53: send it as text.")
    return int(digits)


def _decimal(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Malformed("A number is too large.")
    return value


def _refuse(name: str) -> NoReturn:
    raise Malformed(f"{name} is no JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("An object holds the same key twice.")
    return found
