"""The step `persons`: whose are these events? Loads visitors, follows links, and links browsers to known people."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from backend.domain.event import Event
from backend.domain.exposure import Exposures
from backend.domain.identifier import Reading
from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.domain.merge import merge, merged_away
from backend.domain.profile import Profile, new_profile
from backend.domain.signature import is_signed
from backend.domain.site import Site
from backend.pipeline.arrive import Arrived
from backend.storage import merges, visitors
from backend.storage.database import Connection
from backend.storage.merges import Merge
from backend.storage.visitors import Stored

_TELLING = frozenset({"identify", "alias"})
"""Calls by which a page says who somebody is."""


@dataclass(slots=True)
class Persons:
    """The visitors of a batch as they stand: `profiles` by id, `links` from an id to the person that it belongs to."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    existing: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    merged: set[str] = field(default_factory=set)
    journal: list[Merge] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    """Ids that belonged to somebody who belongs to somebody now, with whom that is."""

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
        profile = self.profiles.get(visitor_id)
        return visitor_id in self.existing or (profile is not None and bool(profile.members))

    def save(self, connection: Connection, beside: Executor | None = None, begun: Sequence[Future[Any]] = ()) -> None:
        """Writes what changed: profiles, links and their journal; `beside` is a thread for the database's part.

        `begun` is what that thread does before.
        """
        rows = [Stored(self.profiles[each], self.links.get(each)) for each in sorted(self.changed)]
        fresh = [row for row in rows if row.profile.id not in self.existing]
        visitors.save(connection, fresh, [row for row in rows if row.profile.id in self.existing], beside, begun)
        if self.moved:
            visitors.relink(connection, self.moved)
        merges.record(connection, self.journal)


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


def ids_named(arrived: Sequence[Arrived]) -> set[str]:
    """Every visitor's id that these events name."""
    ids = {each.visitor_id for each in arrived}
    for each in arrived:
        event = each.event
        if event.user_id is not None and event.anonymous_id is not None:
            ids.add(anonymous_visitor(each.site_id, event.anonymous_id))
        if event.previous_id is not None and event.type == "alias":
            ids.add(anonymous_visitor(each.site_id, event.previous_id))
    return ids


def believed(arrived: Arrived, site: Site, reading: Reading) -> Arrived | None:
    """The event as this site lets us believe it; None where it then names nobody.

    Where a user id must be signed (`context.userHash`), one that a browser merely claims is not looked at: the event
    is the browser's own. Nor is an id that is none, such as `null`: whoever has no id would become one person.
    """
    event = believed_event(arrived.event, site, reading, strict=site.policy.require_signature)
    if event is arrived.event:
        return arrived
    if event.user_id is None and event.anonymous_id is None:
        return None
    if event.user_id is not None:
        visitor_id = known_visitor(site.id, event.user_id)
    else:
        visitor_id = anonymous_visitor(site.id, event.anonymous_id or "")
    return replace(arrived, visitor_id=visitor_id, event=event, row=None)


def believed_event(event: Event, site: Site, reading: Reading, *, strict: bool, at: datetime | None = None) -> Event:
    """The event with nothing in it that is not to be believed, and noted where its user id is signed.

    `at` is when it came, where that is long ago and its signature was good then.
    """
    changes: dict[str, Any] = {}
    for name in ("user_id", "anonymous_id", "previous_id", "group_id"):
        value = getattr(event, name)
        if value is not None and reading.names_nobody(value):
            changes[name] = None
    user_id = None if "user_id" in changes else event.user_id
    if user_id is not None and "userHash" in event.context:
        signature = event.context["userHash"]
        if isinstance(signature, str) and is_signed(site.secret_key, site.id, user_id, signature, at):
            changes["signed"] = True
    if strict and event.anonymous_id is not None and not ({"signed", "anonymous_id"} & changes.keys()):
        changes["user_id"] = None
    elif strict and event.previous_id is not None and "signed" not in changes:
        changes["previous_id"] = None  # who has the public write key could else link any browser to anybody
    return replace(event, **changes) if changes else event


def questionable(event: Event, strict: bool, reading: Reading) -> bool:
    """Whether `believed` could say anything of this event: asked of each, so it looks at as little as it can."""
    user_id, anonymous_id, longest = event.user_id, event.anonymous_id, reading.longest
    if user_id is not None and (
        strict or event.type in _TELLING or (len(user_id) <= longest and reading.names_nobody(user_id))
    ):
        return True
    if anonymous_id is not None and len(anonymous_id) <= longest and reading.names_nobody(anonymous_id):
        return True
    return event.type == "group"


def as_believed(visitor_id: str, event: Event, site: Site, reading: Reading) -> Event:
    """A stored event as it was believed when it came: under whom it lies tells whether its user id was."""
    if event.user_id is not None and visitor_id != known_visitor(site.id, event.user_id):
        event = replace(event, user_id=None)
    if not questionable(event, False, reading):
        return event
    told = believed_event(event, site, reading, strict=False, at=event.received_at)
    return told if told.user_id == event.user_id else replace(told, user_id=event.user_id)


def link(persons: Persons, arrived: Iterable[Arrived]) -> None:
    """Links the browsers that these events show to belong to somebody known.

    A browser belongs to the first person who was known on it; another one who signs in there is another visitor, and
    two known people never become one. A link that somebody has undone comes back only with a newer signature.
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
            root = persons.get(each.site_id, persons.of(known_id))
            undone_at = root.refused.get(member_id)
            if root.id == member_id or (undone_at is not None and not (event.signed and event.timestamp > undone_at)):
                continue
            join(persons, root.id, member_id)
            persons.journal.append(
                Merge(
                    id=derive("merge", known_id, member_id, event.message_id),
                    visitor_id=known_id,
                    member_id=member_id,
                    site_id=each.site_id,
                    source="signed" if event.signed else event.type,
                    message_id=event.message_id,
                    at=event.timestamp,
                )
            )


def join(persons: Persons, into_id: str, member_id: str) -> None:
    """Makes one person of two that are nobody else's: `into_id` and `member_id`, with whoever belongs to that."""
    known, member = persons.profiles[into_id], persons.profiles.get(member_id)
    if member is None:
        member = persons.get(known.site_id, member_id)
    joined = merge(known, member)
    if member.exposures:
        before = (*known.exposures, *member.exposures)
        persons.joined.append((known.site_id, before, joined.exposures))
    persons.profiles[into_id] = joined
    persons.profiles[member_id] = merged_away(member)
    for each in (member_id, *member.members):
        persons.links[each] = into_id
    persons.moved.extend((each, into_id) for each in member.members)
    persons.changed.update((into_id, member_id))
    if joined.segments:
        persons.merged.add(into_id)
