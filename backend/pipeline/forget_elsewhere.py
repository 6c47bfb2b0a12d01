"""The step `forget elsewhere`: what others keep of somebody erased with whom they were one person for a while."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from backend.domain.identifier import Reading
from backend.domain.identity import anonymous_visitor
from backend.domain.unmerge import without
from backend.pipeline.quotes import as_written, texts_of
from backend.storage import conversations, enrolments, merges, messages, parts, thinned, visitors, webhooks
from backend.storage.database import Connection
from backend.storage.merges import Merge
from backend.storage.visitors import Stored

LATER = timedelta(minutes=1)
"""So long after a merge was undone something may be dated that was made before: clocks differ."""


def forget_elsewhere(connection: Connection, person: Mapping[str, Stored], reading: Reading, now: datetime) -> None:
    """Takes the ids of these visitors from what is kept of those whom they were parted from, and what they told.

    Messages and webhooks that quote them go, of those that were made since the first of these became one with them.
    Where retention has removed what they did, nobody knows what would be a quotation: then all go that were made while
    they were one.
    """
    undone = merges.parted(connection, person)
    parted = {id_ for each in undone for id_ in (each.visitor_id, each.member_id)}
    others = _persons(connection, parted - person.keys())
    if not others:
        return
    changed = [
        replace(each, profile=replace(each.profile, refused=left))
        for each in others.values()
        if len(left := {key: at for key, at in each.profile.refused.items() if key not in person})
        < len(each.profile.refused)
    ]
    visitors.save(connection, [], changed)
    told, others_told = (
        texts_of(connection, each, [stored.profile for stored in each.values()], reading, now)
        for each in (person, others)
    )
    quoted, since = as_written(told - others_told), min(each.at for each in undone)
    messages.remove_telling(connection, others, quoted, since)
    webhooks.remove_telling(connection, others, quoted | person.keys(), since)
    parts.forget(connection, others, person, quoted, now)
    known = {(each.profile.site_id, name) for each in person.values() for name in each.profile.anonymous_ids}
    browsers = {name for site_id, name in known if anonymous_visitor(site_id, name) in person}
    conversations.forget_browsers(connection, others, browsers)
    if thinned.any_of(connection, person):
        forget_made(connection, others, undone, now)
    entered = [(each, without(each, person)) for each in enrolments.of_visitors(connection, others)]
    enrolments.save(connection, [after for before, after in entered if after != before])


def forget_made(connection: Connection, ids: Collection[str], merged: Iterable[Merge], now: datetime) -> None:
    """Removes all messages and webhooks of these visitors that were made while these merges held."""
    for each in merged:
        until = (each.undone_at or now) + LATER
        messages.remove_made(connection, ids, each.at, until)
        webhooks.remove_made(connection, ids, each.at, until)


def _persons(connection: Connection, ids: Collection[str]) -> dict[str, Stored]:
    """The rows of these visitors and of everybody who is one person with them, locked."""
    found: dict[str, Stored] = {}
    wanted = set(ids)
    while wanted:
        fresh = visitors.load(connection, wanted, lock=True)
        found |= fresh
        linked = {each.merged_into for each in fresh.values() if each.merged_into is not None}
        wanted = linked.union(*(each.profile.members for each in fresh.values())) - found.keys()
    return found
