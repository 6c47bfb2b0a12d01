"""What is a condition? A question about one moment of a visitor: read from JSON, compiled, asked."""

from backend.domain.condition.compile import compile_condition
from backend.domain.condition.moment import Moment
from backend.domain.condition.parse import parse_condition, read_condition
from backend.domain.condition.shared import SharedTests
from backend.domain.condition.tree import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Count,
    InSegment,
    Not,
    Performed,
    lookback,
    needed_history,
)
from backend.domain.condition.when import Test
from backend.domain.history import NO_HISTORY, History, HistoryNeeded

__all__ = [
    "NO_HISTORY",
    "All",
    "AnyOf",
    "Comparison",
    "Condition",
    "Count",
    "History",
    "HistoryNeeded",
    "InSegment",
    "Moment",
    "Not",
    "Performed",
    "SharedTests",
    "Test",
    "compile_condition",
    "lookback",
    "needed_history",
    "parse_condition",
    "read_condition",
]
