"""The step `arrive`: entries of the log become events, each with its site and its place in the order of arrival."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import Raw

from backend.domain.event import Event
from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.schemas import wire
from backend.schemas.event import event_of, received_at_of, shared_context
from backend.schemas.wire import Header, LoggedEvent
from backend.storage.dead import DeadEvent
from backend.storage.events import EventRow, row_of
from backend.storage.log import Entry, order

VERSION = 1
UNREADABLE = (msgspec.MsgspecError, ValueError, KeyError, RecursionError)
_INDEX_BITS = 12
_PARTITION_BITS = 4
_SEQUENCE_BITS = 6
_BEGINNING = 1_577_836_800_000
"""Milliseconds of 2020: counted from there, an order fits into 63 bits until 2089."""


@dataclass(slots=True)
class Arrived:
    """One event out of the log; `visitor_id` is whom its ids name, before any link is followed.

    `objects`: it came with a privacy signal of the browser that the site honours. `key` is a hash of its site and its
    message id, `row` its row in SQL, made ahead by whoever reads the log while the database works; None where
    something of it is believed otherwise than it was sent.
    """

    site_id: str
    visitor_id: str
    event: Event
    body: str
    partition: int
    entry: str
    objects: bool = False
    key: int = 0
    row: EventRow | None = None


def arrive(entries: Iterable[Entry], now: datetime) -> tuple[list[Arrived], list[DeadEvent]]:
    """The events of these entries, and those that cannot be read, with the reason."""
    arrived: list[Arrived] = []
    dead: list[DeadEvent] = []
    for entry in entries:
        if not entry.header:
            continue
        try:
            header = _header(entry)
            shared = shared_context(header)
            raws = wire.decode_raws(entry.events)
        except UNREADABLE as error:
            dead.append(whole(entry, str(error), now))
            continue
        logged: Sequence[LoggedEvent | None]
        try:
            logged = wire.decode_logged(entry.events)
        except UNREADABLE:
            logged = [_lone(entry, header, index, raw, now, dead) for index, raw in enumerate(raws)]
        base, received_at = _base(entry), received_at_of(header)
        site_id, partition, entry_id, objects = header.site_id, entry.partition, entry.id, header.objects
        for index, (each, raw) in enumerate(zip(logged, raws, strict=True)):
            if each is None:
                continue
            event = event_of(each, header, received_at, index, base | index, shared)
            if event.user_id is not None:
                visitor_id = known_visitor(site_id, event.user_id)
            else:
                visitor_id = anonymous_visitor(site_id, event.anonymous_id or "")
            body = bytes(raw).decode() if shared is None else _with(bytes(raw), context=event.context)
            key, row = hash((site_id, event.message_id)), row_of(visitor_id, site_id, event, body)
            arrived.append(Arrived(site_id, visitor_id, event, body, partition, entry_id, objects, key, row))
    return arrived, dead


def whole(entry: Entry, reason: str, now: datetime) -> DeadEvent:
    """An entire entry set aside: header and events as they lay in the log, in base64."""
    return DeadEvent(
        id=derive("dead", str(entry.partition), entry.id),
        site_id=None,
        partition=entry.partition,
        entry=entry.id,
        reason=reason,
        payload=wire.encode_json({"header": entry.header, "events": entry.events}).decode(),
        created_at=now,
    )


def one(arrived: Arrived, reason: str, now: datetime) -> DeadEvent:
    """One event of an entry set aside, with what the entry's header said of it written into it."""
    return DeadEvent(
        id=derive("dead", str(arrived.partition), arrived.entry, str(arrived.event.order)),
        site_id=arrived.site_id,
        partition=arrived.partition,
        entry=arrived.entry,
        reason=reason,
        payload=_settled(arrived),
        created_at=now,
    )


def _header(entry: Entry) -> Header:
    header = wire.decode_header(entry.header)
    if header.version != VERSION:
        raise ValueError(f"Version {header.version} of the log is not known here.")
    return header


def _base(entry: Entry) -> int:
    """The order of arrival of an entry's first event; it differs between partitions, so that a repetition is known."""
    milliseconds, sequence = order(entry.id)
    place = (milliseconds - _BEGINNING) << _SEQUENCE_BITS | sequence & ((1 << _SEQUENCE_BITS) - 1)
    place = place << _PARTITION_BITS | entry.partition & ((1 << _PARTITION_BITS) - 1)
    return place << _INDEX_BITS


def _lone(
    entry: Entry, header: Header, index: int, raw: Raw, now: datetime, dead: list[DeadEvent]
) -> LoggedEvent | None:
    """One event of an entry of which some cannot be read; None when it is this one."""
    try:
        return wire.decode_logged_event(raw)
    except UNREADABLE as error:
        dead.append(
            DeadEvent(
                id=derive("dead", str(entry.partition), entry.id, str(_base(entry) | index)),
                site_id=header.site_id,
                partition=entry.partition,
                entry=entry.id,
                reason=str(error),
                payload=bytes(raw).decode("utf-8", "replace"),
                created_at=now,
            )
        )
        return None


def _settled(arrived: Arrived) -> str:
    event = arrived.event
    return _with(
        arrived.body.encode(),
        type=event.type,
        message_id=event.message_id,
        timestamp=event.timestamp,
        received_at=event.received_at,
    )


def _with(raw: bytes, **fields: object) -> str:
    """The sender's JSON with some fields replaced; all others stay as they are, unread."""
    names = {"message_id": "messageId", "received_at": "receivedAt"}
    told = {names.get(key, key): value for key, value in fields.items()}
    return wire.encode_json({**wire.decode_fields(raw), **told}).decode()
