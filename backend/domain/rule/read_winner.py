"""How is it written down when a variant has won? After what, by what, and how sure it must be."""

from math import isfinite
from typing import Any

from backend.domain.condition.parse import read_window
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.rule.model import Variant, WinnerRule

BY = ("goal", "clicked")
LEAST_PERSONS = 100
MOST_PERSONS = 10_000_000
LEAST_CONFIDENCE, MOST_CONFIDENCE = 80, 99.9

Path = tuple[str | int, ...]

_AFTER = 'Expected a duration such as "7d", or {"persons": 1000}.'


def read_winner(value: object, variants: tuple[Variant, ...], path: Path, mistakes: Mistakes) -> WinnerRule | None:
    """Read the `winner` of a message with these variants, noting every mistake below `path`."""
    if not isinstance(value, dict):
        mistakes.add(path, 'Expected an object such as {"after": "7d", "by": "goal", "confidence": 95}.')
        return None
    noted = mistakes.total
    mistakes.known_keys(value, ("after", "by", "confidence"), path)
    told = _read_after(value.get("after"), (*path, "after"), mistakes)
    by = value.get("by", "goal")
    if by not in BY:
        mistakes.add((*path, "by"), f"Expected goal or clicked, not {quoted(by)}.{nearest(by, BY)}")
    confidence = value.get("confidence", 95)
    if not _is_number(confidence) or not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        mistakes.add((*path, "confidence"), f"Expected a percentage from {LEAST_CONFIDENCE} to {MOST_CONFIDENCE}.")
    if sum(each.weight > 0 for each in variants) < 2:
        mistakes.add(path, "A winner takes at least two variants with a weight above 0.")
    return WinnerRule(by=by, confidence=confidence, **told) if mistakes.total == noted else None


def _read_after(after: object, path: Path, mistakes: Mistakes) -> dict[str, Any]:
    if isinstance(after, dict):
        mistakes.known_keys(after, ("persons",), path)
        persons = after.get("persons")
        whole = isinstance(persons, int) and not isinstance(persons, bool)
        if not whole or not LEAST_PERSONS <= persons <= MOST_PERSONS:  # type: ignore[operator]
            mistakes.add((*path, "persons"), f"Expected a whole number from {LEAST_PERSONS} to {MOST_PERSONS}.")
        return {"persons": persons}
    if not isinstance(after, str):
        mistakes.add(path, _AFTER)
        return {}
    return {"after": mistakes.attempt(read_window, after, path)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
