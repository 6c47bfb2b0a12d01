"""Charts that the server draws: where their bars, lines and labels lie, in units of an SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10

WIDTH, HEIGHT = 720.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 18.0, 8.0, 22.0
WHISKER = 320.0
NARROW = 340.0
"""The width of a chart for phones and half pages: its text keeps its size there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One bar of a group: what it counts, how many, and where it lies."""

    name: str
    number: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The bars of one day; `label` is empty where there is no room for one."""

    day: date
    label: str
    x: float
    middle: float
    width: float
    pieces: Sequence[Piece]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A chart by day: its groups, its lines (y, what it says), and whether anything is in it."""

    groups: Sequence[Group]
    lines: Sequence[tuple[float, str]]
    names: Sequence[str]
    empty: bool
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    foot: float = HEIGHT - BOTTOM


@dataclass(frozen=True, kw_only=True, slots=True)
class Whisker:
    """An interval on a line with a zero: where its ends, its middle and the zero lie."""

    low: float
    high: float
    middle: float
    zero: float
    width: float = WHISKER


def by_day(days: Sequence[tuple[date, Mapping[str, int]]], names: Sequence[str], width: float = WIDTH) -> Bars:
    """Bars behind each other, the first name the widest, for as many days as there are; from 0 to a round number."""
    most = max((numbers.get(name, 0) for _, numbers in days for name in names), default=0)
    top, step = _round(most)
    inner, foot = width - LEFT - RIGHT, HEIGHT - BOTTOM
    slot = inner / max(1, len(days))
    every = max(1, ceil(len(days) * 62 / inner))
    groups = []
    for place, (day, numbers) in enumerate(days):
        x = LEFT + place * slot
        pieces = []
        for rank, name in enumerate(names):
            number = max(0, numbers.get(name, 0))
            height = (foot - TOP) * number / top
            broad = max(1.5, min(40.0, slot * 0.72) * (1 - rank * 0.28))
            pieces.append(
                Piece(
                    name=name,
                    number=number,
                    x=round(x + (slot - broad) / 2, 2),
                    y=round(foot - height, 2),
                    width=round(broad, 2),
                    height=round(height, 2),
                )
            )
        shown = (len(days) - 1 - place) % every == 0
        label = f"{day.day} {day:%b}" if shown else ""
        groups.append(
            Group(
                day=day, label=label, x=round(x, 2), middle=round(x + slot / 2, 2), width=round(slot, 2), pieces=pieces
            )
        )
    lines = [(round(foot - (foot - TOP) * n * step / top, 2), f"{n * step:,}") for n in range(round(top / step) + 1)]
    return Bars(groups=groups, lines=lines, names=names, empty=most == 0, width=width)


def whisker(interval: tuple[float, float] | None, middle: float | None) -> Whisker | None:
    """An interval beside its zero, both within sight; None where there is none."""
    if interval is None or middle is None:
        return None
    low, high = interval
    reach = max(abs(low), abs(high), 1e-9) * 1.15

    def place(value: float) -> float:
        return round((value + reach) / (2 * reach) * WHISKER, 2)

    return Whisker(low=place(low), high=place(high), middle=place(middle), zero=place(0.0))


def _round(most: int) -> tuple[int, int]:
    """A round number that holds the most, and the step of the lines up to it."""
    if most <= 4:
        return 4, 1
    rough = most / 4
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return int(ceil(most / step) * step), int(step)
