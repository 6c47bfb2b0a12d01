"""How far do visitors come in a funnel, and how long does each step take them? Counted person by person."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MICROS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One stage of a funnel over a period.

    `entered` persons came into it, `reached` into it or one behind it; `conversion` is the share that reached it of
    those who reached the one before, `share` of all (None: of nobody). `timed` persons came into it after the one
    before, half of them within `median_seconds`, from first entry to the next.
    """

    name: str
    entered: int
    reached: int
    conversion: float | None
    share: float | None
    timed: int
    median_seconds: float | None


class Passage:
    """Counts persons; in memory are one number for each of their steps, and the figures."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.persons = 0
        self._places = {name: place for place, name in enumerate(names)}
        self._entered = [0] * len(names)
        self._furthest = [0] * len(names)
        self._spans = [array("q") for _ in names]

    def take(self, entries: Iterable[tuple[int, str]]) -> None:
        """One person's entries of the period as (at in µs, stage), in order of time."""
        first: dict[int, int] = {}
        timed = set[int]()
        for at, stage in entries:
            place = self._places.get(stage)
            if place is None:
                continue
            if place not in first:
                first[place] = at
                self._entered[place] += 1
            if place not in timed and place - 1 in first:
                timed.add(place)
                self._spans[place].append(at - first[place - 1])
        if first:
            self.persons += 1
            self._furthest[max(first)] += 1

    def steps(self) -> list[Step]:
        """What was counted, by stage in order."""
        reached = [sum(self._furthest[place:]) for place in range(len(self.names))]
        return [
            Step(
                name=name,
                entered=self._entered[place],
                reached=reached[place],
                conversion=_share(reached[place], reached[place - 1]) if place else None,
                share=_share(reached[place], self.persons),
                timed=len(self._spans[place]),
                median_seconds=_median(self._spans[place]),
            )
            for place, name in enumerate(self.names)
        ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _median(spans: "array[int]") -> float | None:
    if not spans:
        return None
    ordered, middle = sorted(spans), len(spans) // 2
    if len(ordered) % 2:
        return ordered[middle] / MICROS
    return (ordered[middle - 1] + ordered[middle]) / 2 / MICROS
