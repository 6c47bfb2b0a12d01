"""The step `apply`: events and due timers take effect in one transaction: fold, decide, write."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from backend.domain.calendar import zone_of
from backend.domain.engine import Advance, PastNeeded, Ruleset, advance
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Past, Since, by_name, together
from backend.domain.tally import Key, contact_deltas, enrolment_deltas
from backend.pipeline import persons as people
from backend.pipeline.arrive import Arrived
from backend.pipeline.faults import point
from backend.pipeline.persons import Persons
from backend.storage import enrolments, events, messages, tallies, visitors
from backend.storage.database import Connection
from backend.storage.messages import FEEDBACK

log = structlog.get_logger(__name__)

RulesetOf = Callable[[str], Ruleset | None]


class Poisoned(Exception):
    """Some events cannot take effect; `reasons` tells why, by their index in the batch."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__(f"{len(reasons)} events cannot take effect")
        self.reasons = reasons


@dataclass(slots=True)
class Effects:
    """What a transaction brought about: the messages to send on, and how many events it folded.

    `visited` is for how many visitors something came in or was due.
    """

    messages: list[Message] = field(default_factory=list)
    folded: int = 0
    enrolled: int = 0
    visited: int = 0


@dataclass(slots=True)
class _Batch:
    """The work of one transaction, by person."""

    persons: Persons
    events: dict[str, list[Event]] = field(default_factory=dict)
    indexes: dict[str, list[int]] = field(default_factory=dict)
    reports: list[tuple[str, Event]] = field(default_factory=list)
    sites: dict[str, str] = field(default_factory=dict)
    enrolled: dict[str, list[Enrolment]] = field(default_factory=dict)


def apply(
    connection: Connection,
    ruleset_of: RulesetOf,
    arrived: Sequence[Arrived],
    due: Collection[str],
    *,
    until: datetime,
    now: datetime,
) -> Effects:
    """Folds `arrived` and fires what is due up to `until` for their visitors and for those in `due`.

    Raises `Poisoned` for events that no rule and no fold can digest; then the caller rolls back and goes on without.
    """
    batch = _gather(connection, ruleset_of, arrived, due)
    point("after_events")
    advances = _advance_all(connection, ruleset_of, batch, until, now)
    effects = Effects(folded=sum(len(group) for group in batch.events.values()), visited=len(advances))
    changed: list[Enrolment] = []
    emitted: list[tuple[str, str, Event]] = []
    numbers: Counter[tuple[str, Key]] = Counter()
    for person_id, result in advances.items():
        _tally(numbers, ruleset_of, batch, person_id, result)
        if batch.events.get(person_id) or result.woken or result.messages or result.emitted or result.enrolments:
            batch.persons.profiles[person_id] = result.profile
            batch.persons.changed.add(person_id)
        changed.extend(result.enrolments.values())
        effects.messages.extend(result.messages)
        emitted.extend((person_id, result.profile.site_id, event) for event in result.emitted)
    effects.enrolled = len(changed)
    batch.persons.save(connection)
    point("after_profiles")
    events.insert_emitted(connection, emitted)
    enrolments.save(connection, changed)
    point("after_enrolments")
    tallies.add(connection, numbers)
    messages.insert(connection, effects.messages)
    messages.record_feedback(connection, _feedback(batch))
    point("after_messages")
    return effects


def _tally(
    numbers: Counter[tuple[str, Key]], ruleset_of: RulesetOf, batch: _Batch, person_id: str, result: Advance
) -> None:
    """Counts what came of one person's walk."""
    before = batch.persons.profiles.get(person_id)
    contacts = before.contacts if before is not None else ()
    if contacts is result.profile.contacts and not result.enrolments:
        return
    site_id = result.profile.site_id
    ruleset = ruleset_of(site_id)
    zone = zone_of(ruleset.site.timezone if ruleset is not None else None)
    known = {each.id: each for each in batch.enrolled.get(person_id, ())}
    for deltas in (
        contact_deltas(contacts, result.profile.contacts, zone),
        enrolment_deltas(known, result.enrolments.values(), zone),
    ):
        for key, number in deltas.items():
            numbers[site_id, key] += number


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
    kept = _once(connection, persons, kept)
    batch = _Batch(persons)
    repeated = events.insert_new(
        connection, [events.row_of(each.visitor_id, each.site_id, each.event, each.body) for _, each in kept]
    )
    links = persons.links
    for place, (index, each) in enumerate(kept):
        if place in repeated:
            continue
        person_id, event = links.get(each.visitor_id, each.visitor_id), each.event
        group = batch.events.get(person_id)
        if group is None:
            batch.sites[person_id] = each.site_id
            batch.events[person_id], batch.indexes[person_id] = [event], [index]
        else:
            group.append(event)
            batch.indexes[person_id].append(index)
        if event.name in FEEDBACK:
            batch.reports.append((person_id, event))
    for visitor_id in due:
        person_id = persons.of(visitor_id)
        profile = persons.profiles.get(person_id)
        if profile is not None:
            batch.sites.setdefault(person_id, profile.site_id)
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


def _advance_all(
    connection: Connection, ruleset_of: RulesetOf, batch: _Batch, until: datetime, now: datetime
) -> dict[str, Advance]:
    """Advances every person; those whose rules ask for the past go again, with it, all fetched in one query."""
    advances: dict[str, Advance] = {}
    poison: dict[int, str] = {}
    pasts: dict[str, Past] = {}
    todo: Iterable[str] = batch.sites
    while todo:
        asked: dict[str, Since] = {}
        for person_id in todo:
            ruleset = ruleset_of(batch.sites[person_id])
            if ruleset is None:
                continue  # the site was removed meanwhile
            try:
                advances[person_id] = _advance(ruleset, batch, person_id, pasts.get(person_id), until, now)
            except PastNeeded as needed:
                asked[person_id] = needed.since
            except Exception as error:
                poison.update(_culprits(ruleset, batch, person_id, until, now, error))
        pasts.update(_pasts(connection, batch, asked, pasts))
        todo = list(asked)
    if poison:
        raise Poisoned(poison)
    for rule_id, reason in {found for each in advances.values() for found in each.failures.items()}:
        log.error("rule_failed", rule=rule_id, reason=reason[:200])
    return advances


def _advance(
    ruleset: Ruleset, batch: _Batch, person_id: str, past: Past | None, until: datetime, now: datetime
) -> Advance:
    return advance(
        ruleset,
        batch.persons.get(batch.sites[person_id], person_id),
        batch.enrolled.get(person_id, ()),
        sorted(batch.events.get(person_id, ()), key=lambda event: event.moment),
        past if past is not None else Past({}),
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
