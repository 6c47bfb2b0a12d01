"""From JSON to a condition: every mistake is found in one go, each with its path and a sentence."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from backend.domain.condition.fields import Field, parse_field
from backend.domain.condition.local import read_local_time
from backend.domain.condition.operators import ALIASES, OPERATORS, read_value, read_window
from backend.domain.condition.questions import AMOUNTS, read_bounds, read_questions
from backend.domain.condition.tree import ONCE, All, AnyOf, Comparison, Condition, Count, InSegment, Not, Performed
from backend.domain.mistakes import Mistakes, nearest, quoted

DEEPEST = 10
MOST_NODES = 100
LONGEST_NAME = 255
MOST_COUNTED = 1_000_000

SHAPES: dict[str, frozenset[str]] = {
    "all": frozenset({"all"}),
    "any": frozenset({"any"}),
    "not": frozenset({"not"}),
    "field": frozenset({"field", "op", "value"}),
    "performed": frozenset(
        {"performed", "where", "count", "first", "last", *AMOUNTS, "within", "between", "since", "until", "same"}
    ),
    "local_time": frozenset({"local_time"}),
    "segment": frozenset({"segment"}),
}
"""The kinds of condition by the key that tells them apart, with the keys of each."""

KINDS = "all, any, not, field, performed, local_time or segment"

COUNT_OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "between")

LASTING = "This is about the visitor, whatever happens just now: use profile. fields and performed."

Path: TypeAlias = tuple[str | int, ...]


def parse_condition(doc: object, path: Sequence[str | int] = (), *, entered: bool = True) -> Condition:
    """Read a condition; raise RuleErrors with all its mistakes under `path`.

    Without `entered` there is no entry yet (as in a trigger's where), so that `since: "entry"` is a mistake.
    """
    mistakes = Mistakes()
    condition = read_condition(doc, path, mistakes, entered=entered)
    mistakes.raise_if_any()
    assert condition is not None
    return condition


def read_condition(
    doc: object, path: Sequence[str | int], mistakes: Mistakes, *, entered: bool = True, lasting: bool = False
) -> Condition | None:
    """Read a condition into `mistakes`; None exactly where it noted at least one.

    A `lasting` one is about the visitor alone, whatever happens just now: as that of a segment.
    """
    return _Reader(mistakes, entered, lasting).read(doc, tuple(path), 1)


class _Reader:
    """Reads one tree, counting its nodes."""

    def __init__(self, mistakes: Mistakes, entered: bool, lasting: bool) -> None:
        self.mistakes = mistakes
        self.entered = entered
        self.lasting = lasting
        self.counting = False
        self.nodes = 0

    def read(self, doc: object, path: Path, depth: int) -> Condition | None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            if self.nodes == MOST_NODES + 1:
                self.mistakes.add(path, f"Too many conditions: one tree holds at most {MOST_NODES}.")
            return None
        if depth > DEEPEST:
            return self.wrong(path, f"Too deep: conditions nest at most {DEEPEST} deep.")
        if not isinstance(doc, dict):
            return self.wrong(path, f"A condition is an object with {KINDS}.")
        kinds = [key for key in SHAPES if key in doc]
        if not kinds:
            hint = "".join(filter(None, (nearest(key, SHAPES) for key in list(doc)[:5])))
            return self.wrong(path, f"A condition has one of {KINDS}.{hint}")
        if len(kinds) > 1:
            return self.wrong(path, f"A condition has one of {kinds[0]} and {kinds[1]}, not both: join them with all.")
        kind = kinds[0]
        known = self.mistakes.known_keys(doc, SHAPES[kind], path)
        read: dict[str, Callable[[dict[Any, Any], Path, int], Condition | None]] = {
            "all": self.read_all,
            "any": self.read_any,
            "not": self.read_not,
            "field": self.read_comparison,
            "performed": self.read_performed,
            "local_time": self.read_local_time,
            "segment": self.read_segment,
        }
        condition = read[kind](doc, path, depth)
        return condition if known else None

    def read_all(self, doc: dict[Any, Any], path: Path, depth: int) -> Condition | None:
        parts = self.read_parts(doc["all"], (*path, "all"), depth)
        return None if parts is None else All(parts=parts)

    def read_any(self, doc: dict[Any, Any], path: Path, depth: int) -> Condition | None:
        if doc["any"] == []:
            return self.wrong((*path, "any"), "any of nothing is never true: give it at least one condition.")
        parts = self.read_parts(doc["any"], (*path, "any"), depth)
        return None if parts is None else AnyOf(parts=parts)

    def read_parts(self, docs: object, path: Path, depth: int) -> tuple[Condition, ...] | None:
        if not isinstance(docs, list):
            self.mistakes.add(path, "Expected a list of conditions.")
            return None
        parts = []
        for position, doc in enumerate(docs[: MOST_NODES + 1]):
            parts.append(self.read(doc, (*path, position), depth + 1))
        found = tuple(part for part in parts if part is not None)
        return found if len(found) == len(docs) else None

    def read_not(self, doc: dict[Any, Any], path: Path, depth: int) -> Condition | None:
        part = self.read(doc["not"], (*path, "not"), depth + 1)
        return None if part is None else Not(part=part)

    def read_segment(self, doc: dict[Any, Any], path: Path, _: int) -> Condition | None:
        found = self.mistakes.segment(doc["segment"], (*path, "segment"))
        return None if found is None else InSegment(segment=found[0], name=found[1])

    def read_comparison(self, doc: dict[Any, Any], path: Path, _: int) -> Condition | None:
        field = self.attempt(parse_field, doc["field"], (*path, "field"))
        op = doc.get("op")
        if op is None:
            return self.wrong((*path, "op"), "A field needs an operator (op).")
        if not isinstance(op, str) or op not in OPERATORS:
            hint = nearest(ALIASES.get(op, op) if isinstance(op, str) else op, OPERATORS)
            return self.wrong((*path, "op"), f"Unknown operator {quoted(op)}.{hint}")
        if "value" not in doc and op not in ("is_set", "is_not_set"):
            return self.wrong((*path, "value"), f"The operator {op} needs a value.")
        noted = self.mistakes.total
        value = self.attempt(lambda told: read_value(op, told), doc.get("value"), (*path, "value"))
        if op == "unchanged_for" and field is not None and not _is_trait(field):
            self.mistakes.add((*path, "field"), "unchanged_for is asked of a trait, such as profile.traits.plan.")
        about = ("profile", "event") if self.counting else ("profile",)
        if self.lasting and field is not None and field.root not in about:
            self.mistakes.add((*path, "field"), LASTING)
        if field is None or self.mistakes.total > noted:
            return None
        return Comparison(field=field, op=op, value=value)

    def read_local_time(self, doc: dict[Any, Any], path: Path, _: int) -> Condition | None:
        return read_local_time(doc["local_time"], (*path, "local_time"), self.mistakes)

    def read_performed(self, doc: dict[Any, Any], path: Path, depth: int) -> Condition | None:
        noted = self.mistakes.total
        event = self.attempt(read_event_name, doc["performed"], (*path, "performed"))
        if self.lasting and not self.counting and doc.get("same") is not None:
            self.mistakes.add((*path, "same"), LASTING)
        counting, self.counting = self.counting, True
        where = None if doc.get("where") is None else self.read(doc["where"], (*path, "where"), depth + 1)
        self.counting = counting
        asked = read_questions(doc, path, self.mistakes)
        if doc.get("count") is not None:
            count = self.read_count(doc["count"], (*path, "count"))
        else:
            count = None if asked else ONCE
        if self.lasting and doc.get("since") == "entry":
            return self.wrong((*path, "since"), "Nobody enters by a trigger here: give a moment, or use within.")
        window = read_bounds(doc, path, self.mistakes, entered=self.entered)
        if self.nodes > MOST_NODES or self.mistakes.total > noted or event is None:
            return None
        return Performed(event=event, where=where, count=count, **asked, **window)

    def read_count(self, doc: object, path: Path) -> Count | None:
        if not isinstance(doc, dict):
            self.mistakes.add(path, 'A count is an object such as {"op": "gte", "value": 3}.')
            return None
        known = self.mistakes.known_keys(doc, frozenset({"op", "value"}), path)
        op = doc.get("op", "gte")
        if op not in COUNT_OPERATORS:
            hint = nearest(ALIASES.get(op, op) if isinstance(op, str) else op, COUNT_OPERATORS)
            self.mistakes.add((*path, "op"), f"Unknown operator {quoted(op)}.{hint}")
            return None
        value = self.attempt(
            read_count_value if op != "between" else read_count_pair, doc.get("value"), (*path, "value")
        )
        return Count(op=op, value=value) if known and value is not None else None

    def attempt(self, read: Callable[[Any], Any], value: object, path: Path) -> Any:
        return self.mistakes.attempt(read, value, path)

    def wrong(self, path: Path, sentence: str) -> Condition | None:
        """Note a mistake; always None, so that a reader can return it."""
        self.mistakes.add(path, sentence)
        return None


def _is_trait(field: Field) -> bool:
    return field.root == "profile" and field.parts[0] == "traits" and len(field.parts) == 2


def read_event_name(value: object) -> str:
    """Accept the name of an event: 1 to 255 characters."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("Expected the name of an event.")
    if len(value) > LONGEST_NAME:
        raise ValueError(f"The name of an event is at most {LONGEST_NAME} characters long.")
    return value


def read_count_value(value: object) -> int:
    """Accept a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNTED:
        raise ValueError("Expected a whole number, 0 or more.")
    return value


def read_count_pair(value: object) -> tuple[int, int]:
    """Accept [lowest, highest], whole numbers from 0."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("between needs a list of two values: [lowest, highest].")
    low, high = map(read_count_value, value)
    if low > high:
        raise ValueError("The first value of between is greater than the second, so nothing can lie between them.")
    return (low, high)


__all__ = ["parse_condition", "read_condition", "read_event_name", "read_window"]
