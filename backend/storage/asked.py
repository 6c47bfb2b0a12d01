"""Which signals of a page does a site ask for? Those that an active rule of it names; looked up every few seconds."""

import logging
from collections.abc import Callable
from time import monotonic

from sqlalchemy.exc import DBAPIError

from backend.domain.site import Site
from backend.schemas.capture import SIGNALS, capture_of
from backend.storage.database import Database, is_transient
from backend.storage.rules import naming

logger = logging.getLogger(__name__)


class Asked:
    """The answers of at most five seconds ago; safe for threads, for it only reads and replaces entries."""

    SECONDS = 5.0

    def __init__(self, db: Database, clock: Callable[[], float] = monotonic) -> None:
        self._db = db
        self._clock = clock
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def of(self, site: Site) -> frozenset[str]:
        """The events by which the site's active rules ask for signals; the last answer where the database has none."""
        if capture_of(site)["signals"] != "asked":
            return frozenset()
        now = self._clock()
        until, names = self._known.get(site.id, (0.0, frozenset()))
        if until > now:
            return names
        try:
            with self._db.read() as connection:
                names = naming(connection, site.id, tuple(SIGNALS.values()))
        except DBAPIError as error:
            if not is_transient(error):
                raise
            logger.warning("which signals the rules of site %s ask for is not known now: %s", site.id, error)
        self._known[site.id] = (now + self.SECONDS, names)
        return names
