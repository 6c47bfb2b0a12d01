"""From a condition to a function: closures with paths split and values prepared, nothing looked up when asked."""

from datetime import timedelta
from typing import assert_never

from backend.domain.condition.fields import getter
from backend.domain.condition.local import local_time_test
from backend.domain.condition.moment import Moment
from backend.domain.condition.operators import OPERATORS
from backend.domain.condition.performed import performed_test
from backend.domain.condition.shared import SharedTests
from backend.domain.condition.tree import (
    TOLD,
    All,
    AnyOf,
    Comparison,
    Condition,
    InSegment,
    LocalTime,
    Not,
    Performed,
)
from backend.domain.condition.values import read_time, same
from backend.domain.condition.when import Test, is_relative, relative_test
from backend.domain.event import Event
from backend.domain.history import History
from backend.domain.trait import telling


def compile_condition(condition: Condition, shared: SharedTests | None = None) -> Test:
    """Make a function that tells whether the condition holds at a moment; it may raise HistoryNeeded.

    With `shared`, equal conditions of many rules become one function, asked once a moment.
    """
    if shared is not None:
        return shared.test(condition, lambda part: _compile(part, shared))
    return _compile(condition, None)


def always(_: Moment) -> bool:
    """The condition that nobody wrote down."""
    return True


def _inside(condition: Condition) -> Test:
    """A condition in another's `where`: it is asked of many events in a row."""
    return _compile(condition, None, inside=True)


def _compile(condition: Condition, shared: SharedTests | None, *, inside: bool = False) -> Test:
    def below(part: Condition) -> Test:
        return _inside(part) if inside else compile_condition(part, shared)

    match condition:
        case Comparison():
            return _comparison(condition)
        case All(parts=parts):
            return _all([*map(below, parts)])
        case AnyOf(parts=parts):
            return _any([*map(below, parts)])
        case Not(part=part):
            test = below(part)
            return lambda m: not test(m)
        case Performed():
            # What stands in its `where` is asked of other events than the one at hand: nothing to share.
            return performed_test(condition, _inside, remembered=inside)
        case LocalTime():
            return local_time_test(condition)
        case InSegment(segment=segment):
            return lambda m: m.profile.is_in(segment)
        case _:
            assert_never(condition)


def _comparison(condition: Comparison) -> Test:
    get, value = getter(condition.field), condition.value
    if condition.op == "unchanged_for":
        return _unchanged(condition.field.parts[1], value)
    if is_relative(value):
        return relative_test(get, condition.op, value)
    if condition.op == "eq" and isinstance(value, str) and read_time(value) is None:
        return lambda m: bool(get(m) == value)
    check = OPERATORS[condition.op].make(value)
    return lambda m: check(get(m))


def _unchanged(trait: str, span: timedelta) -> Test:
    """Whether a trait is set, and has been the same for so long; to be told it again is no change.

    Where it was told since, the history of `identify` calls says whether anything else was told, and before.
    """

    def test(m: Moment) -> bool:
        traits, since = m.profile.traits, m.at - span
        told_at = m.profile.trait_times.get(trait)
        if trait not in traits or told_at is None:
            return False
        if told_at <= since:
            return True
        for event in reversed(tellings(m.history)):
            told, value = telling(event, trait)
            if told:
                if not same(value, traits[trait]):
                    return False
                if event.timestamp <= since:
                    return True
        return False

    return test


def tellings(history: History) -> list[Event]:
    """The events that tell of traits, in order of time."""
    return sorted((event for name in TOLD for event in history.of(name)), key=lambda each: each.moment)


def _all(tests: list[Test]) -> Test:
    match tests:
        case []:
            return always
        case [one]:
            return one
        case [one, two]:
            return lambda m: one(m) and two(m)
        case [one, two, three]:
            return lambda m: one(m) and two(m) and three(m)

    def test(m: Moment) -> bool:
        for each in tests:  # noqa: SIM110 - a generator inside all() costs twice as much
            if not each(m):
                return False
        return True

    return test


def _any(tests: list[Test]) -> Test:
    match tests:
        case [one]:
            return one
        case [one, two]:
            return lambda m: one(m) or two(m)
        case [one, two, three]:
            return lambda m: one(m) or two(m) or three(m)

    def test(m: Moment) -> bool:
        for each in tests:  # noqa: SIM110
            if each(m):
                return True
        return False

    return test
