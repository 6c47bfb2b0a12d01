"""Which rules could an event trigger? Found by the event's name, and by the first equality that a rule asks of it.

With many rules most ask for one brand, one category, one page: those are looked up, not tried.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from backend.domain.condition import All, Comparison, Condition
from backend.domain.condition.fields import dig_event
from backend.domain.event import Event
from backend.domain.rule import CompiledRule, EventTrigger

_RANK = itemgetter(0)
Ranked = tuple[int, CompiledRule]


class Listeners:
    """The rules that listen to one event name, in the order in which they are to be asked."""

    __slots__ = ("_always", "_keyed", "_unkeyed")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        always: list[Ranked] = []
        keyed: dict[tuple[str, ...], dict[Any, list[Ranked]]] = {}
        for ranked in enumerate(rules):
            asked = _first_equality(ranked[1])
            if asked is None:
                always.append(ranked)
            else:
                path, value = asked
                keyed.setdefault(path, {}).setdefault(value, []).append(ranked)
        self._always = tuple(always)
        self._unkeyed = tuple(rule for _, rule in always)
        self._keyed = tuple((_reader(path), groups) for path, groups in keyed.items())

    def to(self, event: Event) -> Iterable[CompiledRule]:
        """The rules that this event may trigger; each still asks all of its own conditions."""
        found: list[Ranked] | None = None
        for read, groups in self._keyed:
            value = read(event)
            if value is not None and value.__class__ in _PLAIN:
                group = groups.get(value)
                if group:
                    found = [*found, *group] if found else list(group)
        if not found:
            return self._unkeyed
        found.extend(self._always)
        found.sort(key=_RANK)
        return [rule for _, rule in found]


_PLAIN = frozenset({str, int, float, bool})


def _reader(path: tuple[str, ...]) -> Callable[[Event], Any]:
    if len(path) == 2 and path[0] == "properties":
        key = path[1]
        return lambda event: event.properties.get(key)
    return lambda event: dig_event(event, path)


def _first_equality(rule: CompiledRule) -> tuple[tuple[str, ...], Any] | None:
    """The path and value of an equality without which the trigger cannot hold; None when there is none."""
    trigger = rule.rule.spec.trigger
    where = trigger.where if isinstance(trigger, EventTrigger) else None
    parts: tuple[Condition, ...] = where.parts if isinstance(where, All) else (where,) if where is not None else ()
    for part in parts:
        if (
            isinstance(part, Comparison)
            and part.op == "eq"
            and part.field.root == "event"
            and part.field.parts[0] in {"properties", "context", "name"}
            and part.value.__class__ in _PLAIN
        ):
            return part.field.parts, part.value
    return None
