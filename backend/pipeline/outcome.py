"""The step `outcome`: what an error says about a message, written down: tried again, failed, or unknown."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from backend.channels.base import ADDRESS_GONE
from backend.domain.message import Message
from backend.domain.unsubscribe import Subscription
from backend.errors import DeliveryError
from backend.pipeline.count import count_messages
from backend.storage import deliveries, unsubscribes
from backend.storage.database import Connection
from backend.storage.deliveries import Claim
from backend.storage.sites import SiteCache

log = structlog.get_logger(__name__)

BACK_OFF = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(minutes=60),
    timedelta(hours=4),
)
"""How long to wait after the first, second, … failure; the last one repeats."""

ATTEMPTS = 8
"""After so many failures the message has failed for good: that is about 13 hours."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver has it."""

    at: datetime

    def write(self, conn: Connection, claim: Claim, sites: SiteCache) -> bool:
        """Writes it down; False when the claim was lost."""
        if deliveries.sent(conn, claim, self.at):
            count_messages(conn, sites, [claim.message], "delivered")
            return True
        if deliveries.sent_after_all(conn, claim, self.at):
            count_messages(conn, sites, [claim.message], "uncertain", -1)
            count_messages(conn, sites, [claim.message], "delivered")
            return True
        return False


@dataclass(frozen=True, slots=True)
class Postponed:
    """The channel is down: the message waits with the others, and its attempts do not count."""

    error: DeliveryError
    until: datetime

    def write(self, conn: Connection, claim: Claim, _sites: SiteCache) -> bool:
        """Writes it down; False when the claim was lost."""
        return deliveries.retry(conn, claim, self.until, self.error.message, counted=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not handed over, or nobody can tell; on an `idempotent` channel that makes no difference."""

    error: DeliveryError
    at: datetime
    idempotent: bool

    def write(self, conn: Connection, claim: Claim, sites: SiteCache) -> bool:
        """Writes it down; False when the claim was lost. An address that does not exist is not written to again."""
        error, message = self.error, claim.message
        log.warning("message_not_sent", message=message.id, reason=error.message, permanent=error.permanent)
        if error.ambiguous and not self.idempotent:
            return _ended(conn, sites, message, "uncertain", deliveries.unknown(conn, claim, error.message))
        if error.code == ADDRESS_GONE and message.address is not None:
            gone = Subscription.email(message.site_id, message.address)
            unsubscribes.add(conn, gone, unsubscribes.REFUSED, self.at, sites.vault)
        if error.permanent or message.attempts + 1 >= ATTEMPTS:
            return _ended(conn, sites, message, "failed", deliveries.failed(conn, claim, error.message))
        wait = BACK_OFF[min(message.attempts, len(BACK_OFF) - 1)]
        return deliveries.retry(conn, claim, self.at + wait + jitter(wait / 5), error.message)


def _ended(conn: Connection, sites: SiteCache, message: Message, metric: str, written: bool) -> bool:
    if written:
        count_messages(conn, sites, [message], metric)
    return written


Outcome = Sent | Postponed | Refused


def jitter(most: timedelta) -> timedelta:
    """A random part of `most`, so that what failed together does not come back together."""
    return most * random.random()  # noqa: S311 - nothing to guess here
