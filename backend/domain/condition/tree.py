"""What is a condition? A small tree of frozen nodes, read from JSON and compiled into a test."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from backend.domain.condition.fields import Field, asked_by
from backend.domain.condition.when import Relative
from backend.domain.trait import CHANGED


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
    """One field held against one value; lists and objects are tuples here, relative times a Relative."""

    field: Field
    op: str
    value: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """How often: `op` is one of eq ne gt gte lt lte between; `value` an int, or two for between."""

    op: str = "gte"
    value: int | tuple[int, int] = 1


TOLD = ("Identify", CHANGED)
"""The events by which traits are told."""

ONCE = Count()
"""At least once: what `performed` asks for unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """When the first or the last matching event was: before or after a moment."""

    op: Literal["before", "after"]
    value: datetime | Relative


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """What the matching events carry at the path `of`, taken together; `op` and `value` as in Count, but decimals.

    What is no number adds nothing to a sum and is no part of the others; the sum of nothing is 0, and no other amount
    of nothing holds.
    """

    kind: Literal["sum", "min", "max", "avg"]
    of: tuple[str, ...]
    op: str
    value: Decimal | tuple[Decimal, Decimal]


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """True when what the visitor did of `event` answers every question: `count`, `first`, `last`, amounts.

    Asked about are the events of the window, up to the moment: `at - within < timestamp <= at - ago`, from `since` on,
    before `until`, after the entry. In `where`, `event.` is the event that is counted; with `same`, it carries at that
    path the same single value as the event at hand. Without `count` nobody asks how often.
    """

    event: str
    where: "Condition | None" = None
    count: Count | None = ONCE
    first: Edge | None = None
    last: Edge | None = None
    amounts: tuple[Amount, ...] = ()
    within: timedelta | None = None
    ago: timedelta = timedelta(0)
    since: datetime | None = None
    until: datetime | None = None
    since_entry: bool = False
    same: tuple[str, ...] | None = None

    @property
    def filtered(self) -> bool:
        """Whether some events of that name may not be meant, whenever they happened."""
        return self.where is not None or self.same is not None

    @property
    def windowed(self) -> bool:
        """Whether some may not be meant because of when they happened."""
        bounds = (self.within, self.since, self.until)
        return self.since_entry or bool(self.ago) or any(bound is not None for bound in bounds)

    @property
    def asks_only_count(self) -> bool:
        """Whether nothing is asked but how often."""
        return self.count is not None and self.first is None and self.last is None and not self.amounts


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalTime:
    """True from minute `start` of the visitor's day up to `end`, which may lie on the next; `weekdays`: of its start.

    Minutes count from midnight, 0 to 1440; Monday is 0, and no weekdays are all of them.
    """

    start: int = 0
    end: int = 1440
    weekdays: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class InSegment:
    """True for members of the segment with this id; `name` is what it was called where the condition was read."""

    segment: str
    name: str = ""


Condition: TypeAlias = All | AnyOf | Not | Comparison | Performed | LocalTime | InSegment


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
    names = {
        node.event
        for node in walk(condition)
        if isinstance(node, Performed) and _may_ask(node) and not (usually and _rarely_asks(node))
    }
    for node in walk(condition):
        if isinstance(node, Comparison):
            names.update(TOLD if node.op == "unchanged_for" else asked_by(node.field))
    return frozenset(names)


def lookback(conditions: Iterable[Condition | None]) -> dict[str, timedelta]:
    """How far back these conditions look for events of a name, where each that asks for it looks only so far."""
    found: dict[str, timedelta | None] = {}
    for condition in conditions:
        for node in walk(condition) if condition is not None else ():
            if isinstance(node, Performed) and _may_ask(node):
                known = found.get(node.event, timedelta(0))
                found[node.event] = None if known is None or node.within is None else max(known, node.within)
            elif isinstance(node, Comparison) and node.op == "unchanged_for":
                found |= dict.fromkeys(TOLD)
            elif isinstance(node, Comparison):
                for name, span in asked_by(node.field).items():
                    known = found.get(name, timedelta(0))
                    found[name] = None if known is None else max(known, span)
    return {name: span for name, span in found.items() if span is not None}


def _may_ask(node: Performed) -> bool:
    return node.filtered or node.windowed or not node.asks_only_count


def _rarely_asks(node: Performed) -> bool:
    """Whether the moment of the last event of that name usually is the answer."""
    if node.filtered or node.since_entry:
        return False
    if node.asks_only_count:
        return node.count == ONCE and not node.ago and node.until is None
    return (
        not node.windowed and node.last is not None and node.count is None and node.first is None and not node.amounts
    )
