"""What did conversations bring about? How soon they were answered and ended, what they were worth, by whom.

Rows go in one after the other, in order, and numbers come out; all that is kept of a row is a number or two.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeAlias

from backend.domain.working_clock import EPOCH, MICROSECOND, WorkingClock

By: TypeAlias = Literal["day", "operator", "department"]
DIMENSIONS: tuple[By, ...] = ("day", "operator", "department")

Numbers: TypeAlias = dict[str, Any]
Clocks: TypeAlias = Callable[[str | None], WorkingClock]
"""The hours of a department (None: of the site)."""


class Step(NamedTuple):
    """A part as it counts: `at` in microseconds; of an event what it is, with the state or the rating that it tells."""

    at: int
    author: str
    author_id: str | None
    kind: str
    event: str | None = None
    value: Any = None


class Touch(NamedTuple):
    """A message of a conversation, or an order (`order_id` and `worth`), of one person; `at` in microseconds."""

    at: int
    operator: bool = False
    operator_id: str | None = None
    department_id: str | None = None
    order_id: str | None = None
    worth: Decimal | None = None


@dataclass(slots=True)
class _Group:
    """What is counted of some conversations, parts and orders."""

    opened: int = 0
    reopened: int = 0
    parts: int = 0
    answers: "array[int]" = field(default_factory=lambda: array("q"))
    answers_working: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    ends_working: "array[int]" = field(default_factory=lambda: array("q"))
    ratings: dict[int, int] = field(default_factory=dict)
    orders: int = 0
    revenue: Decimal = Decimal(0)

    def numbers(self) -> Numbers:
        rated = sum(self.ratings.values())
        total = sum(value * count for value, count in self.ratings.items())
        return {
            "opened": self.opened,
            "answered": len(self.answers),
            "first_response": spread(self.answers) | {"working": spread(self.answers_working)},
            "closed": len(self.ends),
            "resolution": spread(self.ends) | {"working": spread(self.ends_working)},
            "reopened": self.reopened,
            "parts": self.parts,
            "ratings": {
                "count": rated,
                "mean": round(total / rated, 2) if rated else None,
                "values": {str(value): self.ratings.get(value, 0) for value in range(1, 6)},
            },
            "orders": self.orders,
            "revenue": self.revenue,
        }


class DeskReport:
    """Takes the steps of conversations, one conversation after the other, and the touches of persons, likewise.

    Opened, answered, ended, reopened and rated count those conversations that began from `since` to before `until`;
    parts, orders and load count what happened then. Each number belongs to one row of a dimension: to the operator who
    answered first; who answered last before it ended, was opened again, was rated or led to an order; or who said it.
    """

    def __init__(
        self, since: datetime, until: datetime, zone: tzinfo, clocks: Clocks, window: timedelta, by: By | None = None
    ) -> None:
        self._since, self._until = _micros(since), _micros(until)
        self._zone, self._clocks, self._by = zone, clocks, by
        self._window = window // MICROSECOND
        self._total = _Group()
        self._rows: dict[str | None, _Group] = {}
        self._begun, self._ended = array("q"), array("q")

    def take(self, created_at: int, department_id: str | None, steps: Iterator[Step]) -> None:
        """One conversation with all its parts, in order."""
        course = _Course(created_at)
        for step in steps:
            course.take(step)
            if step.author == "operator" and step.kind == "message" and self._since <= step.at < self._until:
                for group in self._groups(step.at, step.author_id, department_id):
                    group.parts += 1
        course.stays()
        self._load(course)
        if self._since <= created_at < self._until:
            self._count(course, department_id)

    def shop(self, touches: Iterator[Touch]) -> None:
        """What one person said and ordered, in order of time; an order counts once, with what was told of it last."""
        said: Touch | None = None
        answered: Touch | None = None
        orders: dict[str, tuple[int, Touch | None, Touch | None]] = {}
        worths: dict[str, Decimal] = {}
        for number, touch in enumerate(touches):
            if touch.worth is None:
                said = touch
                answered = touch if touch.operator else answered
                continue
            name = touch.order_id or f"\0{number}"
            worths[name] = touch.worth
            orders.setdefault(name, (touch.at, said, answered))
        for name, (at, last_said, last_answered) in orders.items():
            if not self._since <= at < self._until or last_said is None or at - last_said.at > self._window:
                continue
            by = last_answered if last_answered is not None and at - last_answered.at <= self._window else None
            operator_id = by.operator_id if by is not None else None
            for group in self._groups(at, operator_id, (by or last_said).department_id):
                group.orders += 1
                group.revenue += worths[name]

    def numbers(self) -> Numbers:
        """All that was counted: `totals`, and `rows` by what was asked for."""
        name = self._by or ""
        rows = sorted(self._rows.items(), key=lambda each: (each[0] is None, each[0] or ""))
        told = [{name: key, **group.numbers()} for key, group in rows]
        return {"totals": self._total.numbers() | {"open": self._most()}, "rows": told}

    def _count(self, course: "_Course", department_id: str | None) -> None:
        began, clock = course.created_at, self._clocks(department_id)
        first = course.first
        for group in self._groups(began, first.author_id if first is not None else None, department_id):
            group.opened += 1
            if first is not None and course.asked is not None:
                group.answers.append(max(0, first.at - course.asked))
                group.answers_working.append(clock.between(course.asked, first.at))
        if course.closed_at is not None:
            for group in self._groups(began, course.closed_by, department_id):
                group.ends.append(max(0, course.closed_at - began))
                group.ends_working.append(clock.between(began, course.closed_at))
        if course.reopened:
            for group in self._groups(began, course.reopened_after, department_id):
                group.reopened += 1
        if course.rating is not None:
            for group in self._groups(began, course.rated_after, department_id):
                group.ratings[course.rating] = group.ratings.get(course.rating, 0) + 1

    def _load(self, course: "_Course") -> None:
        """When it was open within the time that is looked at."""
        for begin, end in course.spans:
            begins, ends = max(begin, self._since), self._until if end is None else min(end, self._until)
            if begins < ends:
                self._begun.append(begins)
                self._ended.append(ends)

    def _most(self) -> Numbers:
        """How many were open at once at most, and how many are at the end."""
        begun, ended = sorted(self._begun), sorted(self._ended)
        most = place = 0
        for number, moment in enumerate(begun, start=1):
            while place < len(ended) and ended[place] <= moment:
                place += 1
            most = max(most, number - place)
        return {"most": most, "at_end": sum(1 for each in ended if each == self._until)}

    def _groups(self, at: int, operator_id: str | None, department_id: str | None) -> tuple[_Group, ...]:
        if self._by is None:
            return (self._total,)
        if self._by == "day":
            key: str | None = (EPOCH + at * MICROSECOND).astimezone(self._zone).date().isoformat()
        else:
            key = operator_id if self._by == "operator" else department_id
        group = self._rows.get(key)
        if group is None:
            group = self._rows[key] = _Group()
        return self._total, group


class _Course:
    """How one conversation went."""

    def __init__(self, created_at: int) -> None:
        self.created_at = created_at
        self.asked: int | None = None  # when the visitor first said something
        self.first: Step | None = None  # the first answer to that
        self.closed_at: int | None = None
        self.closed_by: str | None = None  # who had answered last
        self.reopened = False
        self.reopened_after: str | None = None
        self.rating: int | None = None
        self.rated_after: str | None = None
        self.spans: list[tuple[int, int | None]] = []
        self._last: str | None = None
        self._since: int | None = created_at

    def take(self, step: Step) -> None:
        """Goes on by one part."""
        if step.kind == "message" and step.author in ("visitor", "operator"):
            self._open(step.at)
            if step.author == "visitor":
                self.asked = step.at if self.asked is None else self.asked
            else:
                self._last = step.author_id
                if self.first is None and self.asked is not None:
                    self.first = step
        elif step.event == "state":
            if step.value == "closed":
                self._close(step.at)
            else:
                self._open(step.at)
        elif step.event == "rated" and step.value in range(1, 6):
            self.rating, self.rated_after = step.value, self._last

    def stays(self) -> None:
        """Says that this was its last part."""
        if self._since is not None:
            self.spans.append((self._since, None))

    def _open(self, at: int) -> None:
        if self._since is not None:
            return
        if not self.reopened:
            self.reopened, self.reopened_after = True, self._last
        self._since, self.closed_at = at, None

    def _close(self, at: int) -> None:
        if self._since is None:
            return
        self.spans.append((self._since, max(at, self._since)))
        self._since, self.closed_at, self.closed_by = None, at, self._last


def spread(values: "array[int]") -> Numbers:
    """The median (of an even number, between the two in the middle) and the 90th percentile (nearest rank), in seconds.

    Both None where there is nothing.
    """
    if not values:
        return {"median": None, "p90": None}
    found = sorted(values)
    middle = len(found) // 2
    median = found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2
    return {"median": round(median / 1e6, 3), "p90": round(found[-(-len(found) * 9 // 10) - 1] / 1e6, 3)}


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
