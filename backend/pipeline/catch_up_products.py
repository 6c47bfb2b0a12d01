"""The step `catch_up_products`: events that a backlog had no time for are looked at for what they tell of products.

A site's visitors are gone through a piece at a time, and what was told last of each product goes into the catalogue at
the end: what was told in between is no news any more. A process that dies begins again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from backend.domain.event import Event
from backend.domain.shopping import TELLING, described, facts_of
from backend.domain.site import Site
from backend.pipeline.learn_products import AT_ONCE, MOST_LEARNED, by_moment, hosts_of, newer, write
from backend.runtime import Runtime
from backend.storage import events, sweeps, visitors
from backend.storage.sweeps import LEARN, Sweep

log = structlog.get_logger(__name__)

VISITORS_AT_ONCE = 200
PIECES = 20
"""Pieces in one turn, so that what else ticks gets its turn too."""


@dataclass(slots=True)
class _Run:
    """How far a site is gone through, and what was told last so far: by product, of each name."""

    sweep: Sweep
    cursor: str = ""
    told: dict[str, dict[str, tuple[datetime, Any]]] = field(default_factory=dict)


class CatchUp:
    """Catches up with one site after the other."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._run: _Run | None = None

    def run(self) -> bool:
        """One turn; tells whether there was anything to do."""
        with self._rt.db.read() as connection:
            found = sweeps.due(connection, self._rt.clock(), kind=LEARN)
        if self._run is None or self._run.sweep not in found:  # else it goes on; or a new backlog has begun it again
            self._run = _Run(found[0]) if found else None
        run = self._run
        if run is None:
            return False
        site = self._rt.sites.by_id(run.sweep.site_id)
        for _ in range(PIECES):
            if site is None or not self._piece(run, site):
                self._end(run)
                break
        return True

    def _piece(self, run: _Run, site: Site) -> bool:
        """Looks at the next visitors; False where there are none."""
        with self._rt.db.read() as connection:
            ids = visitors.ids_after(connection, site.id, run.cursor, VISITORS_AT_ONCE, merged=True)
            if ids:
                run.cursor = ids[-1]
                _look(run, site, events.received_since(connection, ids, TELLING, run.sweep.due_at))
        return bool(ids)

    def _end(self, run: _Run) -> None:
        """Everybody was looked at."""
        ids = list(run.told)
        for start in range(0, len(ids), AT_ONCE):
            found = {each: by_moment(run.told[each]) for each in ids[start : start + AT_ONCE]}
            write(self._rt, run.sweep.site_id, found)
        with self._rt.db.begin() as connection:
            sweeps.end(connection, run.sweep)
        log.info("products_caught_up", site=run.sweep.site_id, products=len(run.told))
        self._run = None


def _look(run: _Run, site: Site, found: Iterable[Event]) -> None:
    hosts = hosts_of(site)
    for event in found:
        for each in described(event):
            if each.product_id in run.told or len(run.told) < MOST_LEARNED:
                newer(run.told.setdefault(each.product_id, {}), facts_of(each, hosts), each.at)
