"""The step `collect`: a request's body becomes checked chunks in the log, one a partition, and a receipt."""

import re
import zlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from backend.domain.event import CALL_NAMES
from backend.domain.secrets import clean, suspicious
from backend.errors import Invalid, Malformed, TooLarge
from backend.pipeline.faults import point
from backend.schemas import wire
from backend.schemas.event import skew_of
from backend.schemas.misread import misread
from backend.schemas.salvage import depth_of, salvage
from backend.schemas.wire import BatchIn, EventIn, Header, Receipt, Rejection
from backend.storage.log import Log, partition_of
from backend.storage.times import to_micros

UNREAD_DEPTH = 64
"""How deep fields may nest that nobody here looks at; whoever reads the event later must be able to pass over them."""

PLAIN_DEPTH = 512
"""Brackets in a whole batch up to which none of its events can nest so deep that reading it takes harm."""

TYPES = frozenset({"track", *CALL_NAMES})
NUL = b"\\u0000"
ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The character, not a backslash followed by `u0000`."""


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """The body without its gzip; raises `TooLarge` above 500 KB either way, `Malformed` when it cannot be unpacked."""
    if len(body) > wire.REQUEST_BYTES:
        raise TooLarge("A request may have 500 KB.")
    if not encoding or encoding == "identity":
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise Malformed(f"Content-Encoding {encoding[:40]!r} is not known here; use gzip or none.")
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(body, wire.REQUEST_BYTES + 1)
    except zlib.error as error:
        raise Malformed("The body is not gzip.") from error
    if len(plain) > wire.REQUEST_BYTES:
        raise TooLarge("A request may have 500 KB, unpacked.")
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("The gzip body is cut short, or has something behind it.")
    return plain


def read_single(body: bytes, kind: str) -> EventIn:
    """The one event of `/v1/track` and its like; raises `Malformed`, `TooLarge` or `Invalid`."""
    _check_text(body)
    if len(body) > wire.EVENT_BYTES:
        raise TooLarge("An event may have 32 KB.")
    try:
        event = wire.decode_event(body)
    except msgspec.ValidationError as error:
        raise Malformed(misread(error), code="invalid_event") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(misread(error, body)) from error
    event.type = kind
    reason = _refusal(event, body, closely=True)
    if reason is not None:
        raise Malformed(reason[1], code=reason[0])
    return event


def read_batch(body: bytes) -> BatchIn:
    """The envelope of a batch, its events still raw; raises `Malformed`, `TooLarge` or `Invalid`."""
    _check_text(body)
    try:
        batch = wire.decode_batch(body)
    except (msgspec.DecodeError, RecursionError) as error:
        salvaged = None if isinstance(error, msgspec.ValidationError) else salvage(body)
        if salvaged is None:
            raise Malformed(misread(error, body)) from error
        batch = salvaged
    if len(batch.batch) > wire.BATCH_EVENTS:
        raise TooLarge("A batch may have 2,500 events.")
    if batch.context:
        _check_context(bytes(batch.context))
    return batch


def collect_single(
    log: Log,
    site_id: str,
    received_at: datetime,
    event: EventIn,
    body: bytes,
    *,
    objects: bool = False,
    hide: Collection[str] = (),
    forms: Collection[str] | None = None,
) -> Receipt:
    """Puts one event into the log; when this returns, it will not be lost.

    `objects`: the browser sent a privacy signal that the site honours; `hide` are its `hide_query`, `forms` the form
    fields whose values it lets a page tell (None: any).
    """
    if suspicious(event.event, (event.properties, event.traits), event.context, hide):
        body = _cleaned(body, hide, forms)
    ids = {0: uuid4().hex} if not event.message_id else None
    header = _header(site_id, received_at, event.sent_at, event.type, ids, None, objects)
    _append(log, [(partition_of(_key(event), log.partitions), wire.encode_header(header), b"[%b]" % body)])
    return Receipt(True, 1, [])


def collect_batch(
    log: Log,
    site_id: str,
    received_at: datetime,
    batch: BatchIn,
    *,
    objects: bool = False,
    hide: Collection[str] = (),
    forms: Collection[str] | None = None,
) -> Receipt:
    """Puts the good events of a batch into the log, and says of each of the others what is wrong with it.

    `objects`, `hide` and `forms` as in `collect_single`.
    """
    raws: list[msgspec.Raw | bytes] = [*batch.batch]
    joined = _joined(raws)
    events, rejected = _checked(raws, joined)
    if _clean(events, raws, hide, forms):
        joined = _joined(raws)
    chunks: dict[int, list[int]] = {}
    for index, event in enumerate(events):
        if event is not None:
            chunks.setdefault(partition_of(_key(event), log.partitions), []).append(index)
    if chunks:
        context = _context(batch, hide)
        records: list[tuple[int, bytes, bytes]] = []
        for partition, indexes in chunks.items():
            ids = {
                place: uuid4().hex
                for place, index in enumerate(indexes)
                if (event := events[index]) is not None and not event.message_id
            }
            header = _header(site_id, received_at, batch.sent_at, None, ids or None, context, objects)
            whole = len(indexes) == len(raws)  # a page's batch is one visitor's: nothing to take apart
            body = joined if whole else _joined([raws[index] for index in indexes])
            records.append((partition, wire.encode_header(header), body))
        _append(log, records)
    return Receipt(True, len(raws) - len(rejected), rejected)


def _context(batch: BatchIn, hide: Collection[str]) -> str | None:
    context = bytes(batch.context)
    if not context or context == b"null":
        return None
    return _cleaned(b'{"context":%b}' % context, hide)[len(b'{"context":') : -1].decode()


def _clean(
    events: Sequence[EventIn | None],
    raws: list[msgspec.Raw | bytes],
    hide: Collection[str],
    forms: Collection[str] | None,
) -> bool:
    """Takes out of these events what must not be kept; whether anything was."""
    found = False
    for index, event in enumerate(events):
        if event is not None and suspicious(event.event, (event.properties, event.traits), event.context, hide):
            before = bytes(raws[index])
            raws[index] = after = _cleaned(before, hide, forms)
            found = found or after is not before
    return found


def _cleaned(raw: bytes, hide: Collection[str], forms: Collection[str] | None = None) -> bytes:
    """The sender's JSON without what must not be kept; the very same where nothing had to go."""
    told = wire.decode_object(raw)
    cleaned = clean(told, hide, forms)
    return raw if cleaned == told else wire.encode_json(cleaned)


def _joined(raws: Sequence[msgspec.Raw | bytes]) -> bytes:
    return b"[" + b",".join(raws) + b"]"


def _append(log: Log, chunks: list[tuple[int, bytes, bytes]]) -> None:
    point("before_append")
    log.append(chunks)
    point("after_append")


def _checked(raws: Sequence[msgspec.Raw | bytes], joined: bytes) -> tuple[list[EventIn | None], list[Rejection]]:
    """Each event, or None beside a rejection. The whole batch is decoded in one go where nothing is wrong with it."""
    rejected: list[Rejection] = []
    events: list[EventIn | None]
    try:
        events = [*wire.decode_events(joined)]
    except (msgspec.DecodeError, RecursionError):
        events = [_decoded(index, bytes(raw), rejected) for index, raw in enumerate(raws)]
    closely = NUL in joined or joined.count(b"[") + joined.count(b"{") > PLAIN_DEPTH
    for index, event in enumerate(events):
        if event is None:
            continue
        reason = _refusal(event, raws[index], closely)
        if reason is not None:
            rejected.append(Rejection(index, event.message_id, reason[0], reason[1]))
            events[index] = None
    rejected.sort(key=lambda each: each.index)
    return events, rejected


def _decoded(index: int, raw: bytes, rejected: list[Rejection]) -> EventIn | None:
    try:
        return wire.decode_event(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        rejected.append(Rejection(index, wire.message_id_of(raw), "invalid_event", misread(error)))
        return None


def _refusal(event: EventIn, raw: Any, closely: bool) -> tuple[str, str] | None:
    """Why an event that could be read is not accepted, as code and sentence; None when it is.

    `closely`: its text is looked at too, because something in the request calls for it.
    """
    kind = event.type
    if kind not in TYPES:
        return "invalid_type", f"`type` must be one of {', '.join(sorted(TYPES))}."
    if not event.anonymous_id and not event.user_id:
        return "no_user_anon_id", "`anonymousId` or `userId` is required."
    if kind == "track" and not event.event:
        return "no_event_name", "`event` is required in a track call."
    if kind == "alias" and not (event.previous_id and event.user_id):
        return "no_previous_id", "`previousId` and `userId` are required in an alias call."
    if kind == "group" and not event.group_id:
        return "no_group_id", "`groupId` is required in a group call."
    if len(raw) > wire.EVENT_BYTES:
        return "too_large", "An event may have 32 KB."
    if not closely:
        return None
    text = bytes(raw)
    if _holds_nul(text):
        return "invalid_text", "Text may not hold the character NUL."
    if text.count(b"[") + text.count(b"{") > UNREAD_DEPTH and depth_of(text) > UNREAD_DEPTH:
        return "too_deep", "The JSON nests too deep."
    return None


def _holds_nul(text: bytes) -> bool:
    return NUL in text and ESCAPED_NUL.search(text) is not None


def _check_text(body: bytes) -> None:
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Malformed("The body is not UTF-8.") from error


def _check_context(raw: bytes) -> None:
    if len(raw) > wire.EVENT_BYTES:
        raise TooLarge("A batch's context may have 32 KB.")
    try:
        wire.decode_event(b'{"context":%b}' % raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(misread(error), {"context": [misread(error)]}, status=400) from error
    if _holds_nul(raw):
        raise Invalid("Text may not hold the character NUL.", {"context": ["Holds the character NUL."]}, status=400)


def _header(
    site_id: str,
    received_at: datetime,
    sent_at: datetime | None,
    kind: str | None,
    ids: dict[int, str] | None,
    context: str | None,
    objects: bool,
) -> Header:
    received = to_micros(received_at)
    return Header(1, site_id, received, skew_of(sent_at, received), kind, ids, context, objects)


def _key(event: EventIn) -> str:
    return str(event.anonymous_id or event.user_id)
