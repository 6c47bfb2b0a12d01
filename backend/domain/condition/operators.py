"""What can be asked of a field? The operators: which values each takes, and the check it makes of them."""

import operator as python
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from backend.domain.condition.patterns import read_glob, read_regex, text_matcher
from backend.domain.condition.urls import (
    fits_glob,
    has_parameters,
    has_path,
    is_address,
    read_parameters,
    read_path,
    read_url_glob,
    read_whole_address,
)
from backend.domain.condition.values import Check, equals, is_one_of, is_scalar, read_time, same
from backend.domain.condition.when import RELATIVE_OPERATORS, read_day, read_relative, read_whens
from backend.domain.duration import parse_duration

MOST_IN_LIST = 1000
LONGEST_TEXT = 8000
"""The longest text that a value can be: no text in an event is longer."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: `read` checks and freezes the value (ValueError with a sentence), `make` makes it a check."""

    read: Callable[[Any], Any]
    make: Callable[[Any], Check]


def read_scalar(value: Any) -> Any:
    """Accept text, a finite number, true or false."""
    if value is None:
        raise ValueError("Needs a value. To ask whether the field has one, use is_set or is_not_set.")
    if not is_scalar(value):
        raise ValueError("Expected text, a number, true or false.")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("Expected a finite number.")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"A text is at most {LONGEST_TEXT} characters long.")
    return value


def read_ordered(value: Any) -> Any:
    """Accept what has an order: a number or text."""
    if isinstance(value, bool) or not is_scalar(value):
        raise ValueError("Expected a number (or text, which is compared letter by letter).")
    return read_scalar(value)


def read_pair(value: Any) -> tuple[Any, Any]:
    """Accept [lowest, highest]: two numbers or two texts in this order."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("between needs a list of two values: [lowest, highest].")
    low, high = map(read_ordered, value)
    if isinstance(low, str) is not isinstance(high, str):
        raise ValueError("between needs two numbers or two texts, not one of each.")
    early, late = read_time(low), read_time(high)
    if (early > late) if early and late else low > high:
        raise ValueError("The first value of between is greater than the second, so nothing can lie between them.")
    return (low, high)


def read_list(value: Any) -> tuple[Any, ...]:
    """Accept a list of 1 to 1,000 scalars."""
    if not isinstance(value, list | tuple):
        raise ValueError("Expected a list of values.")
    if not value:
        raise ValueError("The list needs at least one value.")
    if len(value) > MOST_IN_LIST:
        raise ValueError(f"A list has at most {MOST_IN_LIST} values.")
    return tuple(map(read_scalar, value))


def read_text(value: Any) -> str:
    """Accept text."""
    if not isinstance(value, str):
        raise ValueError("Expected text.")
    return str(read_scalar(value))


def read_moment(value: Any) -> str:
    """Accept RFC 3339 text, or a date alone."""
    if not isinstance(value, str) or read_time(value) is None:
        raise ValueError(
            "Expected a time with its zone such as 2025-03-01T12:00:00Z, a date (its midnight in UTC) as 2025-03-01, "
            'or {"ago": "30d"}.'
        )
    return value


def read_nothing(value: Any) -> None:
    """Accept the absence of a value."""
    if value is not None and value is not True:
        raise ValueError("This operator takes no value.")


def read_window(value: Any) -> timedelta:
    """Accept a duration longer than nothing."""
    span = parse_duration(value)
    if not span:
        raise ValueError("The duration must be longer than nothing.")
    return span


def read_value(op: str, value: Any) -> Any:
    """Check and freeze the value of a comparison with a known operator; a ValueError tells what is wrong with it."""
    if op in RELATIVE_OPERATORS:
        if op == "between" and isinstance(value, list | tuple) and any(map(_is_relative, value[:2])):
            return read_whens(value)
        if _is_relative(value):
            return read_day(value) if op in ("eq", "ne") else read_relative(value)
    return OPERATORS[op].read(value)


def _is_relative(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint({"ago", "in"})


def _compare(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Check]:
    """Make an ordering operator: numbers with numbers, text with text, moments with RFC 3339 text."""

    def make(wanted: Any) -> Check:
        if not isinstance(wanted, str):
            return lambda x: (x.__class__ is float or x.__class__ is int) and holds(x, wanted)
        moment = read_time(wanted)

        def check(x: Any) -> bool:
            if x.__class__ is str:
                return holds(x, wanted)
            return moment is not None and x.__class__ is datetime and holds(x, moment)

        return check

    return make


def _between(pair: tuple[Any, Any]) -> Check:
    above, below = _compare(python.ge)(pair[0]), _compare(python.le)(pair[1])
    return lambda x: above(x) and below(x)


def _contains(wanted: Any) -> Check:
    """Text within text, or an element of a list; neither in anything else."""

    def check(x: Any) -> bool:
        if x.__class__ is str:
            return isinstance(wanted, str) and wanted in x
        return isinstance(x, list | tuple) and any(same(each, wanted) for each in x)

    return check


def _time(holds: Callable[[Any, Any], bool]) -> Callable[[str], Check]:
    def make(wanted: str) -> Check:
        moment = read_time(wanted)

        def check(x: Any) -> bool:
            found = read_time(x)
            return found is not None and holds(found, moment)

        return check

    return make


def _not(make: Callable[[Any], Check]) -> Callable[[Any], Check]:
    """The opposite, which holds for a missing field too."""

    def opposite(wanted: Any) -> Check:
        check = make(wanted)
        return lambda x: not check(x)

    return opposite


def _by_profile(_: Any) -> Check:
    """For how long a value has been there is not told by the value: `compile` makes this test of the whole profile."""
    raise AssertionError("unchanged_for is no check of a value")


OPERATORS: dict[str, Operator] = {
    "eq": Operator(read_scalar, equals),
    "ne": Operator(read_scalar, _not(equals)),
    "gt": Operator(read_ordered, _compare(python.gt)),
    "gte": Operator(read_ordered, _compare(python.ge)),
    "lt": Operator(read_ordered, _compare(python.lt)),
    "lte": Operator(read_ordered, _compare(python.le)),
    "between": Operator(read_pair, _between),
    "in": Operator(read_list, is_one_of),
    "not_in": Operator(read_list, _not(is_one_of)),
    "contains": Operator(read_scalar, _contains),
    "not_contains": Operator(read_scalar, _not(_contains)),
    "starts_with": Operator(read_text, lambda wanted: lambda x: x.__class__ is str and x.startswith(wanted)),
    "ends_with": Operator(read_text, lambda wanted: lambda x: x.__class__ is str and x.endswith(wanted)),
    "glob": Operator(read_glob, lambda wanted: text_matcher(wanted, glob=True)),
    "regex": Operator(read_regex, lambda wanted: text_matcher(wanted, glob=False)),
    "is_set": Operator(read_nothing, lambda _: lambda x: x is not None),
    "is_not_set": Operator(read_nothing, lambda _: lambda x: x is None),
    "before": Operator(read_moment, _time(python.lt)),
    "after": Operator(read_moment, _time(python.gt)),
    "unchanged_for": Operator(read_window, _by_profile),
    "url_is": Operator(read_whole_address, is_address),
    "url_path": Operator(read_path, has_path),
    "url_glob": Operator(read_url_glob, fits_glob),
    "url_query": Operator(read_parameters, has_parameters),
}

ALIASES = {
    "equals": "eq",
    "equal": "eq",
    "==": "eq",
    "=": "eq",
    "is": "eq",
    "!=": "ne",
    "not_equals": "ne",
    "not_equal": "ne",
    "neq": "ne",
    "is_not": "ne",
    ">": "gt",
    "greater_than": "gt",
    ">=": "gte",
    "ge": "gte",
    "<": "lt",
    "less_than": "lt",
    "<=": "lte",
    "le": "lte",
    "!in": "not_in",
    "nin": "not_in",
    "includes": "contains",
    "like": "glob",
    "matches": "regex",
    "exists": "is_set",
    "not_exists": "is_not_set",
    "is_empty": "is_not_set",
    "has_been": "unchanged_for",
    "not_changed_for": "unchanged_for",
    "url_equals": "url_is",
    "url_matches": "url_glob",
    "url_param": "url_query",
    "query": "url_query",
}
"""What people call the operators elsewhere: never accepted, but understood well enough to name ours."""
