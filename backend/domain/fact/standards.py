"""By what is a person measured? The site's thresholds and levels, and how long its products usually last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backend.domain.cart import money
from backend.domain.mistakes import Mistakes

if TYPE_CHECKING:
    from backend.domain.site import Policy

Path = tuple[str | int, ...]

STEPS = 4
"""Thresholds of a score: they part it into 1 to 5."""

MOST_LEVELS = 20
LONGEST_NAME = 50
MOST_DAYS = 3_650
MOST_ORDERS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rfm:
    """Where scores from 1 to 5 change: 5 is who ordered at most `recency[0]` days ago, at least `frequency[3]` times,
    for at least `money[3]`.
    """

    recency: tuple[int, ...] = (7, 30, 90, 180)
    frequency: tuple[int, ...] = (2, 3, 5, 10)
    money: tuple[Decimal, ...] = (Decimal(50), Decimal(100), Decimal(250), Decimal(1000))


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A level of loyalty: who has so many orders, and spent so much."""

    name: str
    orders: int = 0
    revenue: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standards:
    """What facts are measured by; `intervals` are the seconds that one piece of a product usually lasts, by its id."""

    rfm: Rfm = Rfm()
    levels: tuple[Level, ...] = ()
    intervals: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: "Policy", intervals: Mapping[str, float] | None = None) -> "Standards":
        """Those of a site."""
        ignored = Mistakes()
        rfm = read_rfm(policy.rfm, (), ignored) if policy.rfm is not None else Rfm()
        levels = read_levels(policy.loyalty, (), ignored)
        return cls(rfm=rfm, levels=levels, intervals=intervals or {})


STANDARD = Standards()
"""Those of a site that says nothing."""


def read_rfm(value: object, path: Path, mistakes: Mistakes) -> Rfm:
    """Thresholds as a site writes them: `{"recency": [7, 30, 90, 180], "frequency": […], "money": […]}`."""
    if value is None:
        return Rfm()
    if not isinstance(value, Mapping):
        mistakes.add(path, 'Expected an object such as {"recency": [7, 30, 90, 180]}.')
        return Rfm()
    mistakes.known_keys(value, ("recency", "frequency", "money"), path)
    usual = Rfm()
    return Rfm(
        recency=_steps(value.get("recency", usual.recency), MOST_DAYS, (*path, "recency"), mistakes) or usual.recency,
        frequency=_steps(value.get("frequency", usual.frequency), MOST_ORDERS, (*path, "frequency"), mistakes)
        or usual.frequency,
        money=_amounts(value.get("money", usual.money), (*path, "money"), mistakes) or usual.money,
    )


def read_levels(value: object, path: Path, mistakes: Mistakes) -> tuple[Level, ...]:
    """Levels as a site writes them, the lowest first: `[{"name": "silver", "orders": 3}, {"name": "gold", …}]`."""
    if not isinstance(value, list | tuple):
        mistakes.add(path, 'Expected a list such as [{"name": "silver", "orders": 3, "revenue": "100"}].')
        return ()
    if len(value) > MOST_LEVELS:
        mistakes.add(path, f"There are at most {MOST_LEVELS} levels.")
        return ()
    levels: list[Level] = []
    for index, each in enumerate(value):
        level = _level(each, (*path, index), mistakes)
        if level is None:
            continue
        if any(level.name == other.name for other in levels):
            mistakes.add((*path, index, "name"), "Another level has this name.")
        if levels and (level.orders < levels[-1].orders or level.revenue < levels[-1].revenue):
            mistakes.add((*path, index), "The lowest level comes first: this one asks for less than the one before.")
        levels.append(level)
    return tuple(levels)


def _level(value: object, path: Path, mistakes: Mistakes) -> Level | None:
    if not isinstance(value, Mapping):
        mistakes.add(path, 'Expected an object such as {"name": "silver", "orders": 3, "revenue": "100"}.')
        return None
    mistakes.known_keys(value, ("name", "orders", "revenue"), path)
    noted, name, orders = mistakes.total, value.get("name"), value.get("orders", 0)
    revenue = money(value.get("revenue", 0))
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME:
        mistakes.add((*path, "name"), f"A level needs a name of at most {LONGEST_NAME} characters.")
    if isinstance(orders, bool) or not isinstance(orders, int) or not 0 <= orders <= MOST_ORDERS:
        mistakes.add((*path, "orders"), "Expected a whole number, such as 3.")
    if revenue is None or revenue < 0:
        mistakes.add((*path, "revenue"), 'Expected an amount, such as "100" or 99.5.')
    if mistakes.total != noted or revenue is None or not isinstance(orders, int):
        return None
    return Level(name=str(name).strip(), orders=orders, revenue=revenue)


def _steps(value: Any, most: int, path: Path, mistakes: Mistakes) -> tuple[int, ...]:
    wanted = f"Expected {STEPS} whole numbers, each greater than the one before."
    if not isinstance(value, list | tuple) or len(value) != STEPS:
        mistakes.add(path, wanted)
        return ()
    if any(isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= most for each in value):
        mistakes.add(path, wanted)
        return ()
    return tuple(value) if _rising(value, path, mistakes) else ()


def _amounts(value: Any, path: Path, mistakes: Mistakes) -> tuple[Decimal, ...]:
    found = [money(each) if not isinstance(each, Decimal) else each for each in value] if _is_list(value) else []
    amounts = [each for each in found if each is not None and each >= 0]
    if len(amounts) != STEPS:
        mistakes.add(path, f"Expected {STEPS} amounts, each greater than the one before.")
        return ()
    return tuple(amounts) if _rising(amounts, path, mistakes) else ()


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == STEPS


def _rising(values: Sequence[Any], path: Path, mistakes: Mistakes) -> bool:
    rising = all(a < b for a, b in pairwise(values))
    if not rising:
        mistakes.add(path, "Each must be greater than the one before.")
    return rising
