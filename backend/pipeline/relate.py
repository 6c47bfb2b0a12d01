"""The step `relate`: counts which products are looked at, and bought, together; a piece at a time, now and then.

First everybody's interests are gone through to count people by product, and what is too old or too much of one visitor
is forgotten; then once more for every so many products, whose neighbours are counted and written down. A process that
dies begins again: what was counted before stands until then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

import structlog

from backend.domain.related import LEAST, MOST_AT_ONCE, Neighbours
from backend.runtime import Runtime
from backend.storage import interests, products, sweeps
from backend.storage.products import Related

log = structlog.get_logger(__name__)

EVERY = timedelta(hours=1)
ROWS_AT_ONCE = 5_000
"""Interests that are read in one turn, so that what else ticks gets its turn too."""

PER_PASS = 5_000
"""Products whose neighbours are counted at a time: about 40 MB."""

MOST_RELATED = 100_000
"""The products with the most people of which neighbours are counted at all."""

MOST_COUNTED = 200_000
"""Products whose people are counted."""

Row = tuple[str, str, str, datetime]
"""(visitor id, product id, kind, when last)."""


@dataclass(slots=True)
class _Run:
    """How far the counting of one site is; `passes` is None while people are counted."""

    site_id: str
    at: datetime
    cursor: str = ""
    viewers: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    passes: list[list[str]] | None = None
    similar: Neighbours = field(default_factory=lambda: Neighbours(()))
    together: Neighbours = field(default_factory=lambda: Neighbours(()))


class Relater:
    """Counts for one site after the other."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._run: _Run | None = None

    def run(self) -> bool:
        """One turn; tells whether there was anything to do."""
        if self._run is None:
            self._run = self._due()
        run = self._run
        if run is None:
            return False
        try:
            with self._rt.db.read() as connection:
                rows = interests.after(connection, run.site_id, run.cursor, ROWS_AT_ONCE)
            if rows:
                run.cursor = rows[-1][0]
            if run.passes is None:
                self._count(run, rows)
            else:
                _meet(run, rows)
            if len(rows) < ROWS_AT_ONCE:
                self._next_pass(run)
        except Exception:
            self._run = None  # begin again
            raise
        return True

    def _due(self) -> _Run | None:
        now = self._rt.clock()
        with self._rt.db.read() as connection:
            for site_id in interests.noting(connection):
                last = products.related_at(connection, site_id)
                if last is not None and last + EVERY > now:
                    continue
                if not sweeps.building(connection, site_id, sweeps.INTERESTS):
                    return _Run(site_id, now)
        return None

    def _count(self, run: _Run, rows: Sequence[Row]) -> None:
        gone: list[tuple[str, str, str]] = []
        for visitor_id, group in groupby(rows, itemgetter(0)):
            kinds: dict[str, list[Row]] = {}
            for row in group:
                kinds.setdefault(row[2], []).append(row)
            for kind, listed in kinds.items():
                listed.sort(key=itemgetter(3), reverse=True)
                kept = [row for row in listed[: interests.MOST_OF_ONE] if row[3] > run.at - interests.KEPT]
                gone.extend((visitor_id, row[1], kind) for row in listed[len(kept) :])
        for basket in _looked_at(rows):
            _add(run.viewers, basket)
        for basket in _bought(rows):
            _add(run.orders, basket)
        if gone:
            with self._rt.db.begin() as connection:
                interests.forget(connection, gone)

    def _next_pass(self, run: _Run) -> None:
        """One pass is done: what it counted is written down, and the next begins, or nothing is left."""
        if run.passes is None:
            people = run.viewers + run.orders
            busiest = [each for each, number in people.most_common(MOST_RELATED) if number >= LEAST]
            run.passes = [busiest[start : start + PER_PASS] for start in range(0, len(busiest), PER_PASS)]
        else:
            similar, together = run.similar.best(run.viewers), run.together.best(run.orders)
            found = {
                each: Related(similar=similar.get(each, ()), bought_together=together.get(each, ()))
                for each in similar.keys() | together.keys()
            }
            with self._rt.db.begin() as connection:
                products.save_related(connection, run.site_id, found, run.at)
        run.cursor = ""
        if run.passes:
            mine = run.passes.pop(0)
            run.similar, run.together = Neighbours(mine), Neighbours(mine)
            return
        with self._rt.db.begin() as connection:
            products.end_relating(connection, run.site_id, run.at)
        log.info("products_related", site=run.site_id, products=len(run.viewers))
        self._run = None


def _meet(run: _Run, rows: Sequence[Row]) -> None:
    for basket in _looked_at(rows):
        run.similar.meet(basket)
    for basket in _bought(rows):
        run.together.meet(basket)


def _looked_at(rows: Sequence[Row]) -> Iterator[list[str]]:
    """The products that each visitor looked at or put into the cart, the latest first."""
    for _, group in groupby(rows, itemgetter(0)):
        listed = sorted((row for row in group if row[2] != "bought"), key=itemgetter(3), reverse=True)
        yield list(dict.fromkeys(row[1] for row in listed))[:MOST_AT_ONCE]


def _bought(rows: Sequence[Row]) -> Iterator[list[str]]:
    """The products of each order: what a visitor bought at one moment."""
    for _, group in groupby(rows, itemgetter(0)):
        orders: dict[datetime, list[str]] = {}
        for row in group:
            if row[2] == "bought":
                orders.setdefault(row[3], []).append(row[1])
        yield from (products_of_one[:MOST_AT_ONCE] for products_of_one in orders.values())


def _add(people: Counter[str], basket: Sequence[str]) -> None:
    for each in basket:
        if each in people or len(people) < MOST_COUNTED:
            people[each] += 1
