"""Who does not want to be written to, and addresses that do not exist: per site, kind and value."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from backend.domain.unsubscribe import Subscription
from backend.storage import tombstones
from backend.storage.tables import unsubscribes
from backend.storage.times import from_micros, to_micros
from backend.storage.vault import Vault

WISH = "unsubscribed"
"""The person asked for it."""

REFUSED = "refused"
"""The receiving server says that there is no such mailbox."""


def add(conn: Connection, subscription: Subscription, reason: str, at: datetime, vault: Vault | None = None) -> bool:
    """Ends a subscription; True when something changed. The person's wish outweighs what a server said.

    With `vault`, the address of somebody who was erased is not written down again, but its keyed hash.
    """
    if vault is not None and _is_erased(conn, vault, subscription):
        subscription = _hidden(vault, subscription)
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


def hide(conn: Connection, vault: Vault, site_id: str, kind: str, values: Collection[str]) -> None:
    """Keeps of the ended subscriptions to these values a keyed hash: nobody reads them, and they stay ended."""
    for value in values:
        ended = Subscription(site_id=site_id, kind=kind, value=value)
        why = reason(conn, ended)
        if why is not None:
            at = from_micros(conn.execute(select(unsubscribes.c.at).where(_is(ended))).scalar_one())
            remove(conn, ended)
            add(conn, _hidden(vault, ended), why, at)


def remove(conn: Connection, subscription: Subscription, vault: Vault | None = None) -> bool:
    """Takes it up again; True when it had been ended. `vault` as in `reason`."""
    return bool(conn.execute(delete(unsubscribes).where(_is(subscription, vault))).rowcount)


def reason(conn: Connection, subscription: Subscription, vault: Vault | None = None) -> str | None:
    """Why nothing may be sent there: `WISH`, `REFUSED`, or None when it may.

    With `vault` the wishes of those are known too who were erased since.
    """
    found = conn.execute(select(unsubscribes.c.reason).where(_is(subscription, vault))).scalars().all()
    return WISH if WISH in found else next(iter(found), None)


def _is_erased(conn: Connection, vault: Vault, subscription: Subscription) -> bool:
    name = (subscription.kind, subscription.value)
    return bool(tombstones.find(conn, vault, {subscription.site_id: [name]})[subscription.site_id])


def _hidden(vault: Vault, subscription: Subscription) -> Subscription:
    digest = vault.tombstone(subscription.site_id, subscription.kind, subscription.value)
    return replace(subscription, value=f"#{digest}")


def _is(subscription: Subscription, vault: Vault | None = None) -> ColumnElement[bool]:
    values = [subscription.value, *(() if vault is None else (_hidden(vault, subscription).value,))]
    return and_(
        unsubscribes.c.site_id == subscription.site_id,
        unsubscribes.c.kind == subscription.kind,
        unsubscribes.c.value.in_(values),
    )
