"""What is a condition? A small tree of frozen nodes, read from JSON and compiled into a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from backend.domain.condition.fields import Field


@dataclass(frozen=True, kw_only=True, slots=True)
class All:
    """True when every part is true; true when it has none."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """True when at least one part is true."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """True when its part is false."""

    part: "Condition"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One field held against one value; lists are tuples here."""

    field: Field
    op: str
    value: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """How often: `op` is one of eq ne gt gte lt lte between; `value` an int, or two for between."""

    op: str = "gte"
    value: int | tuple[int, int] = 1


ONCE = Count()
"""At least once: what `performed` asks for unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """True when the visitor did `event` often enough; in `where`, `event.` is the event that is counted."""

    event: str
    where: "Condition | None" = None
    count: Count = ONCE
    within: timedelta | None = None
    since_entry: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InSegment:
    """True for members of a segment. Its place in the tree: nothing reads or compiles it yet."""

    segment: str


Condition: TypeAlias = All | AnyOf | Not | Comparison | Performed | InSegment


def walk(condition: Condition) -> Iterator[Condition]:
    """Yield every node of the tree, this one first; what stands in a `where` too."""
    yield condition
    match condition:
        case All(parts=parts) | AnyOf(parts=parts):
            for part in parts:
                yield from walk(part)
        case Not(part=part):
            yield from walk(part)
        case Performed(where=where) if where is not None:
            yield from walk(where)


def needed_history(condition: Condition | None, *, usually: bool = False) -> frozenset[str]:
    """Name the events whose history the condition may ask for.

    With `usually`, leave out those that the profile answers in all but out-of-order cases ("within D", at least once).
    """
    if condition is None:
        return frozenset()
    return frozenset(
        node.event
        for node in walk(condition)
        if isinstance(node, Performed)
        and (node.where or node.since_entry or (node.within and not (usually and node.count == ONCE)))
    )
