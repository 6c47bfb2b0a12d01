"""How is it going? What waits in the log, in the queue and for its time; and whether a write would be accepted."""

from msgspec import MsgspecError

from backend.runtime import Runtime
from backend.schemas import wire
from backend.storage import dead, deliveries, enrolments, partitions, webhooks
from backend.storage.log import Entry

COUNTED = 1_000
"""Entries of each partition whose events are counted; beyond that the average goes on."""


def status(rt: Runtime) -> dict[str, int]:
    """`pending_events` is 0 when every accepted event has been folded and decided on."""
    now = rt.clock()
    with rt.db.read() as connection:
        offsets = partitions.offsets(connection, rt.log.partitions)
        found = {
            "due_timers": enrolments.count_due(connection, now),
            "waiting_timers": enrolments.count_waiting(connection),
            "dead_events": dead.count(connection),
            "pending_jobs": deliveries.count_open(connection, now) + webhooks.count_open(connection, now),
        }
    pending = 0
    for partition, offset in offsets.items():
        entries = rt.log.entries_after(partition, offset, COUNTED)
        counted = sum(_events_in(entry) for entry in entries if entry.header)
        if len(entries) == COUNTED:
            counted = counted * max(rt.log.length(partition), COUNTED) // COUNTED
        pending += counted
    return {"pending_events": pending, **found, "log_bytes": rt.log.size(), "partitions": rt.log.partitions}


def _events_in(entry: Entry) -> int:
    try:
        return len(wire.decode_raws(entry.events))
    except (MsgspecError, ValueError, RecursionError):
        return 1  # whatever it is, it waits


def ready(rt: Runtime) -> None:
    """Returns when an event would be accepted and the database answers; raises `Unavailable` otherwise."""
    rt.log.probe()
    rt.db.ping()
