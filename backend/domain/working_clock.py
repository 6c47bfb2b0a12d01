"""How much working time lies between two moments? Asked thousands of times, so the hours are laid out once."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from backend.domain.hours import ALWAYS, Hours

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

LOOKED_AHEAD = timedelta(days=400)
"""How far `Hours` looks for the next opening."""


class WorkingClock:
    """Counts working time; moments are microseconds since 1970, and it is quick while they lie close together.

    It lays out the hours from the first moment that it is asked of, as far as they are needed.
    """

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._opened: list[int] = []
        self._closed: list[int] = []
        self._worked: list[int] = []  # by when each opening began
        self._begin: int | None = None
        self._until = 0

    def between(self, begin: int, end: int) -> int:
        """The working time between two moments in microseconds; 0 where it ends before it begins."""
        if end <= begin:
            return 0
        if self._hours is ALWAYS:
            return end - begin
        if self._begin is None or begin < self._begin:
            self._opened, self._closed, self._worked = [], [], []
            self._begin = self._until = begin
        while self._until < end:
            self._go_on(end)
        return self._passed(end) - self._passed(begin)

    def _go_on(self, end: int) -> None:
        """Lays out the next opening, or nothing up to `end` where there is none."""
        at = EPOCH + self._until * MICROSECOND
        opening = self._hours.opens_next(at)
        if opening is None:
            self._until = min(end, _micros(at + LOOKED_AHEAD))
            return
        closing = self._hours.closes_next(opening)
        closes = end if closing is None else _micros(closing)  # always open: as far as it is asked for
        self._worked.append(self._worked[-1] + self._closed[-1] - self._opened[-1] if self._worked else 0)
        self._opened.append(_micros(opening))
        self._closed.append(closes)
        self._until = closes

    def _passed(self, moment: int) -> int:
        """The working time from the beginning up to a moment."""
        place = bisect_right(self._opened, moment) - 1
        return 0 if place < 0 else self._worked[place] + min(moment, self._closed[place]) - self._opened[place]


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
