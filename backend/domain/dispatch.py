"""Which rules does an event start? A set of rules is a number whose bits are their places: a thousand cost little.

The event's values are looked up, and give the rules whose trigger may fit. Then each thing that several of those ask is
asked once, and whoever needed it leaves the set where it does not hold; what only one rule asks is asked last.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from backend.domain.condition import Comparison, Moment, Test
from backend.domain.condition.fields import dig_event
from backend.domain.condition.source import Writer
from backend.domain.condition.values import read_time
from backend.domain.event import Event
from backend.domain.rule import CompiledRule
from backend.domain.rule.compiled import Part

Places: TypeAlias = int
"""A set of rules: bit n stands for the rule at place n."""

Path: TypeAlias = tuple[str, ...]
Asked: TypeAlias = tuple[CompiledRule, tuple[Test, ...]]
"""A rule, and what is still to be asked of it."""
Sieve: TypeAlias = Callable[[Places, Moment], Places]

_NUMBERS: frozenset[Any] = frozenset({int, float})
_TURN = {"eq": 0, "in": 1, "starts_with": 2, "between": 3, "gte": 4, "gt": 4, "lte": 5, "lt": 5}
"""By what a rule is looked up, the best first."""


class Dispatch:
    """The rules that may start, in the order in which they are asked."""

    __slots__ = ("_listeners", "_own", "_rules", "_shared", "_whole")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = tuple(rules)
        groups: dict[str, list[int]] = {}
        for place, rule in enumerate(rules):
            if rule.event is not None:
                groups.setdefault(rule.event, []).append(place)
        left = [list(rule.parts) for rule in rules]
        indexes = {name: _Index(places, left) for name, places in groups.items()}
        self._shared = _shared(left)
        known = {part.key for part, _ in self._shared}
        self._whole: list[tuple[Test, ...]] = [(rule.where, rule.audience) for rule in rules]
        self._own = [_tests(part for part in parts if part.key not in known) for parts in left]
        unnamed = self.places(rule for rule in rules if rule.event is None)
        self._listeners = {
            name: (index, self._sieve(unnamed | _places(groups[name]))) for name, index in indexes.items()
        }
        self._listeners[""] = (_Index((), left), self._sieve(unnamed))

    def places(self, rules: Iterable[CompiledRule]) -> Places:
        """These rules as a set."""
        wanted = {rule.id for rule in rules}
        return _places(place for place, rule in enumerate(self._rules) if rule.id in wanted)

    def listening(self, event: Event) -> Places:
        """The rules that this event may start, by its name and values."""
        found = self._listeners.get(event.name)
        return 0 if found is None else found[0].find(event)

    def asked(self, places: Places, moment: Moment) -> Iterator[Asked]:
        """Those of `places` for which all holds that several rules ask, each with what is left to ask of it.

        `moment` has an event.
        """
        assert moment.event is not None
        sieve = (self._listeners.get(moment.event.name) or self._listeners[""])[1]
        left = self._own
        try:
            places = sieve(places, moment)
        except Exception:
            left = self._whole  # which of them cannot be answered, each will find for itself
        while places:
            lowest = places & -places
            place = lowest.bit_length() - 1
            places ^= lowest
            yield self._rules[place], left[place]

    def _sieve(self, places: Places) -> Sieve:
        """A function that leaves of a set those for which all holds that several of `places` ask."""
        writer = Writer()
        lines = ["def sieve(places, m):", " pr, ev = m.profile, m.event"]
        everybody = (1 << len(self._rules)) - 1
        for part, needing in self._shared:
            if needing & places:
                test = writer.bind(part.test) + "(m)"
                if part.condition is not None:
                    test = writer.expression(part.condition, part.test)
                lines.append(f" if places & {writer.bind(needing)} and not {test}:")
                lines.append(f"  places &= {writer.bind(everybody ^ needing)}")
                lines.append("  if not places: return 0")
        namespace = writer.bound
        exec("\n".join([*lines, " return places"]), namespace)  # noqa: S102 - the text is ours alone, see Writer
        sieve: Sieve = namespace["sieve"]
        return sieve


class _Index:
    """The rules of one event name, found by a comparison without which their triggers cannot hold."""

    __slots__ = ("find",)

    def __init__(self, places: Iterable[int], left: list[list[Part]]) -> None:
        """Takes out of what is `left` to ask what the look-up answers for good.

        `find` answers the rules whose comparison holds with an event, or may hold.
        """
        always: list[int] = []
        paths: dict[Path, _Values] = {}
        for place in places:
            found = min((part for part in left[place] if _usable(part)), key=_turn, default=None)
            if found is None or not isinstance(found.condition, Comparison):
                always.append(place)
                continue
            values = paths.setdefault(found.condition.field.parts, _Values())
            if values.add(found.condition, 1 << place):
                left[place].remove(found)
        self.find = _finder(_places(always), paths)


def _finder(always: Places, paths: Mapping[Path, "_Values"]) -> Callable[[Event], Places]:
    """A function from an event to the rules that its values at these paths find, and those that are `always` asked.

    It is written out path by path, since it is asked of every event.
    """
    writer = Writer()
    lines = ["def find(event):", " told = event.properties", f" found = {writer.bind(always)}"]
    for path, values in paths.items():
        if len(path) == 2 and path[0] == "properties":
            lines.append(f" value = told.get({writer.bind(path[1])})")
        else:
            lines.append(f" value = {writer.bind(dig_event)}(event, {writer.bind(path)})")
        if values.only_texts:
            texts = {text: places for (_, text), places in values.equal.items()}
            lines.append(f" if value.__class__ is str: found |= {writer.bind(texts.get)}(value, 0)")
        else:
            lines.append(f" if value is not None: found |= {writer.bind(values.finder())}(value)")
    namespace = writer.bound
    exec("\n".join([*lines, " return found"]), namespace)  # noqa: S102 - the text is ours alone, see Writer
    find: Callable[[Event], Places] = namespace["find"]
    return find


class _Values:
    """What rules ask of the value at one path."""

    def __init__(self) -> None:
        self.equal: dict[tuple[bool, Any], Places] = {}
        self.prefixes: dict[str, Places] = {}
        self.floors: dict[float, Places] = {}
        self.ceilings: dict[float, Places] = {}

    def add(self, asked: Comparison, place: Places) -> bool:
        """Notes what one rule asks; True where being found is the whole answer."""
        value = asked.value
        match asked.op:
            case "eq" | "in":
                values = value if asked.op == "in" else (value,)
                for each in values:
                    _join(self.equal, (each.__class__ is bool, each), place)
                return not any(read_time(each) for each in values)  # a moment is equal to more than its text
            case "starts_with":
                _join(self.prefixes, value, place)
                return True
            case "gte" | "gt" | "between":
                _join(self.floors, value[0] if asked.op == "between" else value, place)
                return bool(asked.op == "gte")
            case _:
                _join(self.ceilings, value, place)
                return bool(asked.op == "lte")

    @property
    def only_texts(self) -> bool:
        """Whether all that is asked is which text it is."""
        return not (self.prefixes or self.floors or self.ceilings) and all(
            value.__class__ is str for _, value in self.equal
        )

    def finder(self) -> Callable[[Any], Places]:
        """The function from a value to the rules."""
        texts = {value: places for (_, value), places in self.equal.items() if value.__class__ is str}
        truths = {value: places for (truth, value), places in self.equal.items() if truth}
        numbers = {value: places for (_, value), places in self.equal.items() if value.__class__ in _NUMBERS}
        prefixes, lengths = self.prefixes, sorted(set(map(len, self.prefixes)))
        floors, ceilings = sorted(self.floors), sorted(self.ceilings)
        up_to = _running(self.floors[each] for each in floors)
        down_to = _running(self.ceilings[each] for each in reversed(ceilings))[::-1]

        def find(value: Any) -> Places:
            kind = value.__class__
            if kind is str:
                found = texts.get(value, 0)
                for length in lengths:
                    if length > len(value):
                        break
                    found |= prefixes.get(value[:length], 0)
                return found
            if kind is bool:
                return truths.get(value, 0)
            if kind not in _NUMBERS or value != value:
                return 0
            found = numbers.get(value, 0)
            if floors and value >= floors[0]:
                found |= up_to[bisect_right(floors, value) - 1]
            if ceilings and value <= ceilings[-1]:
                found |= down_to[bisect_left(ceilings, value)]
            return found

        return find


def _shared(left: Sequence[Sequence[Part]]) -> list[tuple[Part, Places]]:
    """What several rules ask, the cheapest first, and which rules."""
    parts: dict[str, Part] = {}
    needing: dict[str, Places] = {}
    for place, asked in enumerate(left):
        for part in asked:
            if part.key:
                parts.setdefault(part.key, part)
                _join(needing, part.key, 1 << place)
    several = [(part, needing[key]) for key, part in parts.items() if needing[key].bit_count() > 1]
    return sorted(several, key=lambda each: (each[0].cost, -each[1].bit_count()))


def _tests(parts: Iterable[Part]) -> tuple[Test, ...]:
    return tuple(part.test for part in sorted(parts, key=lambda part: part.cost))


def _usable(part: Part) -> bool:
    """Whether a rule can be looked up by what this part of its trigger asks of the event."""
    asked = part.condition
    if not (part.of_trigger and isinstance(asked, Comparison) and asked.op in _TURN and asked.field.root == "event"):
        return False
    if asked.field.parts[0] not in {"properties", "context", "traits"}:
        return False
    if asked.op in {"eq", "in", "starts_with"}:
        return asked.op != "eq" or asked.value.__class__ in {str, int, float, bool}
    bound = asked.value[0] if asked.op == "between" else asked.value
    return bound.__class__ in _NUMBERS


def _turn(part: Part) -> int:
    return _TURN[part.condition.op] if isinstance(part.condition, Comparison) else len(_TURN)


def _running(sets: Iterable[Places]) -> list[Places]:
    """Each set together with all before it."""
    together, found = 0, []
    for each in sets:
        together |= each
        found.append(together)
    return found


def _join(into: dict[Any, Places], key: Any, places: Places) -> None:
    into[key] = into.get(key, 0) | places


def _places(places: Iterable[int]) -> Places:
    together = 0
    for place in places:
        together |= 1 << place
    return together
