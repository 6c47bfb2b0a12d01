"""The step `deliver`: claim, ask every gate again, hand over outside any transaction, write down how it ended.

A message is handed over at most once: `sending` is committed before the first byte of it leaves, and whoever dies
after that leaves it for `unknown`. Up to then every failure is certain, and the message goes back to the queue.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from backend.channels.base import CHANNEL_DOWN, Channel, Delivery, Session
from backend.domain.reach import receiver_name
from backend.domain.site import Site
from backend.domain.unsubscribe import Subscription, seal
from backend.errors import DeliveryError
from backend.pipeline.count import count_messages
from backend.pipeline.desk import Watch
from backend.pipeline.faults import point
from backend.pipeline.outcome import ATTEMPTS, Outcome, Postponed, Refused, Sent, jitter
from backend.pipeline.permits import Permit, Permits
from backend.runtime import Runtime
from backend.storage import deliveries
from backend.storage.database import Connection
from backend.storage.deliveries import Claim, Ref

log = structlog.get_logger(__name__)

JOB_SECONDS = 240
"""After this long a job takes up no further message; the rest is found by the tick."""

Refs = Sequence[Ref]


def deliver(rt: Runtime, refs: Refs, channels: Mapping[str, Channel], stop: Callable[[], bool] = lambda: False) -> None:
    """Brings each of these messages as far as it goes now; one that fails leaves the others alone."""
    with ExitStack() as stack:
        run = _Run(rt, channels, stack)
        deadline = time.monotonic() + JOB_SECONDS
        for at, ref in enumerate(refs):
            if stop() or time.monotonic() > deadline:
                return
            run.one(ref, refs[at:])


class _Run:
    """One job: its sessions, opened when first needed, and the rules it has compiled."""

    def __init__(self, rt: Runtime, channels: Mapping[str, Channel], stack: ExitStack) -> None:
        self._rt = rt
        self._channels = channels
        self._stack = stack
        self._permits = Permits(rt.sites, Watch(rt))
        self._sessions: dict[str, Session] = {}
        self._deferred: set[str] = set()

    def one(self, ref: Ref, rest: Refs) -> None:
        """One message; `rest` are this one and those still to come, for the case that its channel is down."""
        now = self._rt.clock()
        up = self._usable(rest, now)
        if not up:
            return
        point("before_claim")
        with self._rt.db.begin() as conn:
            claim = deliveries.claim(conn, ref, now, up)
        point("after_claim")
        if claim is None:
            return
        attempt = _Attempt(self._rt, self._permits, claim)
        channel = self._channels[claim.message.channel]
        try:
            with self._rt.db.begin() as conn:
                permit = self._permit(conn, claim, now)
            if permit is None:
                return
            self._session(channel).send(self._delivery(claim, permit, now), attempt.begin)
        except _Withdrawn:
            return
        except DeliveryError as error:
            if error.code == CHANNEL_DOWN and not error.ambiguous:
                attempt.end(Postponed(error, channel.circuit.failed(self._rt.clock())))
                self._usable(rest, self._rt.clock())
                return
            channel.circuit.succeeded()
            attempt.end(Refused(error, self._rt.clock(), channel.idempotent))
        except Exception as error:
            # A mistake of ours: certain before the handing over began, unknown after.
            log.exception("delivery_broke", message=claim.message.id)
            wrapped = DeliveryError(f"{type(error).__name__}: {error}"[:300], ambiguous=attempt.begun)
            attempt.end(Refused(wrapped, self._rt.clock(), channel.idempotent))
        else:
            channel.circuit.succeeded()
            point("before_outcome")
            attempt.end(Sent(self._rt.clock()))
            log.info("message_sent", message=claim.message.id, channel=channel.name)

    def _permit(self, conn: Connection, claim: Claim, now: datetime) -> Permit | None:
        if claim.message.attempts >= ATTEMPTS:
            # Its worker died each time: it ends here, before it takes another one along.
            if deliveries.failed(conn, claim, claim.message.reason or "given_up"):
                count_messages(conn, self._rt.sites, [claim.message], "failed")
            return None
        return self._permits.ask(conn, claim, now)

    def _usable(self, rest: Refs, now: datetime) -> list[str]:
        """The channels that are worth trying; what is due on the others is put off, once."""
        up: list[str] = []
        for name, channel in self._channels.items():
            until = channel.circuit.open_until(now)
            if until is None:
                up.append(name)
            elif name not in self._deferred:
                self._deferred.add(name)
                with self._rt.db.begin() as conn:
                    deliveries.defer(conn, rest, name, now, until + jitter(timedelta(seconds=2)))
        return up

    def _session(self, channel: Channel) -> Session:
        if channel.name not in self._sessions:
            self._sessions[channel.name] = self._stack.enter_context(channel.session())
        return self._sessions[channel.name]

    def _delivery(self, claim: Claim, permit: Permit, now: datetime) -> Delivery:
        settings, message, site = self._rt.settings, claim.message, permit.site
        link = None
        if message.channel == "email" and message.address is not None:
            token = seal(settings.secret_key, Subscription.email(site.id, message.address))
            link = f"{settings.public_url}/u/{token}"
        return Delivery(
            message=message,
            site=site,
            now=now,
            name=receiver_name(permit.profile.traits),
            page_url=_page_url(site, permit.profile.page.get("url"), settings.public_url),
            unsubscribe_url=link,
        )


class _Withdrawn(Exception):
    """A gate has closed, or the claim is lost: the message must not leave."""


class _Attempt:
    """One try at one message: knows whether anything may have left."""

    def __init__(self, rt: Runtime, permits: Permits, claim: Claim) -> None:
        self._rt = rt
        self._permits = permits
        self._claim = claim
        self.begun = False

    def begin(self) -> None:
        """The last moment: asks the gates once more and commits that from here on nobody can tell."""
        point("before_data")
        now = self._rt.clock()
        with self._rt.db.begin() as conn:
            permitted = self._permits.ask(conn, self._claim, now) is not None
            held = deliveries.begin(conn, self._claim, now) if permitted else None
        if held is None:
            raise _Withdrawn
        self._claim = held
        self.begun = True
        point("after_begin")

    def end(self, outcome: Outcome) -> None:
        """Writes the outcome, and tries hard: without it a message that was sent counts as unknown."""
        for pause in (0.1, 0.5, 2.0, 5.0, None):
            try:
                with self._rt.db.begin() as conn:
                    written = outcome.write(conn, self._claim, self._rt.sites)
            except Exception:
                if pause is None:
                    raise
                log.warning("outcome_not_written", message=self._claim.message.id, exc_info=True)
                time.sleep(pause)
            else:
                if not written:
                    log.warning("outcome_too_late", message=self._claim.message.id)
                return


def _page_url(site: Site, seen: str | None, public_url: str) -> str:
    """Where a relative link in a mail starts from: the page last seen, if it is one of the site's, else the site.

    Anybody can report a page; a site that lists its origins is safe from links that lead elsewhere.
    """
    if site.origins:
        parsed = urlsplit(seen or "")
        known = f"{parsed.scheme}://{parsed.netloc}" in site.origins
        return seen if known and seen is not None else site.origins[0]
    return seen or public_url
