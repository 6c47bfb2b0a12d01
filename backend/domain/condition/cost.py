"""What does it cost to ask? The parts that must all hold, and how dear each is: the cheap ones are asked first."""

from collections.abc import Iterator

from backend.domain.condition.fields import BUCKET, asked_by
from backend.domain.condition.tree import All, AnyOf, Comparison, Condition, LocalTime, Not, Performed
from backend.domain.condition.when import is_relative

DEAR = 4
"""From here on a condition may read the history, or look at many things."""

_PATTERNS = frozenset({"regex", "glob", "url_glob", "url_is", "url_path", "url_query"})


def conjuncts(condition: Condition | None) -> Iterator[Condition]:
    """The parts of which each must hold for the condition to hold; none where nobody wrote one down."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from conjuncts(part)
    elif condition is not None:
        yield condition


def cost_of(condition: Condition) -> int:
    """How dear it is to ask: 1 for a look at one value, `DEAR` and more for what may read the history."""
    match condition:
        case Comparison(op="unchanged_for"):
            return DEAR + 1
        case Comparison(field=field) if asked_by(field):
            return DEAR + 2
        case Comparison(op=op) if op in _PATTERNS:
            return 3
        case Comparison(field=field, value=value):
            return 3 if field.parts[0] == BUCKET or is_relative(value) else 1
        case Not(part=part):
            return cost_of(part)
        case All(parts=parts) | AnyOf(parts=parts):
            return sum(map(cost_of, parts))
        case Performed():
            if condition.filtered:
                return DEAR + 2
            return DEAR if condition.windowed or not condition.asks_only_count else 1
        case LocalTime():
            return 3
        case _:
            return 3
