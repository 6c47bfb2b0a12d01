"""The notices: in which browsers operators are called, who reads which site's mails, and when they were last sent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from backend.domain.conversation import Conversation
from backend.domain.notice import SELDOM, Subscription
from backend.storage.conversations import conversation_of
from backend.storage.tables import conversations, digests, memberships, operators, push_subscriptions
from backend.storage.times import from_micros, to_micros


def subscribe(connection: Connection, made: Subscription) -> None:
    """Notes where an operator wants to be called; whoever was called in that browser before is not any more."""
    remove(connection, made.site_id, made.id)
    connection.execute(
        push_subscriptions.insert().values(
            site_id=made.site_id,
            id=made.id,
            operator_id=made.operator_id,
            endpoint=made.endpoint,
            p256dh=made.p256dh,
            auth=made.auth,
            created_at=to_micros(made.created_at),
            session=made.session,
        )
    )


def remove(connection: Connection, site_id: str, subscription_id: str, operator_id: str | None = None) -> bool:
    """Takes a subscription away (with `operator_id`: only where it is theirs); False where there is none."""
    query = delete(push_subscriptions).where(*_is(site_id, subscription_id))
    if operator_id is not None:
        query = query.where(push_subscriptions.c.operator_id == operator_id)
    return connection.execute(query).rowcount > 0


def expired(connection: Connection, endpoint: str) -> None:
    """Takes away what a push service says is gone, on whatever site."""
    connection.execute(delete(push_subscriptions).where(push_subscriptions.c.endpoint == endpoint))


def session_over(connection: Connection, session: str) -> None:
    """Takes away what was subscribed in this login of the console."""
    connection.execute(delete(push_subscriptions).where(push_subscriptions.c.session == session))


def operator_out(connection: Connection, operator_id: str, but: str = "") -> None:
    """Takes away what an operator subscribed in logins, the one of this digest excepted: all others were ended."""
    session = push_subscriptions.c.session
    mine = push_subscriptions.c.operator_id == operator_id
    connection.execute(delete(push_subscriptions).where(mine, session.is_not(None), session != but))


def expire(connection: Connection, before: datetime) -> int:
    """Takes away what was subscribed in logins that began before this moment; returns how many."""
    old = push_subscriptions.c.created_at <= to_micros(before)
    return connection.execute(delete(push_subscriptions).where(push_subscriptions.c.session.is_not(None), old)).rowcount


def get(connection: Connection, site_id: str, subscription_id: str) -> Subscription | None:
    """A site's subscription whose operator may still be called: neither gone nor disabled."""
    query = _live(site_id).where(push_subscriptions.c.id == subscription_id)
    row = connection.execute(query).first()
    return None if row is None else _subscription(row)


def subscribed(connection: Connection, site_id: str, operator_id: str | None) -> list[Subscription]:
    """Where to call this operator, or (None) everybody who is a member of the site."""
    query = _live(site_id)
    if operator_id is not None:
        query = query.where(push_subscriptions.c.operator_id == operator_id)
    return [_subscription(row) for row in connection.execute(query)]


def is_member(connection: Connection, site_id: str, operator_id: str) -> bool:
    """Whether this operator works on this site."""
    query = select(operators.c.id).where(operators.c.id == operator_id, operators.c.disabled_at.is_(None))
    return connection.execute(query.where(_works_on(site_id, operators.c.id))).first() is not None


def overdue(connection: Connection, site_id: str, before: datetime, limit: int) -> list[Conversation]:
    """The site's open conversations whose visitors have waited since before this moment, the longest first."""
    waiting = conversations.c.waiting_since
    query = (
        select(conversations)
        .where(conversations.c.site_id == site_id, conversations.c.state == "open", waiting <= to_micros(before))
        .order_by(waiting, conversations.c.id)
        .limit(limit)
    )
    return [conversation_of(row) for row in connection.execute(query)]


def readers(connection: Connection, site_ids: Iterable[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Who works on each of these sites: (operator's id, name, mail address)."""
    query = (
        select(memberships.c.site_id, operators.c.id, operators.c.name, operators.c.email)
        .join(operators, operators.c.id == memberships.c.operator_id)
        .where(operators.c.disabled_at.is_(None))
        .order_by(operators.c.id)
    )
    found = connection.execute(query).all()
    told: dict[str, list[tuple[str, str, str]]] = {}
    for site_id in site_ids:
        reads = {row.id: (row.id, row.name, row.email) for row in found if row.site_id in (site_id, "")}
        told[site_id] = list(reads.values())
    return told


def told_until(connection: Connection, operator_ids: Iterable[str], now: datetime) -> dict[str, datetime | None]:
    """Of these operators those who may get a mail now, and up to when they were told of whoever waits too long."""
    wanted = list(operator_ids)
    rows = connection.execute(select(digests).where(digests.c.operator_id.in_(wanted))).all()
    known = {row.operator_id: row for row in rows}
    return {
        each: from_micros(known[each].told_until) if each in known else None
        for each in wanted
        if each not in known or known[each].tried_at <= to_micros(now - SELDOM)
    }


def take(connection: Connection, operator_id: str, now: datetime) -> bool:
    """Reserves this hour's mail to an operator for whoever asks; False where somebody else has."""
    moment = to_micros(now)
    mine = digests.c.operator_id == operator_id
    free = digests.c.tried_at <= to_micros(now - SELDOM)
    if connection.execute(update(digests).where(mine, free).values(tried_at=moment)).rowcount:
        return True
    if connection.execute(select(digests.c.operator_id).where(mine)).first() is not None:
        return False
    connection.execute(digests.insert().values(operator_id=operator_id, tried_at=moment, told_until=0))
    return True


def told(connection: Connection, operator_id: str, until: datetime) -> None:
    """Notes that an operator knows of everybody who had waited too long by this moment."""
    mine = digests.c.operator_id == operator_id
    connection.execute(update(digests).where(mine).values(told_until=to_micros(until)))


def give_back(connection: Connection, operator_id: str, tried_at: datetime) -> None:
    """Notes when the mail that did not go out may count as tried."""
    mine = digests.c.operator_id == operator_id
    connection.execute(update(digests).where(mine).values(tried_at=to_micros(tried_at)))


def _live(site_id: str) -> Any:
    return (
        select(push_subscriptions)
        .join(operators, operators.c.id == push_subscriptions.c.operator_id)
        .where(push_subscriptions.c.site_id == site_id, operators.c.disabled_at.is_(None))
        .where(_works_on(site_id, push_subscriptions.c.operator_id))
        .order_by(push_subscriptions.c.id)
    )


def _works_on(site_id: str, operator_id: Any) -> Any:
    here = or_(memberships.c.site_id == site_id, memberships.c.site_id == "")
    return select(memberships.c.operator_id).where(memberships.c.operator_id == operator_id, here).exists()


def _is(site_id: str, subscription_id: str) -> tuple[Any, Any]:
    return push_subscriptions.c.site_id == site_id, push_subscriptions.c.id == subscription_id


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        id=row.id,
        site_id=row.site_id,
        operator_id=row.operator_id,
        endpoint=row.endpoint,
        p256dh=row.p256dh,
        auth=row.auth,
        created_at=from_micros(row.created_at),
        session=row.session,
    )
