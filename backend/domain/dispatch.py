"""Which rules could an event trigger? Found by the event's name and by the first comparison that a rule makes with it.

With many rules most ask for one brand, one category, a price from so much on: those are looked up, not tried.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from backend.domain.condition import All, Comparison, Condition
from backend.domain.condition.fields import dig_event
from backend.domain.event import Event
from backend.domain.rule import CompiledRule, EventTrigger

Ranked = tuple[int, CompiledRule]
Path = tuple[str, ...]
Reader = Callable[[Event], Any]

_RANK = itemgetter(0)
_PLAIN: frozenset[Any] = frozenset({str, int, float, bool})
_NUMBERS: frozenset[Any] = frozenset({int, float})


class Listeners:
    """The rules that listen to one event name, in the order in which they are to be asked."""

    __slots__ = ("_always", "_equal", "_floors", "_unkeyed")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        always: list[Ranked] = []
        equal: dict[Path, dict[Any, list[Ranked]]] = {}
        floors: dict[Path, list[tuple[float, Ranked]]] = {}
        for ranked in enumerate(rules):
            asked = _first_comparison(ranked[1])
            if asked is None:
                always.append(ranked)
            elif asked.op == "eq":
                equal.setdefault(asked.field.parts, {}).setdefault(asked.value, []).append(ranked)
            else:
                floors.setdefault(asked.field.parts, []).append((asked.value, ranked))
        self._always = tuple(always)
        self._unkeyed = tuple(rule for _, rule in always)
        self._equal: tuple[tuple[Reader, dict[Any, list[Ranked]]], ...] = tuple(
            (_reader(path), groups) for path, groups in equal.items()
        )
        self._floors: tuple[tuple[Reader, float, list[float], list[Ranked]], ...] = tuple(
            (_reader(path), *_sorted(group)) for path, group in floors.items()
        )

    def to(self, event: Event) -> Iterable[CompiledRule]:
        """The rules that this event may trigger; each still asks all of its own conditions."""
        found: list[Ranked] = []
        value: Any
        for read, groups in self._equal:
            value = read(event)
            if value.__class__ in _PLAIN and value in groups:
                found.extend(groups[value])
        for read, lowest, floors, ranked in self._floors:
            value = read(event)
            if value.__class__ in _NUMBERS and value >= lowest:
                found.extend(ranked[: bisect_right(floors, value)])
        if not found:
            return self._unkeyed
        found.extend(self._always)
        found.sort(key=_RANK)
        return [rule for _, rule in found]


def _sorted(group: list[tuple[float, Ranked]]) -> tuple[float, list[float], list[Ranked]]:
    """The lowest floor, all floors ascending, and the rules beside them."""
    group.sort(key=lambda each: (each[0], each[1][0]))
    return group[0][0], [floor for floor, _ in group], [ranked for _, ranked in group]


def _reader(path: Path) -> Reader:
    if len(path) == 2 and path[0] == "properties":
        key = path[1]
        return lambda event: event.properties.get(key)
    return lambda event: dig_event(event, path)


def _first_comparison(rule: CompiledRule) -> Comparison | None:
    """A comparison without which the trigger cannot hold: an equality, else a lower bound; None without either."""
    trigger = rule.rule.spec.trigger
    where = trigger.where if isinstance(trigger, EventTrigger) else None
    parts: tuple[Condition, ...] = where.parts if isinstance(where, All) else (where,) if where is not None else ()
    usable = [
        part
        for part in parts
        if isinstance(part, Comparison)
        and part.field.root == "event"
        and part.field.parts[0] in {"properties", "context"}
    ]
    for part in usable:
        if part.op == "eq" and part.value.__class__ in _PLAIN:
            return part
    for part in usable:
        if part.op in {"gte", "gt"} and part.value.__class__ in _NUMBERS:
            return part
    return None
