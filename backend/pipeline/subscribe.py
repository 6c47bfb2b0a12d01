"""The verb `subscribe`: an address is turned off or on again, for deliveries at once and for decisions as an event."""

from datetime import datetime

from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.unsubscribe import Subscription
from backend.runtime import Runtime
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import unsubscribes, visitor_lists
from backend.storage.database import Connection
from backend.storage.log import partition_of
from backend.storage.times import to_micros

MOST_VISITORS = 50
"""Visitors who can share an address and are all told of it."""


def unsubscribe(rt: Runtime, subscription: Subscription) -> None:
    """From now on nothing is sent to this address; its visitors' profiles learn it as the event `Unsubscribed`."""
    now = rt.clock()
    with rt.db.begin() as connection:
        fresh = unsubscribes.reason(connection, subscription, rt.sites.vault) is None
        unsubscribes.add(connection, subscription, unsubscribes.WISH, now, rt.sites.vault)
        owners = _owners(connection, subscription) if fresh else []
    _tell(rt, "Unsubscribed", subscription, owners, now)


def resubscribe(rt: Runtime, subscription: Subscription) -> None:
    """Takes it back, as the event `Subscribed`."""
    now = rt.clock()
    with rt.db.begin() as connection:
        unsubscribes.remove(connection, subscription, rt.sites.vault)
        owners = _owners(connection, subscription)
    _tell(rt, "Subscribed", subscription, owners, now)


def _owners(connection: Connection, subscription: Subscription) -> list[Profile]:
    return visitor_lists.find(connection, subscription.site_id, email=subscription.value, limit=MOST_VISITORS)


def _tell(rt: Runtime, name: str, subscription: Subscription, owners: list[Profile], now: datetime) -> None:
    header = wire.encode_header(Header(1, subscription.site_id, to_micros(now)))
    chunks: list[tuple[int, bytes, bytes]] = []
    for profile in owners:
        anonymous_id = None if profile.user_id or not profile.anonymous_ids else profile.anonymous_ids[-1]
        call = {
            "type": "track",
            "event": name,
            "messageId": derive(name, profile.id, subscription.value, now.isoformat()),
            "anonymousId": anonymous_id,
            "userId": profile.user_id,
            "properties": {"email": subscription.value},
        }
        key = anonymous_id or profile.user_id
        if key is not None:
            chunks.append((partition_of(key, rt.log.partitions), header, b"[%b]" % wire.encode_json(call)))
    if chunks:
        rt.log.append(chunks)
