"""The step `learn names`: a sample of what arrives is noted, and written into the catalogue of properties now and then.

Of small batches all events are looked at, of large ones a few, and of many large ones only some batches: a name that is
used at all is met before long, and nobody waits for it.
"""

import time
from collections.abc import Collection, Sequence
from datetime import datetime

import structlog

from backend.domain.vocabulary import Name, Names, examples_told, note
from backend.pipeline.arrive import Arrived
from backend.runtime import Runtime
from backend.storage import histories, tombstones, vocabularies
from backend.storage.database import Connection

log = structlog.get_logger(__name__)

FEW = 16
"""Events of one batch that are looked at."""

PAUSE_SECONDS = 0.25
"""Between looks at batches with more."""

WRITE_SECONDS = 10.0
MOST_SITES = 50
AT_ONCE = 5_000


class NameLearner:
    """Notes names for one processor; what it has not written when that ends is lost, and met again."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._noted: dict[str, Names] = {}
        self._since: datetime = rt.clock()
        self._look_at = 0.0
        self._write_at = time.monotonic() + WRITE_SECONDS

    def look(self, admitted: Sequence[tuple[int, Arrived]]) -> None:
        """Notes what a few of these events name, and writes what was noted where it is time to; never raises.

        Only what may take effect is looked at: nothing of the erased, nor without consent, is to serve as an example.
        """
        now = time.monotonic()
        if len(admitted) > FEW:
            if now < self._look_at:
                return
            self._look_at = now + PAUSE_SECONDS
        try:
            for _, each in admitted[:: -(-len(admitted) // FEW)] if admitted else ():
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
        since, self._since = self._since, self.rt.clock()
        if not noted:
            return
        with self.rt.db.begin() as connection:
            tombstones.share(connection)
            erased = tombstones.newest(connection)
            for site_id, names in sorted(noted.items()):
                last = erased.get(site_id)
                if last is not None and last >= since:
                    for known in names.values():
                        known.examples = []  # some may be of whoever was erased meanwhile; there will be others
                vocabularies.add(connection, site_id, names)


def forget_examples(connection: Connection, site_id: str, members: Collection[str], now: datetime) -> None:
    """Takes what these visitors told out of the examples of their site, whoever else may have told the same."""
    known = vocabularies.with_examples(connection, site_id)
    changed: set[Name] = set()
    for piece in histories.pieces(connection, members, now, AT_ONCE) if known else ():
        for _, event in piece:
            for name, example in list(examples_told(event, known)):
                known[name].examples = [each for each in known[name].examples if each != example]
                changed.add(name)
    if changed:
        vocabularies.replace(connection, site_id, {name: known[name] for name in changed})
