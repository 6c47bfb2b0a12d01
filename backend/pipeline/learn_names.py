"""The step `learn names`: a sample of what arrives is noted, and written into the catalogue of properties now and then.

Of small batches all events are looked at, of large ones a few, and of many large ones only some batches: a name that is
used at all is met before long, and nobody waits for it.
"""

import time
from collections.abc import Sequence

import structlog

from backend.domain.vocabulary import Names, note
from backend.pipeline.arrive import Arrived
from backend.runtime import Runtime
from backend.storage import vocabularies

log = structlog.get_logger(__name__)

FEW = 16
"""Events of one batch that are looked at."""

PAUSE_SECONDS = 0.25
"""Between looks at batches with more."""

WRITE_SECONDS = 10.0
MOST_SITES = 50


class NameLearner:
    """Notes names for one processor; what it has not written when that ends is lost, and met again."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._noted: dict[str, Names] = {}
        self._look_at = 0.0
        self._write_at = time.monotonic() + WRITE_SECONDS

    def look(self, arrived: Sequence[Arrived]) -> None:
        """Notes what a few of these events name, and writes what was noted where it is time to; never raises."""
        now = time.monotonic()
        if len(arrived) > FEW:
            if now < self._look_at:
                return
            self._look_at = now + PAUSE_SECONDS
        try:
            for each in arrived[:: -(-len(arrived) // FEW)] if arrived else ():
                names = self._noted.get(each.site_id)
                if names is None:
                    if len(self._noted) >= MOST_SITES:
                        continue
                    names = self._noted[each.site_id] = {}
                note(names, each.event)
            if now >= self._write_at:
                self.write()
        except Exception as error:
            log.warning("names_not_learned", reason=str(error)[:200])
            self._noted = {}

    def write(self) -> None:
        """Writes down what was noted."""
        self._write_at = time.monotonic() + WRITE_SECONDS
        noted, self._noted = self._noted, {}
        if not noted:
            return
        with self.rt.db.begin() as connection:
            for site_id, names in sorted(noted.items()):
                vocabularies.add(connection, site_id, names)
