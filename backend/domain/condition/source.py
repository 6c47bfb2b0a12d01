"""From a condition to Python: what is asked of every event is written out as one expression, which spares most calls.

The text holds nothing of what people wrote: their values and keys are names in it, bound to the values beside it.
"""

from typing import Any

from backend.domain.condition.compile import compile_condition
from backend.domain.condition.fields import Field, asked_by, getter
from backend.domain.condition.operators import OPERATORS
from backend.domain.condition.tree import All, AnyOf, Comparison, Condition, Not
from backend.domain.condition.values import read_time
from backend.domain.condition.when import Test, is_relative

_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_DEVICE = frozenset({"type", "browser", "os", "locale", "timezone", "screen"})


class Writer:
    """Writes conditions that stand in one function; there `m` is the moment, `pr` its profile, `ev` its event."""

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}

    def bind(self, value: object) -> str:
        """The name by which the text means this value."""
        name = f"v{len(self.bound)}"
        self.bound[name] = value
        return name

    def expression(self, condition: Condition, test: Test) -> str:
        """An expression that is true where `test` holds, which is the condition compiled."""
        match condition:
            case Comparison() if _has_text(condition):
                return f"({self._comparison(condition)})"
            case Not(part=part) if _is_plain(part):
                return f"(not {self._inside(part)})"
            case All(parts=parts) if parts and all(map(_is_plain, parts)):
                return f"({' and '.join(map(self._inside, parts))})"
            case AnyOf(parts=parts) if parts and all(map(_is_plain, parts)):
                return f"({' or '.join(map(self._inside, parts))})"
            case _:
                return f"{self.bind(test)}(m)"

    def _inside(self, part: Condition) -> str:
        return self.expression(part, compile_condition(part))

    def _comparison(self, asked: Comparison) -> str:
        op, value, found = asked.op, asked.value, self._field(asked.field)
        kind = value.__class__
        if op == "eq" and kind is bool:
            return f"{found} is {self.bind(value)}"
        if op == "eq" and (kind is int or kind is float):
            return f"(x := {found}) == {self.bind(value)} and x.__class__ is not bool"
        if op == "eq" and read_time(value) is None:
            return f"{found} == {self.bind(value)}"
        if op in _ORDER and (kind is int or kind is float):
            number = "((x := " + found + ").__class__ is int or x.__class__ is float)"
            return f"{number} and x {_ORDER[op]} {self.bind(value)}"
        if op == "in" and all(each.__class__ is str and read_time(each) is None for each in value):
            return f"(x := {found}).__class__ is str and x in {self.bind(frozenset(value))}"
        if op == "is_set":
            return f"{found} is not None"
        if op == "is_not_set":
            return f"{found} is None"
        return f"{self.bind(OPERATORS[op].make(value))}({found})"

    def _field(self, field: Field) -> str:
        """The value at a path, as `getter` finds it."""
        match (field.root, *field.parts):
            case ("event", "properties", key):
                return f"ev.properties.get({self.bind(key)})"
            case ("profile", "stage" | "sessions" as name):
                return f"pr.{name}"
            case ("profile", "traits" | "counts" | "last_at" as name, key):
                return f"pr.{name}.get({self.bind(key)})"
            case ("profile", "device", name) if name in _DEVICE:
                return f"pr.device.{name}"
            case ("profile", "orders", "count"):
                return "pr.orders.count"
            case ("profile", "cart", "total"):
                return "float(pr.cart.total)"
            case _:
                return f"{self.bind(getter(field))}(m)"


def _has_text(asked: Comparison) -> bool:
    return asked.op != "unchanged_for" and not is_relative(asked.value) and not asked_by(asked.field)


def _is_plain(condition: Condition) -> bool:
    """Whether all of it can be written out: what is dear stays one call, so that its answer can be remembered."""
    match condition:
        case Comparison():
            return _has_text(condition)
        case Not(part=part):
            return _is_plain(part)
        case All(parts=parts) | AnyOf(parts=parts):
            return bool(parts) and all(map(_is_plain, parts))
        case _:
            return False
