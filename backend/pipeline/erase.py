"""The verb `erase`: everything of a person goes, in one transaction, and what comes late finds that they are gone.

What stays is a keyed hash of each of their names (see `domain/erased`). What lies in the log is dropped when its turn
comes; `scrub` then empties what Redis and SQLite still hold of it below.
"""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec import MsgspecError

from backend.domain.erased import ANONYMOUS, EMAIL, MESSAGE, RETURNING, USER, VISITOR, Name, name_of, names_of, told_by
from backend.domain.identity import anonymous_visitor
from backend.pipeline import access
from backend.pipeline.access import Reader
from backend.runtime import Runtime
from backend.schemas import wire
from backend.storage import access_log, dead, events, messages, sweeps, tombstones, unsubscribes, visitors
from backend.storage.database import Connection
from backend.storage.dead import DeadEvent
from backend.storage.log import order
from backend.storage.redis_client import rewrite
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=30)
"""So long after an erasure what it left below is looked for: the log keeps a tail of some seconds."""

SLACK = timedelta(seconds=2)
"""How far the clocks of Redis and of whoever erases may be apart."""

DEAD_AT_ONCE = 500


def erase(rt: Runtime, site_id: str, visitor_id: str, reader: Reader) -> bool:
    """Erases a visitor with everybody merged into them; False when there is none. They stay erased."""
    access.bring_in(rt)
    now = rt.clock()
    vault = rt.sites.vault
    with rt.db.begin() as connection:
        tombstones.exclude(connection)
        person = visitors.lock_person(connection, site_id, visitor_id)
        if not person:
            return False
        names = _names(connection, site_id, person)
        revoked = messages.waiting_on_site(connection, person, now)
        tombstones.add(connection, vault, site_id, names | {(VISITOR, each) for each in person}, now)
        visitors.erase(connection, site_id, visitor_id)
        _clear_dead(connection, site_id, names)
        emails = [value for kind, value in names if kind == EMAIL]
        unsubscribes.hide(connection, vault, site_id, EMAIL, emails)
        access_log.forget(connection, vault, site_id, person)
        sweeps.forget(connection, person)
        look = access.look(rt, site_id, reader, "erase", visitor_id)
        access_log.insert(connection, vault, [look])
    log.info("visitor_erased", site=site_id, by=reader[0])
    rt.live.revoke(revoked)
    rt.db.scrub(0.1)
    return True


def _names(connection: Connection, site_id: str, person: Mapping[str, Stored]) -> set[Name]:
    """Everything by which these visitors are known: ids, addresses, and the calls that said who they are."""
    names: set[Name] = set()
    browsers: set[str] = set()
    for each in person.values():
        profile = each.profile
        browsers.update(profile.anonymous_ids)
        if profile.user_id is not None:
            names.add((USER, profile.user_id))
        names.update(name_of(found.kind, found.value) for found in profile.identifiers if _reaches(found.kind))
        names.update(told_by(profile.traits))
        names.update((EMAIL, address) for address in profile.unsubscribed)
    for event in events.naming(connection, person):
        told = names_of(event)
        if event.type in RETURNING:
            names.add((MESSAGE, event.message_id))
        browsers.update(value for kind, value in told if kind == ANONYMOUS)
        names.update(name for name in told if _reaches(name[0]))
    names.update(name_of(EMAIL, each) for each in messages.addresses(connection, person))
    # A browser on which somebody else is known, or nobody yet, is theirs.
    owners = {anonymous_visitor(site_id, each): each for each in browsers}
    others = visitors.load(connection, owners.keys() - person.keys())
    names.update((ANONYMOUS, each) for owner, each in owners.items() if owner not in others)
    return names


def _reaches(kind: str) -> bool:
    """Whether names of this kind are addresses and numbers: ids have their own rules."""
    return kind not in {"anonymous_id", "user_id", ANONYMOUS, USER, MESSAGE}


def _clear_dead(connection: Connection, site_id: str, names: Iterable[Name]) -> None:
    """Takes this person's events out of what was set aside."""
    values = {value for kind, value in names if kind != MESSAGE}
    last: DeadEvent | None = None
    while found := dead.fetch(connection, DEAD_AT_ONCE, after=last):
        last = found[-1]
        for each in found:
            if each.site_id not in (None, site_id):
                continue
            left = each.payload if each.site_id is not None and not _tells(each.payload, values) else None
            if each.site_id is None:
                left = _rest(each.payload, values)
            if left is None:
                dead.remove(connection, [each.id])
            elif left != each.payload:
                dead.rewrite(connection, each.id, left)


def _rest(payload: str, values: set[str]) -> str | None:
    """An entry of the log without the events of somebody; None where nothing of it is left, or it cannot be told."""
    try:
        told = json.loads(payload)
        text = b64decode(told["events"])
        raws = wire.decode_raws(text)
    except (MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        return None if _tells(payload, values) else payload
    kept = [raw for raw in raws if not _tells(bytes(raw).decode("utf-8", "replace"), values)]
    if len(kept) == len(raws):
        return payload
    told["events"] = b"[" + b",".join(kept) + b"]"
    return wire.encode_json(told).decode() if kept else None


def _tells(text: str, values: set[str]) -> bool:
    """Whether an event's JSON names somebody by one of these values."""
    try:
        return not values.isdisjoint(_texts(json.loads(text)))
    except (ValueError, RecursionError):
        return any(value in text for value in values)


def _texts(value: Any) -> set[str]:
    found: set[str] = set()
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)
        elif isinstance(each, str | int) and not isinstance(each, bool):
            text = str(each).strip()
            found.update((text, text.lower()))
    return found


def scrub(rt: Runtime) -> bool:
    """Empties what an erasure left below: trimmed entries in Redis' memory and file, removed rows in SQLite's log.

    True where nothing (more) is to be done; what is in the way now is tried again.
    """
    now = rt.clock()
    with rt.db.read() as connection:
        last = tombstones.unscrubbed(connection)
    if last is None:
        return True
    if now - last < PAUSE or not _trimmed(rt, last + SLACK) or not rt.db.scrub(1.0):
        return False
    for client in {
        rt.settings.log_url or rt.settings.redis_url: rt.log.client,
        rt.settings.redis_url: rt.redis,
    }.values():
        if not rewrite(client):
            return False
    with rt.db.begin() as connection:
        tombstones.scrubbed(connection, last)
    log.info("erasures_scrubbed", until=last.isoformat())
    return True


def _trimmed(rt: Runtime, moment: datetime) -> bool:
    """Whether every entry of the log is newer than this moment."""
    for partition in range(rt.log.partitions):
        first = rt.log.first_after(partition, "0-0")
        if first is not None and order(first)[0] <= moment.timestamp() * 1000:
            return False
    return True
