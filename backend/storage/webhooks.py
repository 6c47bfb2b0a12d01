"""The webhooks: promises of requests, who is at them, until when, and what was answered.

    queued ──claim──▶ sending ──▶ delivered | failed | skipped
      ▲                  │ no clear answer, or the lease lapsed
      └──────────────────┘

Every step is one conditional UPDATE; `lease_until` is the fencing token. Unlike a message, a webhook whose answer got
lost is sent again: its id tells the receiver that it is the same one.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, text, tuple_, update

from backend.domain.webhook import GIVE_UP, Webhook
from backend.storage.bulk import delete_rows, insert_rows
from backend.storage.tables import merges, webhooks
from backend.storage.times import from_micros, maybe_from_micros, to_micros

LEASE = timedelta(minutes=2)
"""How long one try may take, the look-up of the name included."""

LIVE = text("status IN ('queued', 'sending')")
"""The condition of the partial index, literally: SQLite takes the index only for the same words."""

Ref = tuple[str, str]
"""A webhook's visitor id and id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A webhook that is ours until `until` (microseconds since 1970)."""

    webhook: Webhook
    until: int


def insert(connection: Connection, promised: Iterable[Webhook]) -> None:
    """Writes webhooks that were just promised; one that is there already stays as it is."""
    insert_rows(connection, webhooks, [_row(each) for each in promised], ignore=True)


def get(connection: Connection, ref: Ref) -> Webhook | None:
    """One webhook; None when there is none."""
    row = connection.execute(select(webhooks).where(_is(ref))).one_or_none()
    return None if row is None else _webhook(row)


def list_webhooks(
    connection: Connection,
    site_id: str,
    *,
    rule: str | None = None,
    hook: str | None = None,
    visitor_ids: Collection[str] | None = None,
    status: str | None = None,
    limit: int = 50,
    before: tuple[int, str] | None = None,
) -> list[Webhook]:
    """A site's webhooks, newest first; `before` is (created at in µs, id). What operators' browsers get is none."""
    query = select(webhooks).where(webhooks.c.site_id == site_id, webhooks.c.kind != "push")
    if rule is not None:
        query = query.where(webhooks.c.rule_id == rule)
    if hook is not None:
        query = query.where(webhooks.c.hook_id == hook)
    if visitor_ids is not None:
        query = query.where(webhooks.c.visitor_id.in_(list(visitor_ids)))
    if status is not None:
        query = query.where(webhooks.c.status == status)
    if before is not None:
        moment, last = before
        earlier = and_(webhooks.c.created_at == moment, webhooks.c.id < last)
        query = query.where(or_(webhooks.c.created_at < moment, earlier))
    query = query.order_by(webhooks.c.created_at.desc(), webhooks.c.id.desc()).limit(limit)
    return [_webhook(row) for row in connection.execute(query)]


def cursor_of(webhook: Webhook) -> tuple[int, str]:
    """Where `list_webhooks` goes on after this one."""
    return to_micros(webhook.created_at), webhook.id


def targets(connection: Connection, refs: Collection[Ref], now: datetime) -> list[tuple[Ref, str]]:
    """Those of these that are due, each with its target within its site."""
    rows = connection.execute(
        select(webhooks.c.visitor_id, webhooks.c.id, webhooks.c.site_id, webhooks.c.target)
        .where(_among(refs), webhooks.c.status == "queued", webhooks.c.due_at <= to_micros(now))
        .order_by(webhooks.c.due_at)
    )
    return [((row.visitor_id, row.id), f"{row.site_id} {row.target}") for row in rows]


def claim(connection: Connection, ref: Ref, now: datetime) -> Claim | None:
    """Takes a due webhook for this worker; None when it is not there to be taken."""
    until = to_micros(now + LEASE)
    taken = connection.execute(
        update(webhooks)
        .where(_is(ref), webhooks.c.status == "queued", webhooks.c.due_at <= to_micros(now))
        .values(status="sending", lease_until=until)
    ).rowcount
    webhook = get(connection, ref) if taken else None
    return None if webhook is None else Claim(webhook=webhook, until=until)


def delivered(connection: Connection, held: Claim, answered: int, now: datetime) -> bool:
    """The receiver has it; also where the lease was lost meanwhile: a clear answer is one. True when written."""
    webhook = held.webhook
    values = {"status": "delivered", "reason": None, "answered": answered, "ended_at": to_micros(now)}
    live = webhooks.c.status.in_(("queued", "sending"))
    return _end(connection, and_(_is(_ref(held)), live), attempts=webhook.attempts + 1, **values)


def again(connection: Connection, held: Claim, due_at: datetime, reason: str, answered: int | None) -> bool:
    """No clear answer: back to the queue until `due_at`."""
    values = {"status": "queued", "reason": reason, "answered": answered, "due_at": to_micros(due_at)}
    return _end(connection, _held(held), attempts=held.webhook.attempts + 1, **values)


def failed(connection: Connection, held: Claim, reason: str, answered: int | None, now: datetime) -> bool:
    """Refused for good, or given up."""
    values = {"status": "failed", "reason": reason, "answered": answered, "ended_at": to_micros(now)}
    return _end(connection, _held(held), attempts=held.webhook.attempts + 1, **values)


def skipped(connection: Connection, held: Claim, reason: str, now: datetime) -> bool:
    """A gate has closed since it was promised."""
    return _end(connection, _held(held), status="skipped", reason=reason, ended_at=to_micros(now))


def defer(connection: Connection, refs: Collection[Ref], due_at: datetime) -> int:
    """Puts off those that wait, because their target is down or busy; that is no attempt. Returns how many.

    One whose time would be over by then has failed.
    """
    waiting = and_(_among(refs), webhooks.c.status == "queued")
    moment = to_micros(due_at)
    connection.execute(
        update(webhooks)
        .where(waiting, webhooks.c.expires_at <= moment)
        .values(status="failed", reason=func.coalesce(webhooks.c.reason, "target_down"), ended_at=moment)
    )
    return connection.execute(update(webhooks).where(waiting).values(due_at=moment)).rowcount


def requeue(connection: Connection, ref: Ref, now: datetime) -> bool:
    """Begins anew with one that has not been delivered; False for one that was, or that is being sent."""
    moment = to_micros(now)
    return bool(
        connection.execute(
            update(webhooks)
            .where(_is(ref), webhooks.c.status.in_(("queued", "failed", "skipped")))
            .values(status="queued", attempts=0, due_at=moment, expires_at=to_micros(now + GIVE_UP), ended_at=None)
        ).rowcount
    )


def redirect(connection: Connection, site_id: str, hook_id: str, url: str, target: str) -> None:
    """Lets what a hook promised and nobody took yet go to another address."""
    connection.execute(
        update(webhooks)
        .where(webhooks.c.site_id == site_id, webhooks.c.hook_id == hook_id)
        .where(webhooks.c.status.in_(("queued", "failed", "skipped")))
        .values(url=url, target=target)
    )


def due_refs(connection: Connection, now: datetime, limit: int, grace: timedelta = timedelta(seconds=3)) -> list[Ref]:
    """Webhooks that have been due for longer than `grace`: a retry, or their bell got lost; oldest first."""
    rows = connection.execute(
        select(webhooks.c.visitor_id, webhooks.c.id)
        .where(LIVE, webhooks.c.status == "queued", webhooks.c.due_at <= to_micros(now - grace))
        .order_by(webhooks.c.due_at)
        .limit(limit)
    )
    return [(row.visitor_id, row.id) for row in rows]


def give(connection: Connection, visitor_id: str, enrolment_ids: Collection[str], to: str) -> None:
    """Makes what these enrolments promised that of another visitor; what is being sent stays where it is."""
    connection.execute(
        update(webhooks)
        .where(
            webhooks.c.visitor_id == visitor_id,
            webhooks.c.enrolment_id.in_(list(enrolment_ids)),
            webhooks.c.status != "sending",
        )
        .values(visitor_id=to)
    )


def remove_telling(connection: Connection, members: Collection[str], texts: Collection[str], since: datetime) -> None:
    """Removes these visitors' webhooks from `since` on in which one of these texts stands, as it is written in JSON."""
    if not texts:
        return
    told = (webhooks.c.url, webhooks.c.headers, webhooks.c.body)
    made = webhooks.c.visitor_id.in_(list(members)), webhooks.c.created_at >= to_micros(since)
    query = select(webhooks.c.visitor_id, webhooks.c.id, *told).where(*made)
    found = [tuple(row[:2]) for row in connection.execute(query) if any(text in part for text in texts for part in row)]
    delete_rows(connection, webhooks, found)


def remove_made(connection: Connection, members: Collection[str], since: datetime, until: datetime) -> None:
    """Removes all of these visitors' webhooks that were made between these moments."""
    made = webhooks.c.created_at.between(to_micros(since), to_micros(until))
    connection.execute(delete(webhooks).where(webhooks.c.visitor_id.in_(list(members)), made))


def find(connection: Connection, site_id: str, webhook_id: str) -> Ref | None:
    """Where the site's webhook with this id is: with whom it was promised to, or whom an undone merge gave it to."""
    promised_to = webhook_id.partition(".")[0]
    others = select(merges.c.member_id).where(merges.c.visitor_id == promised_to)
    holders = or_(webhooks.c.visitor_id == promised_to, webhooks.c.visitor_id.in_(others))
    query = select(webhooks.c.visitor_id).where(holders, webhooks.c.id == webhook_id, webhooks.c.site_id == site_id)
    found = connection.scalar(query)
    return None if found is None else (found, webhook_id)


def recover(connection: Connection, now: datetime) -> int:
    """Takes leases back from workers that died; that counts as an attempt. Returns how many."""
    return connection.execute(
        update(webhooks)
        .where(LIVE, webhooks.c.status == "sending", webhooks.c.lease_until <= to_micros(now))
        .values(status="queued", lease_until=None, attempts=webhooks.c.attempts + 1, reason="worker_lost")
    ).rowcount


def forget(connection: Connection, site_id: str, before: datetime, limit: int) -> int:
    """Removes up to `limit` webhooks, the oldest first, that came to their end before this moment; answers how many.

    Those that are under way stay, however old.
    """
    moment = to_micros(before)
    # By their promise, which is never later than the end: that is how the index is sorted. Said twice, because
    # PostgreSQL asks only the outer condition again when somebody has just begun anew with one of them.
    ended = and_(webhooks.c.status.not_in(("queued", "sending")), webhooks.c.ended_at < moment)
    oldest = (
        select(webhooks.c.visitor_id, webhooks.c.id)
        .where(webhooks.c.site_id == site_id, webhooks.c.created_at < moment, ended)
        .order_by(webhooks.c.created_at)
        .limit(limit)
    )
    key = tuple_(webhooks.c.visitor_id, webhooks.c.id)
    return connection.execute(delete(webhooks).where(key.in_(oldest), ended)).rowcount


def count_open(connection: Connection, now: datetime) -> int:
    """How many are due, or in a worker's hands."""
    due = or_(webhooks.c.status == "sending", webhooks.c.due_at <= to_micros(now))
    return connection.execute(select(func.count()).select_from(webhooks).where(LIVE, due)).scalar_one()


def _is(ref: Ref) -> ColumnElement[bool]:
    return and_(webhooks.c.visitor_id == ref[0], webhooks.c.id == ref[1])


def _among(refs: Collection[Ref]) -> ColumnElement[bool]:
    return tuple_(webhooks.c.visitor_id, webhooks.c.id).in_(list(refs))


def _ref(held: Claim) -> Ref:
    return held.webhook.visitor_id, held.webhook.id


def _held(held: Claim) -> ColumnElement[bool]:
    return and_(_is(_ref(held)), webhooks.c.status == "sending", webhooks.c.lease_until == held.until)


def _end(connection: Connection, where: ColumnElement[bool], **values: Any) -> bool:
    return bool(connection.execute(update(webhooks).where(where).values(lease_until=None, **values)).rowcount)


def _row(webhook: Webhook) -> tuple[Any, ...]:
    return (
        webhook.visitor_id,
        webhook.id,
        webhook.site_id,
        webhook.rule_id,
        webhook.enrolment_id,
        webhook.step,
        webhook.method,
        webhook.url,
        webhook.target,
        json.dumps(dict(webhook.headers)),
        json.dumps(webhook.body),  # ASCII, so that any text of a visitor's can be kept and sent
        webhook.status,
        webhook.reason,
        webhook.answered,
        webhook.attempts,
        to_micros(webhook.created_at),
        to_micros(webhook.expires_at),
        to_micros(webhook.due_at),
        None,
        None if webhook.ended_at is None else to_micros(webhook.ended_at),
        webhook.kind,
        webhook.hook_id,
    )


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        site_id=row.site_id,
        visitor_id=row.visitor_id,
        rule_id=row.rule_id,
        enrolment_id=row.enrolment_id,
        step=row.step,
        method=row.method,
        url=row.url,
        target=row.target,
        headers=json.loads(row.headers),
        body=json.loads(row.body),
        created_at=from_micros(row.created_at),
        expires_at=from_micros(row.expires_at),
        due_at=from_micros(row.due_at),
        status=row.status,
        reason=row.reason,
        answered=row.answered,
        attempts=row.attempts,
        ended_at=maybe_from_micros(row.ended_at),
        kind=row.kind,
        hook_id=row.hook_id,
    )
