"""How events are written on the way in and in the log: msgspec shapes, since the collector's path is hot.

The shapes follow Segment's HTTP Tracking API. Limits are part of the types, so that they are checked while decoding:
ids of 100 characters, names of 255, objects of 250 keys of 128 characters, strings of 8,192, integers within ±2^53,
nesting of 12.
"""

import re
from datetime import datetime
from typing import Annotated, Any, NewType

import msgspec
from msgspec import Meta, Raw, Struct

EVENT_BYTES = 32 * 1024
REQUEST_BYTES = 500 * 1024
BATCH_EVENTS = 2_500
DEPTH = 12

Id = Annotated[str, Meta(max_length=100)]
Number = Annotated[int, Meta(ge=-(2**53), le=2**53)]
AnyId = Id | Number | None
Name = Annotated[str, Meta(max_length=255)]
Key = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=8_192)]
KEYS = Meta(max_length=250)


def _nested(depth: int) -> Any:
    """A JSON value that nests at most `depth` containers: objects and arrays.

    Each level has a name: whoever walks through the type would else meet the innermost 2^depth times, which took a
    quarter of a second at every start.
    """
    make: Any = NewType
    value: Any = Text | Number | float | bool | None
    for level in range(depth):
        inner: Any = make(f"Level{level}", value)
        value = Text | Number | float | bool | None | list[inner] | Annotated[dict[Key, inner], KEYS]
    return value


Object: Any = Annotated[dict[Key, _nested(DEPTH - 2)], KEYS]  # type: ignore[misc]


class EventIn(Struct, rename="camel", gc=False):
    """One call as a sender writes it; unknown fields are kept in the log but not looked at.

    RudderStack's libraries write `originalTimestamp` where Segment's write `timestamp`.
    """

    type: Name | None = None
    event: Name | None = None
    anonymous_id: AnyId = None
    user_id: AnyId = None
    message_id: Id | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: Object | None = None
    traits: Object | None = None
    context: Object | None = None
    previous_id: AnyId = None
    group_id: AnyId = None
    name: Name | None = None
    category: Name | None = None
    write_key: Name | None = None


class BatchIn(Struct, rename="camel"):
    """A batch, its events still raw so that a bad one costs none of its neighbours."""

    batch: list[Raw]
    write_key: Name | None = None
    sent_at: datetime | None = None
    context: Raw = Raw()


class Header(Struct, array_like=True):
    """What all events of one chunk in the log have in common; moments in microseconds since 1970 UTC.

    `skew` is added to their timestamps, None where the request had no `sentAt` (then each event's own counts);
    `kind` is their type where the path told it; `ids` are the message ids that the collector gave, by index; `context`
    is the batch's own, as raw JSON text; `objects`: the browser sent a privacy signal that the site honours.
    """

    version: int
    site_id: str
    received_at: int
    skew: int | None = None
    kind: str | None = None
    ids: dict[int, str] | None = None
    context: str | None = None
    objects: bool = False


class LoggedEvent(Struct, rename="camel", gc=False):
    """An event as it lies in the log: checked already, so nothing is checked again."""

    type: str | None = None
    event: str | None = None
    anonymous_id: str | int | None = None
    user_id: str | int | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    original_timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    previous_id: str | int | None = None
    group_id: str | int | None = None
    name: str | None = None
    category: str | None = None


class Rejection(Struct, rename="camel"):
    """Why one event of a request was not accepted."""

    index: int
    message_id: str | None
    code: str
    message: str


class Receipt(Struct, rename="camel"):
    """The answer to a request: how many events lie in the log now, and which do not."""

    success: bool
    accepted: int
    rejected: list[Rejection]


class _Loose(Struct, rename="camel"):
    message_id: Any = None


decode_event = msgspec.json.Decoder(EventIn).decode
decode_events = msgspec.json.Decoder(list[EventIn]).decode
decode_batch = msgspec.json.Decoder(BatchIn).decode
decode_header = msgspec.msgpack.Decoder(Header).decode
decode_logged = msgspec.json.Decoder(list[LoggedEvent]).decode
decode_logged_event = msgspec.json.Decoder(LoggedEvent).decode
decode_raws = msgspec.json.Decoder(list[Raw]).decode
decode_object = msgspec.json.Decoder(dict[str, Any]).decode
decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
encode_header = msgspec.msgpack.Encoder().encode
encode_json = msgspec.json.Encoder().encode
_MESSAGE_ID = re.compile(rb'"messageId"\s*:\s*"([ !#-\[\]-~]{1,100})"')
_decode_loose = msgspec.json.Decoder(_Loose).decode


def message_id_of(raw: bytes) -> str | None:
    """The message id of an event that is otherwise not readable, for the report; None where that fails too."""
    try:
        found = _decode_loose(raw).message_id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        told = _MESSAGE_ID.search(raw)
        return told[1].decode() if told else None
    return found[:100] if isinstance(found, str) else None
