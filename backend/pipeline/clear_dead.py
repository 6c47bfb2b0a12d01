"""The step `clear dead`: what was set aside holds nothing of whom a site has erased, from before as from after."""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from msgspec import MsgspecError

from backend.domain.engine import Ruleset
from backend.domain.erased import Name, guesses
from backend.domain.identifier import Reading
from backend.pipeline.admit import reading_of
from backend.schemas import wire
from backend.storage import dead, tombstones
from backend.storage.database import Connection
from backend.storage.dead import DeadEvent
from backend.storage.vault import Vault

AT_ONCE = 500

IDS = ("anonymousId", "userId", "previousId")
LEAST_NUMBER = 1_000_000
"""Smaller numbers elsewhere than in an event's ids are no name: they count something."""

_QUOTED = re.compile(r'"([^"\n]*)"')
_WORD = re.compile(r"[^\s\"'{}\[\],:;<>()\\]+")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

Theirs = Callable[[str], bool]
"""Whether an event's JSON names somebody who is, or is to be, erased."""


def clear_dead(connection: Connection, site_id: str, names: Collection[Name], reading: Reading) -> None:
    """Takes the events of a person of these names out of what was set aside."""
    known = set(names)
    last: DeadEvent | None = None
    while found := dead.fetch(connection, AT_ONCE, after=last):
        last = found[-1]
        for each in found:
            if each.site_id not in (None, site_id):
                continue
            left = _left(each, site_id, lambda text: not known.isdisjoint(_names_in(text, reading)))
            if left is None:
                dead.remove(connection, [each.id])
            elif left != each.payload:
                dead.rewrite(connection, each.id, left)


def keep_out(
    connection: Connection, vault: Vault, ruleset_of: Callable[[str], Ruleset | None], aside: Sequence[DeadEvent]
) -> list[DeadEvent]:
    """What is to be set aside though it cannot be read, without what names somebody who was erased."""
    sites = tombstones.newest(connection) if aside else {}
    kept: list[DeadEvent] = []
    for each in aside:
        left: str | None = each.payload
        for site_id in (each.site_id,) if each.site_id is not None else sites:
            if site_id not in sites or left is None:
                continue
            reading = reading_of(ruleset_of(site_id))

            def theirs(text: str, site_id: str = site_id, reading: Reading = reading) -> bool:
                stones = tombstones.find(connection, vault, {site_id: _names_in(text, reading)})[site_id]
                return any(not stone.lifted for stone in stones.values())

            left = _left(replace(each, payload=left), site_id, theirs)
        if left is not None:
            kept.append(replace(each, payload=left))
    return kept


def _left(each: DeadEvent, site_id: str, theirs: Theirs) -> str | None:
    """What stays of something set aside; None for nothing."""
    if each.site_id is None:
        return _rest(each.payload, site_id, theirs)
    return None if theirs(each.payload) else each.payload


def _rest(payload: str, site_id: str, theirs: Theirs) -> str | None:
    """An entry of the log without the events of somebody; None where nothing of it is left, or it cannot be told."""
    try:
        told = json.loads(payload)
        header, text = wire.decode_header(b64decode(told["header"])), b64decode(told["events"]).decode()
    except (MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        return None if theirs(payload) else payload
    if header.site_id != site_id:
        return payload
    if header.context and theirs(header.context):
        return None  # what a batch tells of all its events
    try:
        raws = wire.decode_raws(text.encode())
    except (MsgspecError, ValueError, RecursionError):
        return None if theirs(text) else payload
    kept = [raw for raw in raws if not theirs(bytes(raw).decode("utf-8", "replace"))]
    if len(kept) == len(raws):
        return payload
    told["events"] = b"[" + b",".join(kept) + b"]"
    return wire.encode_json(told).decode() if kept else None


def _names_in(text: str, reading: Reading) -> set[Name]:
    """Every name that an event's JSON may carry: it need not be one that can be read as an event, nor even JSON."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
        texts: Iterable[str] = [*_QUOTED.findall(text), *_WORD.findall(text)]
    else:
        texts = _texts(told)
    return set().union(*(guesses(each, reading) for each in texts))


def _texts(value: Any) -> Iterator[str]:
    """Every text within a JSON value, and every number that may be an id or that of a phone."""
    if isinstance(value, dict):
        yield from (str(value[name]) for name in IDS if isinstance(value.get(name), int))
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
        elif isinstance(each, str) or (isinstance(each, int) and each >= LEAST_NUMBER):
            yield str(each)
