"""The step `simulate`: rules over stored history, in event time, by the engine that runs live; nothing is written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from backend.domain.engine import Collision, Denial, Ruleset, Segments, advance
from backend.domain.enrolment import COMPLETED, DEFERRED, PENDING, Enrolment
from backend.domain.event import Event
from backend.domain.identity import known_visitor
from backend.domain.message import Message
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Rule, compile_rule
from backend.domain.site import Site
from backend.domain.winner import Winners
from backend.runtime import Runtime
from backend.storage import contests, events, visitors
from backend.storage.database import Connection
from backend.storage.segments import load_segments

VISITORS_AT_ONCE = 200
"""Visitors whose history is in memory at a time."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message that would have been sent: as it would have read."""

    at: datetime
    channel: str
    step: str
    variant: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One enrolment that would have been; `at` is the moment of firing, `rule` the rule's name."""

    rule_id: str
    visitor_id: str
    anonymous_id: str | None
    user_id: str | None
    event_id: str
    entered_at: datetime
    at: datetime
    outcome: str
    reason: str | None
    variant: str | None = None
    channel: str | None = None
    rule: str = ""
    messages: tuple[Said, ...] = ()
    webhooks: int = 0


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """One page of items in order of visitor and time, and the summary of all of them."""

    items: list[Item]
    summary: dict[str, Any]
    next_cursor: str | None


def simulate(
    rt: Runtime,
    site: Site,
    rules: Sequence[Rule],
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> SimulationResult:
    """What `rules`, together, would have done with the stored events: enrolments entered in `[since, until)`.

    `until` is now when left out, `since` the beginning. `cursor` is `next_cursor` of the page before.
    """
    until = until if until is not None else rt.clock()
    with rt.db.read() as connection:
        return simulate_over(
            _histories(connection, site, until),
            site,
            rules,
            since,
            until,
            limit,
            cursor,
            segments=asked_for(connection, site, rules),
            winners=contests.winners(connection, site.id).get(site.id),
        )


def simulate_over(
    histories: Iterable[tuple[Profile, Sequence[Event]]],
    site: Site,
    rules: Sequence[Rule],
    since: datetime | None,
    until: datetime,
    limit: int,
    cursor: str | None = None,
    *,
    segments: Segments | None = None,
    winners: Winners | None = None,
) -> SimulationResult:
    """The same over histories that are at hand: each person, and their events in order of moment."""
    compiled = [compile_rule(replace(rule, status="active")) for rule in rules]
    ruleset = Ruleset.of(site, compiled, segments=segments, winners=winners)
    names = {rule.id: rule.spec.name for rule in rules}
    summary = _Summary()
    skip = int(cursor) if cursor else 0
    items: list[Item] = []
    for profile, stored in histories:
        history = [event for event in stored if _reported_by(event) not in names]
        summary.visitors += 1
        summary.events += len(history)
        result = advance(
            ruleset,
            Profile(id=profile.id, site_id=site.id, person=profile.person),
            (),
            history,
            Past(by_name(history), complete=True),
            until=until,
            now=None,
        )
        calls = Counter(each.enrolment_id for each in result.webhooks)
        found = [each for each in result.enrolments.values() if _within(each.entered_at, since, until)]
        for enrolment in sorted(found, key=lambda each: each.trigger.moment):
            item = _item(enrolment, profile, names[enrolment.rule_id], result.messages, calls[enrolment.id])
            if skip <= summary.total < skip + limit:
                items.append(item)
            summary.count(item)
        summary.deny(denial for denial in result.denials if _within(denial.at, since, until))
        summary.collide(each for each in result.collisions if _within(each.at, since, until))
    more = summary.total > skip + limit
    return SimulationResult(items, summary.as_dict(), str(skip + limit) if more else None)


def asked_for(connection: Connection, site: Site, rules: Iterable[Rule]) -> Segments | None:
    """The segments that these rules ask for; all others need not be asked."""
    named = frozenset[str]().union(*(rule.spec.segments for rule in rules))
    if not named:
        return None
    found = load_segments(connection, site.id).get(site.id, [])
    return Segments(found).only(each.id for each in found if named & {each.id, each.spec.name})


def _histories(connection: Connection, site: Site, until: datetime) -> Iterator[tuple[Profile, Sequence[Event]]]:
    """Each visitor of the site with all events up to `until`, in order of moment; those without any are left out."""
    after = ""
    while ids := visitors.ids_after(connection, site.id, after, VISITORS_AT_ONCE):
        after = ids[-1]
        profiles = {each: stored.profile for each, stored in visitors.load(connection, ids).items()}
        owner = {member: each for each, profile in profiles.items() for member in visitors.members_of(profile)}
        found = [
            (owner[visitor_id], _as_believed(site, visitor_id, event))
            for visitor_id, event in events.all_events(connection, owner, until)
        ]
        found.sort(key=lambda pair: pair[0])  # stable: each visitor's events stay in order of moment
        for visitor_id, group in groupby(found, key=lambda pair: pair[0]):
            yield profiles[visitor_id], [event for _, event in group]


def _as_believed(site: Site, visitor_id: str, event: Event) -> Event:
    """The event without a user id that was not believed when it came: then it was stored as the browser's own."""
    if event.user_id is None or visitor_id == known_visitor(site.id, event.user_id):
        return event
    return replace(event, user_id=None)


def _reported_by(event: Event) -> str | None:
    """The rule that reported this event, live; simulated, it reports it again."""
    told = event.context.get("chimein")
    rule_id = told.get("rule") if isinstance(told, dict) else None
    return rule_id if isinstance(rule_id, str) else None


def _within(moment: datetime, since: datetime | None, until: datetime) -> bool:
    return (since is None or since <= moment) and moment < until


def _item(enrolment: Enrolment, profile: Profile, name: str, messages: Sequence[Message], webhooks: int) -> Item:
    return Item(
        rule_id=enrolment.rule_id,
        visitor_id=profile.id,
        anonymous_id=enrolment.trigger.anonymous_id or (profile.anonymous_ids[0] if profile.anonymous_ids else None),
        user_id=profile.user_id,
        event_id=enrolment.trigger.message_id,
        entered_at=enrolment.entered_at,
        at=enrolment.at or enrolment.due_at,
        outcome=enrolment.outcome or (DEFERRED if enrolment.deferred else PENDING),
        reason=enrolment.reason or enrolment.deferred,
        variant=enrolment.variant,
        channel=enrolment.channel,
        rule=name,
        messages=tuple(
            Said(each.created_at, each.channel, each.step, each.variant, each.content)
            for each in messages
            if each.enrolment_id == enrolment.id
        ),
        webhooks=webhooks,
    )


class _Summary:
    """The figures of a whole simulation."""

    def __init__(self) -> None:
        self.visitors = 0
        self.events = 0
        self.total = 0
        self.webhooks = 0
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.variants: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.reached: set[str] = set()
        self.rules: dict[str, Counter[str]] = {}
        self.collisions: Counter[tuple[str, str]] = Counter()

    def count(self, item: Item) -> None:
        self.total += 1
        self.webhooks += item.webhooks
        self.rules.setdefault(item.rule_id, Counter())[item.outcome] += 1
        self.outcomes[item.outcome] += 1
        if item.reason is not None:
            self.reasons[item.reason] += 1
        if item.variant is not None:
            self.variants[item.variant] += 1
        self.reached.add(item.visitor_id)

    def deny(self, denials: Iterable[Denial]) -> None:
        self.denied.update(denial.reason for denial in denials)

    def collide(self, collisions: Iterable[Collision]) -> None:
        self.collisions.update((each.rule_id, other) for each in collisions for other in each.by)

    def as_dict(self) -> dict[str, Any]:
        return {
            "visitors": self.visitors,
            "events": self.events,
            "entered": self.total,
            "entered_visitors": len(self.reached),
            "sent": self.outcomes["sent"],
            "skipped": self.outcomes["skipped"],
            "pending": self.outcomes[PENDING],
            "deferred": self.outcomes[DEFERRED],
            "completed": self.outcomes[COMPLETED],
            "webhooks": self.webhooks,
            "reasons": dict(self.reasons),
            "variants": dict(self.variants),
            "denied": dict(self.denied),
            "rules": {rule_id: dict(outcomes) for rule_id, outcomes in self.rules.items()},
            "collisions": [
                {"rule_id": held, "after": other, "count": count}
                for (held, other), count in self.collisions.most_common()
            ],
        }
