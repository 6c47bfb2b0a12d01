"""The step `fetch_feeds`: feeds that are due are fetched to a file and then read, in a thread of their own."""

import tempfile
import threading
from datetime import datetime, timedelta
from typing import Any, BinaryIO, cast

import structlog

from backend.channels.download import fetch_file
from backend.channels.outbound import Allowed, Outbound
from backend.errors import DeliveryError
from backend.pipeline.import_products import MOST_BYTES, Report, import_products, report_view
from backend.runtime import Runtime
from backend.schemas.feed import FORMATS
from backend.schemas.fields import format_moment
from backend.storage import feeds
from backend.storage.feeds import Feed

log = structlog.get_logger(__name__)

SECONDS = 600.0
"""How long one file may take to come."""

AGAIN = timedelta(minutes=15)
"""When to try again what could not be fetched, unless it is due sooner."""


class Fetcher:
    """Fetches what is due, one after the other."""

    def __init__(self, rt: Runtime, out: Outbound | None = None) -> None:
        self._rt = rt
        allowed = Allowed.of(rt.settings.allow_private)
        self._out = out or Outbound(allowed=allowed, total_seconds=SECONDS, most_read=MOST_BYTES)
        self._thread: threading.Thread | None = None

    def call(self) -> None:
        """Begins with what is due, unless it is at it already; does not wait."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._all, daemon=True, name="feeds")
            self._thread.start()

    def _all(self) -> None:
        try:
            while self.run():
                continue
        except Exception:
            log.exception("feeds_failed")

    def run(self) -> bool:
        """Fetches one feed that is due; False where none is."""
        now = self._rt.clock()
        with self._rt.db.begin() as connection:
            feed = feeds.claim(connection, now)
        if feed is None:
            return False
        report = self._fetched(feed)
        due_at = next_fetch(feed, now, failed=report.failed is not None)
        told: dict[str, Any] = report_view(report, self._rt.clock())
        with self._rt.db.begin() as connection:
            feeds.end(connection, feed, {**told, "at": format_moment(told["at"])}, self._rt.clock(), due_at)
        log.info("feed_fetched", feed=feed.id, rows=report.rows, rejected=report.rejected, failed=report.failed)
        return True

    def _fetched(self, feed: Feed) -> Report:
        """Nothing of a file that does not come whole is taken over."""
        with tempfile.TemporaryFile() as file:
            try:
                answer = fetch_file(self._out, feed.url, {"Accept-Encoding": "gzip"}, cast(BinaryIO, file))
            except DeliveryError as error:
                return Report(failed=error.message)
            if answer.status != 200:
                redirected = 300 <= answer.status < 400
                more = ": redirects are not followed, give the address to which it leads" if redirected else ""
                return Report(failed=f"The server answered {answer.status}{more}.")
            file.seek(0)
            kind = next((each for each in FORMATS if each == feed.format), None)
            try:
                return import_products(
                    self._rt, feed.site_id, cast(BinaryIO, file), "feed", kind, complete=feed.complete
                )
            except Exception as error:
                log.exception("feed_broke", feed=feed.id)
                return Report(failed=f"{type(error).__name__}: {str(error)[:200]}")


def next_fetch(feed: Feed, now: datetime, *, failed: bool) -> datetime | None:
    """When a feed is due again, after it was fetched, or was not."""
    if feed.every is None:
        return None
    return now + (min(feed.every, AGAIN) if failed else feed.every)
