"""The step `apply`: events and due timers take effect in one transaction: fold, decide, write."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

import structlog

from backend.domain.calendar import zone_of
from backend.domain.engine import Advance, Staged
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.profile import Profile
from backend.domain.tally import Key, contact_deltas, enrolment_deltas, exposure_deltas
from backend.domain.webhook import Webhook
from backend.pipeline.admit import Admission
from backend.pipeline.arrive import Arrived
from backend.pipeline.batch import Batch, RulesetOf, gather
from backend.pipeline.faults import point
from backend.pipeline.hear import Heard, hear
from backend.pipeline.note_interests import note_interests
from backend.pipeline.recall import recall
from backend.pipeline.walks import advance_all, walk
from backend.storage import enrolments, events, messages, segments, stage_entries, tallies, visitors, webhooks
from backend.storage.database import Connection

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Effects:
    """What a transaction brought about: the messages and webhooks to send on, and how many events it folded.

    `visited` is for how many visitors something came in or was due, `changed` are the enrolments as they stand now,
    `shopping` the events that tell of products, as (person id, site id, event), `admitted` all that may take effect,
    `heard` what visitors said.
    """

    messages: list[Message] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    folded: int = 0
    visited: int = 0
    changed: Sequence[Enrolment] = ()
    shopping: Sequence[tuple[str, str, Event]] = ()
    admitted: Sequence[tuple[int, Arrived]] = ()
    heard: Sequence[Heard] = ()


def apply(
    connection: Connection,
    ruleset_of: RulesetOf,
    arrived: Sequence[Arrived],
    due: Collection[str],
    *,
    until: datetime,
    now: datetime,
    admission: Admission | None = None,
    beside: Executor | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Effects:
    """Folds `arrived` and fires what is due up to `until` for their visitors and for those in `due`.

    `admission` says which events may take effect. `beside` is a thread in which the database may work meanwhile;
    `meanwhile` is called when Python has done its part and mostly waits for the database from there on. Raises
    `Poisoned` for events that no rule and no fold can digest; then the caller rolls back and goes on without.
    """
    batch = gather(connection, ruleset_of, arrived, due, admission, now)
    advances = _live(connection, ruleset_of, batch, until, now, beside)
    effects = Effects(folded=sum(len(group) for group in batch.events.values()), visited=len(advances))
    numbers = _numbers(connection, ruleset_of, batch, advances)
    changed: list[Enrolment] = []
    regrouped: list[tuple[Profile | None, Profile]] = []
    emitted: list[tuple[str, str, Event]] = []
    staged: dict[str, list[tuple[str, list[Staged]]]] = {}
    for person_id, result in advances.items():
        before, after = batch.persons.profiles[person_id], result.profile
        if batch.events.get(person_id) or result.woken or result.messages or result.emitted or result.enrolments:
            merged = person_id in batch.persons.merged
            if after.segments or merged or before.segments:
                regrouped.append((None if merged else before, after))
            batch.persons.profiles[person_id] = after
            batch.persons.changed.add(person_id)
        if result.staged:
            staged.setdefault(after.site_id, []).append((person_id, result.staged))
        changed.extend(result.enrolments.values())
        effects.messages.extend(result.messages)
        effects.webhooks.extend(result.webhooks)
        emitted.extend((home, after.site_id, each) for home, each in zip(result.homes, result.emitted, strict=True))
    effects.changed, effects.shopping, effects.admitted = changed, batch.shopping, batch.kept
    begun = _enter(connection, ruleset_of, staged, beside)
    if regrouped:
        begun += segments.save_members(connection, regrouped, beside)
    batch.persons.save(connection, beside, begun)
    meanwhile()
    point("after_profiles")
    if batch.shopping:
        note_interests(connection, ruleset_of, set(batch.sites.values()), batch.shopping)
    events.insert_emitted(connection, emitted)
    enrolments.save(connection, changed)
    point("after_enrolments")
    messages.insert(connection, effects.messages)
    webhooks.insert(connection, effects.webhooks)
    effects.heard = _reported(connection, batch)
    point("after_messages")
    tallies.add(connection, numbers)  # behind the messages, as in every transaction: so none waits in a circle
    point("after_tallies")
    if beside is not None:
        beside.submit(_let_go, batch, advances)  # freeing so many objects takes a while: while the database commits
    return effects


def _let_go(*_: object) -> None:
    """Holds on to these until a thread comes to it."""


def _live(
    connection: Connection,
    ruleset_of: RulesetOf,
    batch: Batch,
    until: datetime,
    now: datetime,
    beside: Executor | None,
) -> dict[str, Advance]:
    """Inserts the events, and takes everybody through what is new; by the way, since the database works beside us."""
    rows = [each.row or events.row_of(each.visitor_id, each.site_id, each.event, each.body) for _, each in batch.kept]
    inserted = events.Insertion(connection, rows, beside)
    try:
        # A walk changes nothing outside, so it need not wait to learn that nothing was sent before, as usual.
        walks = walk(ruleset_of, batch, batch.sites, {}, until, now)
    finally:
        inserted.wait()
    repeated = inserted.repeated()
    point("after_events")
    if repeated:
        batch.group(repeated)
        walks = walk(ruleset_of, batch, batch.sites, {}, until, now)
    return advance_all(connection, ruleset_of, batch, walks, until, now)


def _enter(
    connection: Connection,
    ruleset_of: RulesetOf,
    staged: Mapping[str, Sequence[tuple[str, Sequence[Staged]]]],
    beside: Executor | None,
) -> list[Future[None]]:
    """Writes down who came into which stage of the site's present funnel; with `beside`, what that does for it."""
    rows: list[stage_entries.Row] = []
    for site_id, told in staged.items():
        ruleset = ruleset_of(site_id)
        rows += stage_entries.rows_of(site_id, ruleset.site.funnel.revision if ruleset is not None else 0, told)
    if rows and beside is not None:
        return [beside.submit(stage_entries.insert, connection, rows)]
    stage_entries.insert(connection, rows)
    return []


def _numbers(
    connection: Connection, ruleset_of: RulesetOf, batch: Batch, advances: Mapping[str, Advance]
) -> Counter[tuple[str, Key]]:
    """What is to be counted of everybody's walks, while the batch still holds their profiles from before."""
    numbers = _merged(ruleset_of, batch)
    if batch.reports:
        numbers.update(recall(connection, batch, advances, lambda site_id: _zone(ruleset_of, site_id)))
    for person_id, result in advances.items():
        before, after = batch.persons.profiles[person_id], result.profile
        if after.contacts is not before.contacts or after.exposures is not before.exposures or result.enrolments:
            _tally(numbers, ruleset_of, batch, person_id, result)
    return numbers


def _tally(
    numbers: Counter[tuple[str, Key]], ruleset_of: RulesetOf, batch: Batch, person_id: str, result: Advance
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


def _merged(ruleset_of: RulesetOf, batch: Batch) -> Counter[tuple[str, Key]]:
    """Takes back what was counted twice: two visitors in the comparison of one rule who are one person."""
    numbers: Counter[tuple[str, Key]] = Counter()
    for site_id, before, after in batch.persons.joined:
        for key, number in exposure_deltas(before, after, _zone(ruleset_of, site_id)).items():
            numbers[site_id, key] += number
    return numbers


def _zone(ruleset_of: RulesetOf, site_id: str) -> tzinfo:
    ruleset = ruleset_of(site_id)
    return zone_of(ruleset.site.timezone if ruleset is not None else None)


def _reported(connection: Connection, batch: Batch) -> list[Heard]:
    """Writes what became of messages, and what visitors said."""
    feedback = [
        (
            visitors.members_of(batch.persons.profiles[person_id]),
            event.name,
            event.timestamp,
            dict(event.properties),
        )
        for person_id, event in batch.reports
    ]
    messages.record_feedback(connection, feedback)
    return hear(connection, batch.persons.profiles, batch.spoken)
