"""Handing over, as SQL knows it: who has claimed a message, until when, and how it ended.

    queued ──claim──▶ claimed ──begin──▶ sending ──▶ sent | failed | unknown
      ▲                  │ lease lapsed      │ refused for now
      └──────────────────┴───────────────────┘

Every step is one conditional UPDATE; `lease_until` is the fencing token: whoever lost the lease changes nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text, tuple_, update

from backend.domain.message import ON_SITE, Message
from backend.storage.messages import get, message_of
from backend.storage.tables import messages, sites
from backend.storage.times import to_micros

CLAIM_LEASE = timedelta(minutes=2)
"""How long a worker may take to reach the point of no return."""

SENDING_LEASE = timedelta(minutes=5)
"""How long the handing over itself may take, waiting for the receiver's answer included."""

LIVE = text("status IN ('queued', 'claimed', 'sending')")
"""The condition of the partial index, literally: SQLite takes the index only for the same words."""

_BY_WORKER = messages.c.channel.not_in(sorted(ON_SITE))

Ref = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A message that is ours until `until` (microseconds since 1970)."""

    message: Message
    until: int


def claim(conn: Connection, ref: Ref, now: datetime, channels: Collection[str]) -> Claim | None:
    """Takes a due message of these channels for this worker; None when it is not there to be taken."""
    until = to_micros(now + CLAIM_LEASE)
    taken = conn.execute(
        update(messages)
        .where(_is(ref), messages.c.status == "queued", messages.c.due_at <= to_micros(now))
        .where(messages.c.channel.in_(sorted(channels)), _BY_WORKER)
        .values(status="claimed", lease_until=until)
    ).rowcount
    message = get(conn, *ref) if taken else None
    return None if message is None else Claim(message=message, until=until)


def begin(conn: Connection, held: Claim, now: datetime) -> Claim | None:
    """Marks that from here on nobody can tell without an answer; None when the claim is lost or the row is gone."""
    until = to_micros(now + SENDING_LEASE)
    moved = conn.execute(
        update(messages).where(_held(held), messages.c.status == "claimed").values(status="sending", lease_until=until)
    ).rowcount
    return Claim(message=held.message, until=until) if moved else None


def sent(conn: Connection, held: Claim, now: datetime) -> bool:
    """The receiver has it; True when written."""
    return _end(conn, _held(held), status="sent", reason=None, sent_at=to_micros(now))


def sent_after_all(conn: Connection, held: Claim, now: datetime) -> bool:
    """The same for a message that counted as unknown meanwhile, because its worker took too long; True when written."""
    late = and_(_is(_ref(held)), messages.c.status == "unknown")
    return _end(conn, late, status="sent", reason=None, sent_at=to_micros(now))


def retry(conn: Connection, held: Claim, due_at: datetime, reason: str, *, counted: bool = True) -> bool:
    """It surely was not handed over: back to the queue until `due_at`; `counted` adds to its attempts."""
    attempts = held.message.attempts + counted
    return _end(conn, _held(held), status="queued", reason=reason, due_at=to_micros(due_at), attempts=attempts)


def failed(conn: Connection, held: Claim, reason: str) -> bool:
    """Refused for good, or given up."""
    return _end(conn, _held(held), status="failed", reason=reason, attempts=held.message.attempts + 1)


def unknown(conn: Connection, held: Claim, reason: str) -> bool:
    """The answer was lost: it may have arrived, so it is not sent again."""
    return _end(conn, _held(held), status="unknown", reason=reason, attempts=held.message.attempts + 1)


def closed(conn: Connection, held: Claim, status: str, reason: str | None) -> bool:
    """A gate has closed since the decision: `skipped` with the gate's reason, or `expired`."""
    return _end(conn, _held(held), status=status, reason=reason)


def defer(conn: Connection, refs: Iterable[Ref], channel: str, now: datetime, due_at: datetime) -> int:
    """Puts off those that are due on a channel which is down; returns how many. Their attempts do not count."""
    return conn.execute(
        update(messages)
        .where(tuple_(messages.c.visitor_id, messages.c.id).in_(list(refs)))
        .where(messages.c.status == "queued", messages.c.channel == channel, messages.c.due_at <= to_micros(now))
        .values(due_at=to_micros(due_at))
    ).rowcount


def due_refs(conn: Connection, now: datetime, limit: int, grace: timedelta = timedelta(seconds=3)) -> list[Ref]:
    """Messages for workers that have been due for longer than `grace`: their bell got lost; oldest first."""
    rows = conn.execute(
        select(messages.c.visitor_id, messages.c.id)
        .where(LIVE, messages.c.status == "queued", _BY_WORKER, messages.c.due_at <= to_micros(now - grace))
        .order_by(messages.c.due_at)
        .limit(limit)
    )
    return [(row.visitor_id, row.id) for row in rows]


def count_open(conn: Connection, now: datetime) -> int:
    """How many messages are due for a worker, or in its hands."""
    due = or_(messages.c.status != "queued", messages.c.due_at <= to_micros(now))
    return conn.execute(select(func.count()).select_from(messages).where(LIVE, _BY_WORKER, due)).scalar_one()


def to_call_again(conn: Connection, since: datetime, until: datetime) -> list[Message]:
    """Messages for pages, created after `since` and up to `until`, that no page has shown yet."""
    query = (
        select(messages.c.visitor_id, messages.c.id)
        # By site, because that is how the index begins.
        .where(messages.c.site_id.in_(select(sites.c.id)))
        .where(messages.c.created_at > to_micros(since), messages.c.created_at <= to_micros(until))
        .where(messages.c.status == "queued", messages.c.channel.in_(sorted(ON_SITE)))
    )
    found = (get(conn, row.visitor_id, row.id) for row in conn.execute(query).all())
    return [message for message in found if message is not None]


def recover(conn: Connection, now: datetime, idempotent: Collection[str] = ()) -> tuple[int, list[Message]]:
    """Takes leases back from workers that died; returns how many were queued again, and those that are now unknown.

    What was only claimed goes back to the queue, and so does what was being sent on an `idempotent` channel. Dying
    counts as an attempt, so that a message which kills its worker comes to an end.
    """
    lapsed = and_(LIVE, messages.c.lease_until <= to_micros(now))
    safe = or_(messages.c.status == "claimed", messages.c.channel.in_(sorted(idempotent)))
    unclaimed = messages.c.status.in_(("claimed", "sending"))
    again = conn.execute(
        update(messages)
        .where(lapsed, unclaimed, safe)
        .values(status="queued", lease_until=None, attempts=messages.c.attempts + 1, reason="worker_lost")
    ).rowcount
    lost = conn.execute(
        update(messages)
        .where(lapsed, messages.c.status == "sending")
        .values(status="unknown", lease_until=None, attempts=messages.c.attempts + 1, reason="worker_lost")
        .returning(messages)
    )
    return again, [message_of(row) for row in lost]


def due_fallbacks(conn: Connection, now: datetime, limit: int) -> list[Ref]:
    """On-site messages that the page has not shown within their rule's `fallback_after`; oldest first."""
    rows = conn.execute(
        select(messages.c.visitor_id, messages.c.id)
        .where(LIVE, messages.c.status == "queued", messages.c.channel.in_(sorted(ON_SITE)))
        .where(messages.c.due_at <= to_micros(now), messages.c.expires_at > to_micros(now))
        .order_by(messages.c.due_at)
        .limit(limit)
    )
    return [(row.visitor_id, row.id) for row in rows]


def wait_for_page(conn: Connection, ref: Ref, until: datetime) -> None:
    """No other channel leads to the visitor: the page may still show it until it expires."""
    conn.execute(update(messages).where(_is(ref), messages.c.status == "queued").values(due_at=to_micros(until)))


def expire(conn: Connection, now: datetime) -> list[Message]:
    """Ends what waits for a page or a worker past its `expires_at`; returns it."""
    moment = to_micros(now)
    expired = conn.execute(
        update(messages)
        .where(LIVE, messages.c.status == "queued", messages.c.due_at <= moment, messages.c.expires_at <= moment)
        .values(status="expired", lease_until=None)
        .returning(messages)
    )
    return [message_of(row) for row in expired]


def _is(ref: Ref) -> ColumnElement[bool]:
    return and_(messages.c.visitor_id == ref[0], messages.c.id == ref[1])


def _ref(held: Claim) -> Ref:
    return held.message.visitor_id, held.message.id


def _held(held: Claim) -> ColumnElement[bool]:
    return and_(_is(_ref(held)), messages.c.status.in_(("claimed", "sending")), messages.c.lease_until == held.until)


def _end(conn: Connection, where: ColumnElement[bool], **values: Any) -> bool:
    return bool(conn.execute(update(messages).where(where).values(lease_until=None, **values)).rowcount)
