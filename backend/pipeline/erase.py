"""The verb `erase`: everything of a person goes, in one transaction, and what comes late finds that they are gone.

What stays is a keyed hash of each of their names (see `domain/erased`). What lies in the log is dropped when its turn
comes; `scrub` then empties what Redis and SQLite still hold of it below.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from backend.domain.erased import (
    ANONYMOUS,
    EMAIL,
    MESSAGE,
    RETURNING,
    USER,
    VISITOR,
    Name,
    contact_names,
    names_of,
    told_by,
)
from backend.domain.identifier import PLAIN, Reading
from backend.domain.identity import anonymous_visitor
from backend.domain.unsubscribe import normalised_email
from backend.pipeline import access
from backend.pipeline.access import Reader
from backend.pipeline.attach import erase_files
from backend.pipeline.clear_dead import clear_dead
from backend.pipeline.forget_elsewhere import forget_elsewhere
from backend.pipeline.learn_names import forget_examples
from backend.runtime import Runtime
from backend.storage import access_log, events, messages, sweeps, tombstones, unsubscribes, visitors
from backend.storage.database import Connection
from backend.storage.log import order
from backend.storage.redis_client import rewrite
from backend.storage.visitors import Stored

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=30)
"""So long after an erasure what it left below is looked for: the log keeps a tail of some seconds."""

SLACK = timedelta(seconds=2)
"""How far the clocks of Redis and of whoever erases may be apart."""


def erase(rt: Runtime, site_id: str, visitor_id: str, reader: Reader) -> bool:
    """Erases a visitor with everybody merged into them; False when there is none. They stay erased."""
    now = rt.clock()
    vault = rt.sites.vault
    with rt.db.begin() as connection:
        tombstones.exclude(connection)
        person = visitors.lock_person(connection, site_id, visitor_id)
        if not person:
            return False
        site = rt.sites.by_id(site_id)
        reading = PLAIN if site is None else Reading.of(site.policy)
        names, addresses = _names(connection, site_id, person, reading)
        revoked = messages.waiting_on_site(connection, person, now)
        tombstones.add(connection, vault, site_id, names | {(VISITOR, each) for each in person}, now)
        forget_examples(connection, site_id, person, now)
        forget_elsewhere(connection, person, reading, now)
        visitors.erase(connection, site_id, visitor_id)
        clear_dead(connection, site_id, names, reading)
        addresses.update(value for kind, value in names if kind == EMAIL)
        unsubscribes.hide(connection, vault, site_id, EMAIL, addresses)
        access_log.forget(connection, vault, site_id, person)
        sweeps.forget(connection, person)
        look = access.look(rt, site_id, reader, "erase", visitor_id)
        access_log.insert(connection, vault, [look])
        erase_files(rt, site_id, person)  # last: what cannot be removed from the disk keeps all the rest
    log.info("visitor_erased", site=site_id, by=reader[0])
    rt.live.revoke(revoked)
    rt.db.scrub(0.1)
    return True


def _names(
    connection: Connection, site_id: str, person: Mapping[str, Stored], reading: Reading
) -> tuple[set[Name], set[str]]:
    """Everything by which these visitors are known: ids, addresses, and the calls that said who they are.

    With it the addresses of mails as they were written to.
    """
    names: set[Name] = set()
    browsers: set[str] = set()
    addresses = set(messages.addresses(connection, person))
    for each in person.values():
        profile = each.profile
        browsers.update(profile.anonymous_ids)
        if profile.user_id is not None:
            names.add((USER, profile.user_id))
        for found in profile.identifiers:
            if _reaches(found.kind):
                names |= contact_names(found.kind, found.value, reading)
        names |= told_by(profile.traits, reading)
        addresses.update(profile.unsubscribed)
    for event in events.naming(connection, person):
        told = names_of(event, reading)
        if event.type in RETURNING:
            names.add((MESSAGE, event.message_id))
        browsers.update(value for kind, value in told if kind == ANONYMOUS)
        names.update(name for name in told if _reaches(name[0]))
    for address in addresses:
        names |= contact_names(EMAIL, address, reading)
    # A browser on which somebody else is known, or nobody yet, is theirs.
    owners = {anonymous_visitor(site_id, each): each for each in browsers}
    others = visitors.load(connection, owners.keys() - person.keys())
    names.update((ANONYMOUS, each) for owner, each in owners.items() if owner not in others)
    return names, {normalised_email(each) for each in addresses}


def _reaches(kind: str) -> bool:
    """Whether names of this kind are addresses and numbers: ids have their own rules."""
    return kind not in {"anonymous_id", "user_id", ANONYMOUS, USER, MESSAGE}


def scrub(rt: Runtime) -> bool:
    """Empties what an erasure left below: trimmed entries in Redis' memory and file, removed rows in SQLite's log.

    True where nothing (more) is to be done; what is in the way now is tried again.
    """
    now = rt.clock()
    with rt.db.read() as connection:
        last = tombstones.unscrubbed(connection)
    if last is None:
        return True
    access.bring_in(rt)  # it may hold their ids
    if now - last < PAUSE or not _trimmed(rt, last + SLACK):
        return False
    emptied = rt.db.empty(last, 0.5)
    if emptied is None or not rt.db.scrub(1.0):
        return False
    for client in {
        rt.settings.log_url or rt.settings.redis_url: rt.log.client,
        rt.settings.redis_url: rt.redis,
    }.values():
        if not rewrite(client):
            return False
    with rt.db.begin() as connection:
        tombstones.scrubbed(connection, emptied)
    log.info("erasures_scrubbed", until=emptied.isoformat())
    return emptied == last


def _trimmed(rt: Runtime, moment: datetime) -> bool:
    """Whether every entry of the log is newer than this moment."""
    for partition in range(rt.log.partitions):
        first = rt.log.first_after(partition, "0-0")
        if first is not None and order(first)[0] <= moment.timestamp() * 1000:
            return False
    return True
