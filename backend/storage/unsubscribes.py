"""Who does not want to be written to, and addresses that do not exist: per site, kind and value."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend.domain.unsubscribe import Subscription
from backend.storage.tables import unsubscribes
from backend.storage.times import to_micros

WISH = "unsubscribed"
"""The person asked for it."""

REFUSED = "refused"
"""The receiving server says that there is no such mailbox."""


def add(conn: Connection, subscription: Subscription, reason: str, at: datetime) -> bool:
    """Ends a subscription; True when something changed. The person's wish outweighs what a server said."""
    insert = sqlite_insert if conn.dialect.name == "sqlite" else postgres_insert
    statement = insert(unsubscribes).values(
        site_id=subscription.site_id,
        kind=subscription.kind,
        value=subscription.value,
        reason=reason,
        at=to_micros(at),
    )
    statement = statement.on_conflict_do_update(
        index_elements=[unsubscribes.c.site_id, unsubscribes.c.kind, unsubscribes.c.value],
        set_={"reason": statement.excluded.reason, "at": statement.excluded.at},
        where=and_(unsubscribes.c.reason != WISH, statement.excluded.reason == WISH),
    )
    return bool(conn.execute(statement).rowcount)


def remove(conn: Connection, subscription: Subscription) -> bool:
    """Takes it up again; True when it had been ended."""
    return bool(conn.execute(delete(unsubscribes).where(_is(subscription))).rowcount)


def reason(conn: Connection, subscription: Subscription) -> str | None:
    """Why nothing may be sent there: `WISH`, `REFUSED`, or None when it may."""
    return conn.execute(select(unsubscribes.c.reason).where(_is(subscription))).scalar_one_or_none()


def _is(subscription: Subscription) -> ColumnElement[bool]:
    return and_(
        unsubscribes.c.site_id == subscription.site_id,
        unsubscribes.c.kind == subscription.kind,
        unsubscribes.c.value == subscription.value,
    )
