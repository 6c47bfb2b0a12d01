"""What happens to events that were set aside: they are listed, tried again, or dropped, by a person's hand."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from backend.runtime import Runtime
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import dead
from backend.storage.dead import DeadEvent
from backend.storage.log import partition_of
from backend.storage.times import to_micros

AT_ONCE = 500


class _Whole(msgspec.Struct):
    """An entire entry, as it lay in the log."""

    header: bytes
    events: bytes


class _One(msgspec.Struct, rename="camel"):
    """What putting one event back needs to know of it."""

    anonymous_id: str | int | None = None
    user_id: str | int | None = None
    message_id: str | None = None
    received_at: datetime | None = None


def list_dead(rt: Runtime, limit: int = 100) -> list[DeadEvent]:
    """The oldest events that were set aside."""
    with rt.db.read() as connection:
        return dead.fetch(connection, limit)


def retry(rt: Runtime, ids: Collection[str] | None = None) -> int:
    """Puts events (all, or these) into the log again; returns how many. What cannot be read at all stays.

    They keep their message ids, so one that took effect meanwhile does not count twice.
    """
    with rt.db.read() as connection:
        left = dead.count(connection)
    done, last = 0, None
    while left > 0:
        with rt.db.read() as connection:
            found = dead.fetch(connection, min(AT_ONCE, left), ids, after=last)
        if not found:
            break
        left, last = left - len(found), found[-1]
        chunks = {each.id: chunk for each in found if (chunk := _chunk(each, rt.log.partitions)) is not None}
        if chunks:
            rt.log.append(list(chunks.values()))
            with rt.db.begin() as connection:
                done += dead.remove(connection, list(chunks))
    return done


def drop(rt: Runtime, ids: Collection[str]) -> int:
    """Forgets events for good; returns how many."""
    with rt.db.begin() as connection:
        return dead.remove(connection, ids)


def _chunk(each: DeadEvent, partitions: int) -> tuple[int, bytes, bytes] | None:
    payload = each.payload.encode()
    try:
        if each.site_id is None:
            entry = msgspec.json.decode(payload, type=_Whole)
            return each.partition, entry.header, entry.events
        told = msgspec.json.decode(payload, type=_One)
        wire.decode_logged_event(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    ids = None if told.message_id else {0: each.id}
    received_at = to_micros(told.received_at or each.created_at)
    header = Header(1, each.site_id, received_at, skew=0, ids=ids)
    key = str(told.anonymous_id or told.user_id)
    return partition_of(key, partitions), wire.encode_header(header), b"[%b]" % payload
