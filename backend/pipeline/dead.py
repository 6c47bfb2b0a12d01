"""What happens to events that were set aside: they are listed, tried again, or dropped, by a person's hand."""

from collections.abc import Collection

from backend.runtime import Runtime
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import dead
from backend.storage.dead import DeadEvent
from backend.storage.log import partition_of
from backend.storage.times import to_micros

AT_ONCE = 500


def list_dead(rt: Runtime, limit: int = 100) -> list[DeadEvent]:
    """The oldest events that were set aside."""
    with rt.db.read() as connection:
        return dead.fetch(connection, limit)


def retry(rt: Runtime, ids: Collection[str] | None = None) -> int:
    """Puts events (all, or these) into the log again; returns how many.

    They keep their message ids, so one that took effect meanwhile does not count twice.
    """
    done = 0
    while True:
        with rt.db.read() as connection:
            found = [each for each in dead.fetch(connection, AT_ONCE, ids) if each.site_id is not None]
        if not found:
            return done
        rt.log.append([_chunk(each, rt.log.partitions) for each in found])
        with rt.db.begin() as connection:
            done += dead.remove(connection, [each.id for each in found])
        if ids is not None:
            return done


def drop(rt: Runtime, ids: Collection[str]) -> int:
    """Forgets events for good; returns how many."""
    with rt.db.begin() as connection:
        return dead.remove(connection, ids)


def _chunk(each: DeadEvent, partitions: int) -> tuple[int, bytes, bytes]:
    payload = each.payload.encode()
    logged = wire.decode_logged_event(payload)
    key = str(logged.anonymous_id or logged.user_id)
    ids = None if logged.message_id else {0: each.id}
    header = Header(1, each.site_id or "", to_micros(each.created_at), ids=ids)
    return partition_of(key, partitions), wire.encode_header(header), b"[%b]" % payload
