"""The step `batch`: whose events are these, and which are new? The work of one transaction, by person."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backend.domain.conversation import REPLIED, SPOKEN
from backend.domain.engine import Ruleset
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.shopping import TELLING
from backend.pipeline import persons as people
from backend.pipeline.admit import Admission
from backend.pipeline.arrive import Arrived
from backend.pipeline.hear import Spoken
from backend.pipeline.persons import Persons
from backend.storage import enrolments, events, tombstones, visitors
from backend.storage.database import Connection
from backend.storage.messages import FEEDBACK

RulesetOf = Callable[[str], Ruleset | None]


class Poisoned(Exception):
    """Some events cannot take effect; `reasons` tells why, by their index in the batch."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(f"{len(reasons)} events cannot take effect")
        self.reasons = reasons


@dataclass(slots=True)
class Batch:
    """The work of one transaction, by person; `kept` are the events of it with their index in what arrived.

    `shopping` are the events that tell of products, as (person id, site id, event), `spoken` what visitors say.
    """

    persons: Persons
    kept: list[tuple[int, Arrived]]
    due: Collection[str]
    events: dict[str, list[Event]] = field(default_factory=dict)
    indexes: dict[str, list[int]] = field(default_factory=dict)
    reports: list[tuple[str, Event]] = field(default_factory=list)
    shopping: list[tuple[str, str, Event]] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    sites: dict[str, str] = field(default_factory=dict)
    enrolled: dict[str, list[Enrolment]] = field(default_factory=dict)

    def group(self, repeated: Collection[int] = ()) -> None:
        """Groups the events by person, those at the places `repeated` left out."""
        self.events, self.indexes, self.reports, self.shopping, self.sites = {}, {}, [], [], {}
        self.spoken = []
        links = self.persons.links
        for place, (index, each) in enumerate(self.kept):
            if place in repeated:
                continue
            person_id, event = links.get(each.visitor_id, each.visitor_id), each.event
            group = self.events.get(person_id)
            if group is None:
                self.sites[person_id] = each.site_id
                self.events[person_id], self.indexes[person_id] = [event], [index]
            else:
                group.append(event)
                self.indexes[person_id].append(index)
            if event.name in FEEDBACK:
                self.reports.append((person_id, event))
                if event.name == REPLIED:
                    self.spoken.append(Spoken(person_id, each.visitor_id, each.site_id, event))
            elif event.name in TELLING:
                self.shopping.append((person_id, each.site_id, event))
            elif event.name in SPOKEN:
                self.spoken.append(Spoken(person_id, each.visitor_id, each.site_id, event))
        for visitor_id in self.due:
            person_id = self.persons.of(visitor_id)
            profile = self.persons.profiles.get(person_id)
            if profile is not None:
                self.sites.setdefault(person_id, profile.site_id)


def due_visitors(connection: Connection, horizon: datetime, most: int) -> list[str]:
    """The visitors for whom something is due: an enrolment that waits, or a moment that a rule waits for."""
    return [*enrolments.due_visitors(connection, horizon, most), *visitors.due(connection, horizon, most)]


def gather(
    connection: Connection,
    ruleset_of: RulesetOf,
    arrived: Sequence[Arrived],
    due: Collection[str],
    admission: Admission | None,
    now: datetime,
) -> Batch:
    """The events that arrived and the visitors for whom something is due, by person, with what they are in already.

    Raises `Poisoned` for events that name nobody.
    """
    sites = {site_id: ruleset_of(site_id) for site_id in {each.site_id for each in arrived}}
    kept = _believed(sites, arrived)
    if kept:
        tombstones.share(connection)
    persons = people.load(connection, people.ids_named([each for _, each in kept]) | set(due))
    if kept and admission is not None:
        kept = admission(connection, sites, persons, kept, now)
    people.link(persons, [each for _, each in kept if each.event.user_id is not None])
    batch = Batch(persons, _once(connection, persons, kept), due)
    batch.group()
    members: dict[str, str] = {}
    for person_id in batch.sites:
        members[person_id] = person_id
        profile = persons.profiles.get(person_id)
        if profile is not None and profile.members:
            members.update(dict.fromkeys(profile.members, person_id))
    for enrolment in enrolments.of_visitors(connection, members):
        batch.enrolled.setdefault(members[enrolment.visitor_id], []).append(enrolment)
    return batch


def _believed(sites: Mapping[str, Ruleset | None], arrived: Sequence[Arrived]) -> list[tuple[int, Arrived]]:
    """What arrived, with its index, as each site lets us believe it; nothing of sites that were removed meanwhile."""
    kept: list[tuple[int, Arrived]] = []
    nobody: dict[int, str] = {}
    for index, each in enumerate(arrived):
        ruleset = sites[each.site_id]
        if ruleset is None:
            continue
        event, reading, site = each.event, ruleset.reading, ruleset.site
        if not people.plain(event, reading) and people.questionable(event, site.policy.require_signature, reading):
            found = people.believed(each, site, reading)
            if found is None:
                nobody[index] = "It identifies nobody: its ids are placeholders."
                continue
            each = found
        kept.append((index, each))
    if nobody:
        raise Poisoned(nobody)
    return kept


def _once(connection: Connection, persons: Persons, kept: list[tuple[int, Arrived]]) -> list[tuple[int, Arrived]]:
    """Without what the same person has sent before under another of their ids, such as a browser before its link."""
    owner = {
        member: person_id
        for person_id, profile in persons.profiles.items()
        if profile.members
        for member in visitors.members_of(profile)
    }
    sendings = {
        (member, each.event.message_id)
        for _, each in (kept if owner else ())
        if (person_id := persons.of(each.visitor_id)) in owner
        for member in visitors.members_of(persons.profiles[person_id])
    }
    if not sendings:
        return kept
    first = {
        (owner[visitor_id], message_id): visitor_id
        for visitor_id, message_id in events.sent_before(connection, sendings)
    }
    fresh: list[tuple[int, Arrived]] = []
    for index, each in kept:
        person_id = persons.of(each.visitor_id)
        if person_id in owner:
            sender = first.setdefault((person_id, each.event.message_id), each.visitor_id)
            if sender != each.visitor_id:
                continue
        fresh.append((index, each))
    return fresh
