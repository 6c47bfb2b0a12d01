"""The step `arrive`: entries of the log become events, each with its site and its place in the order of arrival."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from backend.domain.event import Event
from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.schemas import wire
from backend.schemas.event import event_of, shared_context
from backend.storage.dead import DeadEvent
from backend.storage.log import Entry, order

VERSION = 1
_INDEX_BITS = 12
_SEQUENCE_BITS = 8


@dataclass(frozen=True, slots=True)
class Arrived:
    """One event out of the log; `visitor_id` is whom its ids name, before any link is followed."""

    site_id: str
    visitor_id: str
    event: Event
    body: str
    partition: int
    entry: str


def arrive(entries: Iterable[Entry], now: datetime) -> tuple[list[Arrived], list[DeadEvent]]:
    """The events of these entries, and those that cannot be read, with the reason."""
    arrived: list[Arrived] = []
    dead: list[DeadEvent] = []
    for entry in entries:
        if not entry.header:
            continue
        try:
            arrived.extend(_events(entry))
        except (msgspec.MsgspecError, ValueError, KeyError, RecursionError) as error:
            dead.append(whole(entry, str(error), now))
    return arrived, dead


def whole(entry: Entry, reason: str, now: datetime) -> DeadEvent:
    """An entire entry set aside."""
    return DeadEvent(
        id=derive("dead", str(entry.partition), entry.id),
        site_id=None,
        partition=entry.partition,
        entry=entry.id,
        reason=reason,
        payload=_text(entry),
        created_at=now,
    )


def one(arrived: Arrived, reason: str, now: datetime) -> DeadEvent:
    """One event of an entry set aside."""
    return DeadEvent(
        id=derive("dead", str(arrived.partition), arrived.entry, str(arrived.event.order)),
        site_id=arrived.site_id,
        partition=arrived.partition,
        entry=arrived.entry,
        reason=reason,
        payload=arrived.body,
        created_at=now,
    )


def _events(entry: Entry) -> list[Arrived]:
    header = wire.decode_header(entry.header)
    if header.version != VERSION:
        raise ValueError(f"Version {header.version} of the log is not known here.")
    shared = shared_context(header)
    milliseconds, sequence = order(entry.id)
    base = milliseconds << (_INDEX_BITS + _SEQUENCE_BITS) | (sequence & 0xFF) << _INDEX_BITS
    site_id = header.site_id
    found: list[Arrived] = []
    raws = wire.decode_raws(entry.events)
    for index, (logged, raw) in enumerate(zip(wire.decode_logged(entry.events), raws, strict=True)):
        event = event_of(logged, header, index, base | index, shared)
        if event.user_id is not None:
            visitor_id = known_visitor(site_id, event.user_id)
        else:
            visitor_id = anonymous_visitor(site_id, event.anonymous_id or "")
        body = bytes(raw).decode() if not shared else _with_context(bytes(raw), event)
        found.append(Arrived(site_id, visitor_id, event, body, entry.partition, entry.id))
    return found


def _with_context(raw: bytes, event: Event) -> str:
    return wire.encode_json({**wire.decode_object(raw), "context": event.context}).decode()


def _text(entry: Entry) -> str:
    return entry.events.decode("utf-8", "replace").replace("\0", "�")
