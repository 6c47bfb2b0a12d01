"""How an event is read from the log, and from its SQL row: time settled, ids as text, the sender's own JSON kept."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.domain.event import CALL_NAMES, NOTHING, SIGNAL, Event, make_event
from backend.schemas.wire import Header, LoggedEvent, decode_logged_event, decode_object

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""An event that claims to be older has no clock."""


SKEW_TOLERATED = 10_000_000
"""Microseconds by which a sender's clock may be off before its timestamps are corrected."""


def skew_of(sent_at: datetime | None, received_at: int) -> int | None:
    """Microseconds by which a sender's clock is behind ours, 0 within the tolerance; None where it does not tell."""
    if sent_at is None or sent_at.tzinfo is None:
        return None
    behind = received_at - (sent_at - _EPOCH) // timedelta(microseconds=1)
    return behind if abs(behind) > SKEW_TOLERATED else 0


def settle(told: datetime | None, received_at: datetime, skew: int) -> datetime:
    """When it happened: as sent, moved by `skew` microseconds where the sender's clock was off (see the contract)."""
    if told is None:
        return received_at
    try:
        if told.tzinfo is UTC:
            moment = told
        else:
            moment = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
        if skew:
            moment += timedelta(microseconds=skew)
    except OverflowError:
        return received_at
    return moment if EARLIEST <= moment <= received_at else received_at


def received_at_of(header: Header) -> datetime:
    """When the collector had the events of this chunk."""
    return _EPOCH + timedelta(microseconds=header.received_at)


def event_of(
    logged: LoggedEvent,
    header: Header,
    received_at: datetime,
    index: int,
    order: int,
    shared: Mapping[str, Any] | None,
) -> Event:
    """The event at `index` of a chunk; `shared` is the batch's context, `order` its place in the order of arrival."""
    context = logged.context or NOTHING
    skew = header.skew
    if skew is None and logged.sent_at is not None:
        skew = skew_of(logged.sent_at, header.received_at)
    told = logged.timestamp or logged.original_timestamp
    plain = told is not None and told.tzinfo is UTC and not skew and EARLIEST <= told <= received_at
    return _event(
        logged,
        header.kind or logged.type or "track",
        logged.message_id or (header.ids.get(index) if header.ids else None) or f"{order:x}",
        told if plain and told is not None else settle(told, received_at, skew or 0),
        received_at,
        order,
        {**shared, **context} if shared else context,
    )


def event_of_row(
    message_id: str, kind: str, timestamp: datetime, received_at: datetime, arrival: int, body: str
) -> Event:
    """The event of a row of `events`."""
    logged = decode_logged_event(body)
    return _event(logged, kind or "track", message_id, timestamp, received_at, arrival, logged.context or NOTHING)


def shared_context(header: Header) -> dict[str, Any] | None:
    """The context that all events of a batch have in common; None without one."""
    return decode_object(header.context) if header.context else None


def _event(
    logged: LoggedEvent,
    kind: str,
    message_id: str,
    timestamp: datetime,
    received_at: datetime,
    order: int,
    context: Mapping[str, Any],
) -> Event:
    properties: Mapping[str, Any] = logged.properties or NOTHING
    if kind == "track" or kind == SIGNAL:
        name = logged.event or ""
    else:
        name = CALL_NAMES.get(kind, kind)
        if kind in {"page", "screen"} and (logged.name or logged.category):
            told = {"name": logged.name, "category": logged.category}
            properties = {**{key: value for key, value in told.items() if value}, **properties}
    anonymous_id, user_id = logged.anonymous_id, logged.user_id
    return make_event(
        {
            "message_id": message_id,
            "name": name,
            "type": kind,
            "timestamp": timestamp,
            "received_at": received_at,
            "order": order,
            "anonymous_id": anonymous_id if anonymous_id.__class__ is str and anonymous_id else _id(anonymous_id),
            "user_id": None if user_id is None else _id(user_id),
            "properties": properties,
            "traits": logged.traits or NOTHING if kind == "identify" else NOTHING,
            "context": context,
            "previous_id": None if logged.previous_id is None else _id(logged.previous_id),
            "group_id": None if logged.group_id is None else _id(logged.group_id),
        }
    )


def _id(value: str | int | None) -> str | None:
    if value is None or value == "":
        return None
    return value if value.__class__ is str else str(value)
