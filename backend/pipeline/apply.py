"""The step `apply`: events and due timers take effect in one transaction: fold, decide, write."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from operator import attrgetter

import structlog

from backend.domain.calendar import zone_of
from backend.domain.engine import Advance, PastNeeded, Ruleset, VersionNeeded, advance
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Past, Since, by_name, together
from backend.domain.profile import Profile
from backend.domain.tally import Key, contact_deltas, enrolment_deltas, exposure_deltas
from backend.domain.webhook import Webhook
from backend.pipeline import persons as people
from backend.pipeline.arrive import Arrived
from backend.pipeline.faults import point
from backend.pipeline.persons import Persons
from backend.pipeline.rulesets import learn
from backend.storage import enrolments, events, messages, segments, tallies, visitors, webhooks
from backend.storage.database import Connection
from backend.storage.messages import FEEDBACK

log = structlog.get_logger(__name__)

_MOMENT = attrgetter("timestamp", "order")

NOTHING_AT_HAND = Past({})
"""The past of those about whom nothing was fetched: it may be shared, since nothing can be added to it."""

RulesetOf = Callable[[str], Ruleset | None]


class Poisoned(Exception):
    """Some events cannot take effect; `reasons` tells why, by their index in the batch."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(f"{len(reasons)} events cannot take effect")
        self.reasons = reasons


@dataclass(slots=True)
class Effects:
    """What a transaction brought about: the messages and webhooks to send on, and how many events it folded.

    `visited` is for how many visitors something came in or was due, `changed` are the enrolments as they stand now.
    """

    messages: list[Message] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    folded: int = 0
    enrolled: int = 0
    visited: int = 0
    changed: Sequence[Enrolment] = ()


@dataclass(slots=True)
class _Batch:
    """The work of one transaction, by person; `kept` are the events of it with their index in what arrived."""

    persons: Persons
    kept: list[tuple[int, Arrived]]
    due: Collection[str]
    events: dict[str, list[Event]] = field(default_factory=dict)
    indexes: dict[str, list[int]] = field(default_factory=dict)
    reports: list[tuple[str, Event]] = field(default_factory=list)
    sites: dict[str, str] = field(default_factory=dict)
    enrolled: dict[str, list[Enrolment]] = field(default_factory=dict)

    def group(self, repeated: Collection[int] = ()) -> None:
        """Groups the events by person, those at the places `repeated` left out."""
        self.events, self.indexes, self.reports, self.sites = {}, {}, [], {}
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
        for visitor_id in self.due:
            person_id = self.persons.of(visitor_id)
            profile = self.persons.profiles.get(person_id)
            if profile is not None:
                self.sites.setdefault(person_id, profile.site_id)


@dataclass(slots=True)
class _Walks:
    """How far everybody's walks came: which ended, which ask for the past or a version; and events that raise."""

    advances: dict[str, Advance] = field(default_factory=dict)
    asked: dict[str, Since] = field(default_factory=dict)
    versions: dict[str, VersionNeeded] = field(default_factory=dict)
    poison: dict[int, str] = field(default_factory=dict)


def apply(
    connection: Connection,
    ruleset_of: RulesetOf,
    arrived: Sequence[Arrived],
    due: Collection[str],
    *,
    until: datetime,
    now: datetime,
    beside: Executor | None = None,
) -> Effects:
    """Folds `arrived` and fires what is due up to `until` for their visitors and for those in `due`.

    `beside` is a thread in which the database may work meanwhile. Raises `Poisoned` for events that no rule and no
    fold can digest; then the caller rolls back and goes on without.
    """
    batch = _gather(connection, ruleset_of, arrived, due)
    rows = [events.row_of(each.visitor_id, each.site_id, each.event, each.body) for _, each in batch.kept]
    inserted = events.Insertion(connection, rows, beside)
    try:
        # A walk changes nothing outside, so it need not wait to learn that nothing was sent before, as usual.
        walks = _walk(ruleset_of, batch, batch.sites, {}, until, now)
    finally:
        inserted.wait()
    repeated = inserted.repeated()
    point("after_events")
    if repeated:
        batch.group(repeated)
        walks = _walk(ruleset_of, batch, batch.sites, {}, until, now)
    advances = _advance_all(connection, ruleset_of, batch, walks, until, now)
    effects = Effects(folded=sum(len(group) for group in batch.events.values()), visited=len(advances))
    changed: list[Enrolment] = []
    regrouped: list[tuple[Profile | None, Profile]] = []
    emitted: list[tuple[str, str, Event]] = []
    numbers = _merged(ruleset_of, batch)
    for person_id, result in advances.items():
        before, after = batch.persons.profiles[person_id], result.profile
        spoken = after.contacts is not before.contacts or after.exposures is not before.exposures
        if spoken or result.enrolments:
            _tally(numbers, ruleset_of, batch, person_id, result)
        if batch.events.get(person_id) or result.woken or result.messages or result.emitted or result.enrolments:
            merged = person_id in batch.persons.merged
            if after.segments or merged or before.segments:
                regrouped.append((None if merged else before, after))
            batch.persons.profiles[person_id] = after
            batch.persons.changed.add(person_id)
        changed.extend(result.enrolments.values())
        effects.messages.extend(result.messages)
        effects.webhooks.extend(result.webhooks)
        emitted.extend((person_id, result.profile.site_id, event) for event in result.emitted)
    effects.enrolled, effects.changed = len(changed), changed
    batch.persons.save(connection, beside)
    if regrouped:
        segments.save_members(connection, regrouped)
    point("after_profiles")
    events.insert_emitted(connection, emitted)
    enrolments.save(connection, changed)
    point("after_enrolments")
    messages.insert(connection, effects.messages)
    webhooks.insert(connection, effects.webhooks)
    messages.record_feedback(connection, _feedback(batch))
    point("after_messages")
    tallies.add(connection, numbers)  # behind the messages, as in every transaction: so none waits in a circle
    point("after_tallies")
    return effects


def _tally(
    numbers: Counter[tuple[str, Key]], ruleset_of: RulesetOf, batch: _Batch, person_id: str, result: Advance
) -> None:
    """Counts what came of one person's walk."""
    after, before = result.profile, batch.persons.profiles[person_id]
    zone = _zone(ruleset_of, after.site_id)
    known = {each.id: each for each in batch.enrolled.get(person_id, ())}
    for deltas in (
        contact_deltas(before.contacts, (*result.forgotten, *after.contacts), zone),
        exposure_deltas(before.exposures, after.exposures, zone),
        enrolment_deltas(known, result.enrolments.values(), zone),
    ):
        for key, number in deltas.items():
            numbers[after.site_id, key] += number


def _merged(ruleset_of: RulesetOf, batch: _Batch) -> Counter[tuple[str, Key]]:
    """Takes back what was counted twice: two visitors in the comparison of one rule who are one person."""
    numbers: Counter[tuple[str, Key]] = Counter()
    for site_id, before, after in batch.persons.joined:
        for key, number in exposure_deltas(before, after, _zone(ruleset_of, site_id)).items():
            numbers[site_id, key] += number
    return numbers


def _zone(ruleset_of: RulesetOf, site_id: str) -> tzinfo:
    ruleset = ruleset_of(site_id)
    return zone_of(ruleset.site.timezone if ruleset is not None else None)


def _gather(connection: Connection, ruleset_of: RulesetOf, arrived: Sequence[Arrived], due: Collection[str]) -> _Batch:
    sites = {site_id: ruleset_of(site_id) for site_id in {each.site_id for each in arrived}}
    kept: list[tuple[int, Arrived]] = []
    for index, each in enumerate(arrived):
        ruleset = sites[each.site_id]
        if ruleset is not None:  # else the site was removed meanwhile
            strict = ruleset.site.policy.require_signature
            kept.append((index, people.believed(each, ruleset.site) if strict else each))
    persons = people.load(connection, people.ids_named(each for _, each in kept) | set(due))
    people.link(persons, (each for _, each in kept))
    batch = _Batch(persons, _once(connection, persons, kept), due)
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


def _walk(
    ruleset_of: RulesetOf,
    batch: _Batch,
    todo: Iterable[str],
    pasts: dict[str, Past],
    until: datetime,
    now: datetime,
) -> _Walks:
    """Advances these persons; asks nothing of the database."""
    walks = _Walks()
    for person_id in todo:
        ruleset = ruleset_of(batch.sites[person_id])
        if ruleset is None:
            continue  # the site was removed meanwhile
        past = pasts.get(person_id, NOTHING_AT_HAND)
        try:
            try:
                walks.advances[person_id] = _advance(ruleset, batch, person_id, past, until, now)
            except PastNeeded as needed:
                if batch.persons.has_past(person_id):
                    walks.asked[person_id] = needed.since
                else:
                    past = Past(by_name(batch.events.get(person_id, ())), complete=True)
                    walks.advances[person_id] = _advance(ruleset, batch, person_id, past, until, now)
        except VersionNeeded as missing:
            walks.versions[person_id] = missing
        except Exception as error:
            walks.poison.update(_culprits(ruleset, batch, person_id, until, now, error))
    return walks


def _advance_all(
    connection: Connection, ruleset_of: RulesetOf, batch: _Batch, walks: _Walks, until: datetime, now: datetime
) -> dict[str, Advance]:
    """Every person's advance; those whose rules ask for the past go again, with it, all fetched in one query."""
    advances, poison = walks.advances, walks.poison
    pasts: dict[str, Past] = {}
    while walks.asked or walks.versions:
        for person_id, missing in walks.versions.items():
            ruleset = ruleset_of(batch.sites[person_id])
            assert ruleset is not None
            learn(connection, ruleset, missing)
        pasts.update(_pasts(connection, batch, walks.asked, pasts))
        walks = _walk(ruleset_of, batch, [*walks.asked, *walks.versions], pasts, until, now)
        advances.update(walks.advances)
        poison.update(walks.poison)
    if poison:
        raise Poisoned(poison)
    for rule_id, reason in {found for each in advances.values() for found in each.failures.items()}:
        log.error("rule_failed", rule=rule_id, reason=reason[:200])
    return advances


def _advance(ruleset: Ruleset, batch: _Batch, person_id: str, past: Past, until: datetime, now: datetime) -> Advance:
    group = batch.events.get(person_id, ())
    return advance(
        ruleset,
        batch.persons.get(batch.sites[person_id], person_id),
        batch.enrolled.get(person_id, ()),
        group if len(group) < 2 else sorted(group, key=_MOMENT),
        past,
        until=until,
        now=now,
    )


def _pasts(connection: Connection, batch: _Batch, asked: dict[str, Since], before: dict[str, Past]) -> dict[str, Past]:
    """What these persons' rules ask for, and what was at hand before; of a busy visitor only from where it is asked."""
    if not asked:
        return {}
    since = {
        person_id: together(wanted, before[person_id].at_hand) if person_id in before else wanted
        for person_id, wanted in asked.items()
    }
    owner = {
        member: person_id for person_id in asked for member in visitors.members_of(batch.persons.profiles[person_id])
    }
    wanted = [(member, *each) for member, person_id in owner.items() for each in since[person_id].items()]
    found: dict[str, list[Event]] = {person_id: [] for person_id in asked}
    for visitor_id, event in events.history_since(connection, wanted):
        found[owner[visitor_id]].append(event)
    return {
        person_id: Past(by_name(group, since[person_id]), since=since[person_id]) for person_id, group in found.items()
    }


def _culprits(
    ruleset: Ruleset, batch: _Batch, person_id: str, until: datetime, now: datetime, error: Exception
) -> dict[int, str]:
    """The events of a person that raise; all of them where none does alone."""
    culprits: dict[int, str] = {}
    indexes, group = batch.indexes.get(person_id, []), batch.events.get(person_id, [])
    if not group:
        raise error
    profile = batch.persons.get(batch.sites[person_id], person_id)
    for index, event in zip(indexes, group, strict=True):
        try:
            advance(ruleset, profile, (), [event], Past({}, complete=True), until=until, now=now)
        except Exception as each:
            culprits[index] = f"{type(each).__name__}: {each}"
    return culprits or dict.fromkeys(indexes, f"{type(error).__name__}: {error}")


def _feedback(batch: _Batch) -> list[tuple[list[str], str, datetime, dict[str, object]]]:
    return [
        (
            visitors.members_of(batch.persons.profiles[person_id]),
            event.name,
            event.timestamp,
            dict(event.properties),
        )
        for person_id, event in batch.reports
    ]
