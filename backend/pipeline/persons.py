"""The step `persons`: whose are these events? Loads visitors, follows links, and links browsers to known people."""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime

from backend.domain.exposure import Exposures
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.merge import merge
from backend.domain.profile import Profile, new_profile
from backend.domain.signature import is_signed
from backend.domain.site import Site
from backend.pipeline.arrive import Arrived
from backend.storage import visitors
from backend.storage.database import Connection
from backend.storage.visitors import Stored


@dataclass(slots=True)
class Persons:
    """The visitors of a batch as they stand: `profiles` by id, `links` from an id to the person that it belongs to."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    existing: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    merged: set[str] = field(default_factory=set)
    journal: list[tuple[str, str, str, str, datetime]] = field(default_factory=list)
    joined: list[tuple[str, Exposures, Exposures]] = field(default_factory=list)
    """What two visitors who became one had counted as before, and as what they count since, with their site."""

    def of(self, visitor_id: str) -> str:
        """The id of the person behind a visitor's id."""
        return self.links.get(visitor_id, visitor_id)

    def get(self, site_id: str, visitor_id: str) -> Profile:
        """The profile of a person; an empty one for somebody new."""
        profile = self.profiles.get(visitor_id)
        if profile is None:
            profile = new_profile(visitor_id, site_id)
            self.profiles[visitor_id] = profile
        return profile

    def has_past(self, visitor_id: str) -> bool:
        """Whether anything of this person, or of whoever was merged into them, is older than this batch."""
        return visitor_id in self.existing or bool(self.profiles[visitor_id].members)

    def save(self, connection: Connection, beside: Executor | None = None) -> None:
        """Writes what changed: profiles, links and their journal; `beside` is a thread for the database's part."""
        rows = [Stored(self.profiles[each], self.links.get(each)) for each in sorted(self.changed)]
        fresh = [row for row in rows if row.profile.id not in self.existing]
        visitors.save(connection, fresh, [row for row in rows if row.profile.id in self.existing], beside)
        visitors.record_merge(connection, self.journal)


def load(connection: Connection, ids: Iterable[str]) -> Persons:
    """These visitors, locked until the transaction ends, with the persons behind them."""
    persons = Persons()
    wanted = set(ids)
    while wanted:
        for visitor_id, stored in visitors.load(connection, wanted, lock=True).items():
            persons.profiles[visitor_id] = stored.profile
            persons.existing.add(visitor_id)
            if stored.merged_into is not None:
                persons.links[visitor_id] = stored.merged_into
        wanted = {each for each in persons.links.values() if each not in persons.profiles}
    return persons


def ids_named(arrived: Iterable[Arrived]) -> set[str]:
    """Every visitor's id that these events name."""
    ids: set[str] = set()
    for each in arrived:
        ids.add(each.visitor_id)
        if each.event.user_id is not None and each.event.anonymous_id is not None:
            ids.add(anonymous_visitor(each.site_id, each.event.anonymous_id))
        if each.event.type == "alias" and each.event.previous_id is not None:
            ids.add(anonymous_visitor(each.site_id, each.event.previous_id))
    return ids


def believed(arrived: Arrived, site: Site) -> Arrived:
    """The event as this site's policy lets us believe it.

    Where a user id must be signed (`context.userHash`), one that a browser merely claims is not looked at: the event
    is the browser's own.
    """
    event = arrived.event
    if not site.policy.require_signature or event.user_id is None or event.anonymous_id is None:
        return arrived
    signature = event.context.get("userHash")
    if isinstance(signature, str) and is_signed(site.secret_key, site.id, event.user_id, signature):
        return arrived
    return replace(
        arrived,
        visitor_id=anonymous_visitor(site.id, event.anonymous_id),
        event=replace(event, user_id=None),
    )


def link(persons: Persons, arrived: Iterable[Arrived]) -> None:
    """Links the browsers that these events show to belong to somebody known.

    A browser belongs to the first person who was known on it; another one who signs in there is another visitor, and
    two known people never become one.
    """
    for each in arrived:
        event = each.event
        if event.user_id is None or (event.anonymous_id is None and event.type != "alias"):
            continue
        known_id = known_visitor(each.site_id, event.user_id)
        for anonymous_id in (event.anonymous_id, event.previous_id if event.type == "alias" else None):
            if anonymous_id is None:
                continue
            member_id = anonymous_visitor(each.site_id, anonymous_id)
            if member_id in persons.links or member_id == known_id:
                continue
            _link(persons, each, known_id, member_id)


def _link(persons: Persons, arrived: Arrived, known_id: str, member_id: str) -> None:
    event = arrived.event
    known = persons.get(arrived.site_id, known_id)
    member = persons.get(arrived.site_id, member_id)
    joined = merge(known, member)
    if member.exposures:
        before = (*known.exposures, *member.exposures)
        persons.joined.append((arrived.site_id, before, joined.exposures))
    persons.profiles[known_id] = joined
    persons.links[member_id] = known_id
    persons.changed.update((known_id, member_id))
    if joined.segments:
        persons.merged.add(known_id)
    persons.journal.append((known_id, member_id, event.type, event.message_id, event.timestamp))
