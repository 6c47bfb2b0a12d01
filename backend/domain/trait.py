"""How does a trait change? Set, set once, add, subtract, append, remove, unset: applied in order of time.

Operations stand beside plain traits, under the names that PostHog, Mixpanel and Amplitude use:
`{"plan": "pro", "$set_once": {"first_plan": "free"}, "$add": {"points": "1.50"}, "$append": {"tags": "tea"},
"$unset": ["coupon"]}`. What a trait is does not depend on the order in which events arrive: it is what one gets by
applying its operations by timestamp (at one moment by order of arrival, in one event in the order of `OPERATIONS`). So
a `set` that comes late, from before an `add`, becomes what that adds to; and an `add` from before a `set` is nothing.

For this a trait that ever had another operation than `set` keeps its latest ones behind the `set` that they change. Of
more than `OPERATIONS_KEPT` the oldest are summed up: an `add`, `append` or `remove` from before them still counts,
since these commute with what was summed up, but a `set` from before them is passed over.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from backend.domain.amount import LARGEST_AMOUNT, money
from backend.domain.event import SIGNAL, Event

CHANGED = "Traits Changed"
"""The signal by which a backend changes traits; its properties are traits with operations."""

OPERATIONS = ("$set", "$set_once", "$add", "$subtract", "$append", "$remove", "$unset")
RANK = {kind: rank for rank, kind in enumerate(OPERATIONS)}

OPERATIONS_KEPT = 20
LOGS_KEPT = 50
"""Traits whose operations are remembered; those of further ones are applied as they arrive."""

LONGEST_LIST = 250
DEEPEST = 6
LARGEST = 1_000
"""Elements of a list, levels of nesting, and values in all, that one trait may have; more is not taken."""

EXACT = 2**53


class Operation(NamedTuple):
    """One operation on one trait, and its place in time."""

    at: datetime
    order: int
    kind: str
    value: Any

    @property
    def place(self) -> tuple[datetime, int, int]:
        """By timestamp, by order of arrival, by kind."""
        return self.at, self.order, RANK[self.kind]


class TraitLog(NamedTuple):
    """What a trait was set to, at `base_at` (None: never), and the operations since, in order.

    `number` is the base as an exact decimal where it was summed up. `since` is the moment up to which operations are
    summed up in the base; None where none are.
    """

    base: Any = None
    base_at: datetime | None = None
    base_order: int = -1
    number: str | None = None
    since: datetime | None = None
    operations: tuple[Operation, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing but a `set` needs to be remembered."""
        return not self.operations and self.since is None

    @property
    def value(self) -> Any:
        """What the trait is; None where it has no value."""
        value: Any = self.base if self.number is None else Decimal(self.number)
        for each in self.operations:
            value = _applied(value, each)
        return _number(value) if isinstance(value, Decimal) else value


Logs = Mapping[str, TraitLog]


def operations_of(said: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(kind, trait, value) of every operation, in the order in which they are applied."""
    for kind in OPERATIONS:
        told = said.get(kind)
        if kind == "$unset":
            names = [told] if isinstance(told, str) else told if isinstance(told, list | dict) else ()
            yield from ((kind, name, None) for name in names if isinstance(name, str))
        elif isinstance(told, dict):
            yield from ((kind, name, value) for name, value in told.items())


def telling(event: Event, name: str) -> tuple[bool, Any]:
    """Whether an event told of this trait, and what it made it; None where that depends on what it was before."""
    said = event.properties if event.type == SIGNAL else event.traits
    told, value = name in said, said.get(name)
    for kind, trait, given in operations_of(said) if not said.keys().isdisjoint(RANK) else ():
        if trait == name:
            told, value = True, given if kind == "$set" else None
    return told, value


def with_operation(log: TraitLog, operation: Operation) -> TraitLog:
    """The log after one more operation, whenever that was."""
    if log.base_at is not None and operation.place <= (log.base_at, log.base_order, 0):
        return log
    commutes = operation.kind not in ("$set", "$unset", "$set_once")
    if log.since is not None and operation.at <= log.since:
        return _summed(log, operation, log.since) if commutes else log
    if operation.kind in ("$set", "$unset"):
        later = tuple(each for each in log.operations if each.place > operation.place)
        value = operation.value if operation.kind == "$set" else None
        return TraitLog(value, operation.at, operation.order, operations=later)
    found = (*log.operations, operation)
    if log.operations and log.operations[-1].place > operation.place:
        found = tuple(sorted(found, key=lambda each: each.place))
    return _bounded(log._replace(operations=found))


def merged(a: TraitLog, b: TraitLog) -> TraitLog:
    """The log of both, where two profiles turn out to be one person: what was set last, and what came after it."""
    early, late = sorted((a, b), key=lambda each: (each.base_at is not None, each.base_at or 0, each.base_order))
    if late.base_at is None:
        value = _added(*(each.base if each.number is None else Decimal(each.number) for each in (early, late)))
        late = _with_base(late, value)
    since = max((each.since for each in (a, b) if each.since is not None), default=None)
    begin = None if late.base_at is None else (late.base_at, late.base_order, 0)
    both = (*a.operations, *b.operations)
    kept = sorted((each for each in both if begin is None or each.place > begin), key=lambda each: each.place)
    if since is not None and late.base_at is not None and since <= late.base_at:
        since = None
    return _bounded(late._replace(since=since, operations=tuple(kept)))


def fits(value: Any) -> bool:
    """Whether a list or an object is small and flat enough to be a trait."""
    left = LARGEST

    def within(each: Any, depth: int) -> bool:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            return False
        if isinstance(each, dict):
            return all(within(below, depth + 1) for below in each.values())
        if isinstance(each, list):
            return len(each) <= LONGEST_LIST and all(within(below, depth + 1) for below in each)
        return True

    return within(value, 0)


def _bounded(log: TraitLog) -> TraitLog:
    while len(log.operations) > OPERATIONS_KEPT:
        oldest, *others = log.operations
        log = _summed(log._replace(operations=tuple(others)), oldest, oldest.at)
    return log


def _summed(log: TraitLog, operation: Operation, since: datetime) -> TraitLog:
    """The log with an operation taken into its base."""
    value = log.base if log.number is None else Decimal(log.number)
    return _with_base(log, _applied(value, operation))._replace(since=since)


def _with_base(log: TraitLog, value: Any) -> TraitLog:
    if isinstance(value, Decimal):
        return log._replace(base=None, number=str(value))
    return log._replace(base=value, number=None)


def _applied(value: Any, operation: Operation) -> Any:
    """The value after an operation; the same where it has no meaning there, such as adding to a list."""
    match operation.kind:
        case "$add":
            return _added(value, money(operation.value))
        case "$subtract":
            amount = money(operation.value)
            return value if amount is None else _added(value, -amount)
        case "$append":
            return _appended(value, operation.value)
        case "$remove":
            if not isinstance(value, list):
                return value
            gone = operation.value if isinstance(operation.value, list) else [operation.value]
            return [each for each in value if not any(_same(each, other) for other in gone)]
        case "$set_once":
            return operation.value if value is None else value
        case "$set":
            return operation.value
        case _:
            return None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _added(value: Any, amount: Any) -> Any:
    """The sum, exactly: a Decimal, or text where the value is a number written as text; the value where it is none."""
    if amount is None:
        return value
    if value is None:
        return amount
    number = value if isinstance(value, Decimal) else money(value)
    if number is None or not isinstance(amount, Decimal):
        return value
    total = number + amount
    if abs(total) >= LARGEST_AMOUNT:
        return value
    return f"{total:f}" if isinstance(value, str) else total


def _appended(value: Any, told: Any) -> Any:
    more = told if isinstance(told, list) else [told]
    if value is None:
        return more[-LONGEST_LIST:]
    if not isinstance(value, list):
        return value
    return [*value, *more][-LONGEST_LIST:]


def _number(value: Decimal) -> int | float:
    """The number that conditions compare: as short as it was meant, 0.3 for 0.1 and 0.2."""
    whole = value.to_integral_value()
    return int(whole) if whole == value and abs(whole) < EXACT else float(value)
