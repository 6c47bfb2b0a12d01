"""The verb `rehearse`: rules over a history that is given, and not over the stored one; nothing is read or written.

Whose events are whose is found as it is live: a browser belongs to the first person who was known on it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from backend.domain.engine import Segments
from backend.domain.event import Event
from backend.domain.identifier import Reading
from backend.domain.identity import anonymous_visitor, known_visitor
from backend.domain.mistakes import Mistakes
from backend.domain.profile import Profile
from backend.domain.rule import Rule
from backend.domain.site import Site
from backend.errors import ChimeinError, Malformed
from backend.pipeline import persons as people
from backend.pipeline.arrive import Arrived
from backend.pipeline.collect import read_single
from backend.pipeline.persons import Persons
from backend.pipeline.simulate import simulate_over
from backend.pipeline.simulated import SimulationResult
from backend.schemas import wire
from backend.schemas.event import EARLIEST, event_of
from backend.schemas.wire import Header
from backend.storage.times import to_micros

MOST_EVENTS = 10_000
LAST_YEAR = 2199


def rehearse(
    site: Site,
    rules: Sequence[Rule],
    calls: Sequence[Any],
    until: datetime,
    *,
    since: datetime | None = None,
    limit: int = 1_000_000,
    cursor: str | None = None,
    segments: Segments | None = None,
) -> SimulationResult:
    """What `rules` would have done with these calls of Segment's API, each with its timestamp.

    RuleErrors below `events` for calls that the collector would refuse, or that do not say when they happened.
    """
    events = [event for event in given_events(site, calls) if event.timestamp <= until]
    histories = histories_of(site, events)
    return simulate_over(histories, site, rules, since, until, limit, cursor, segments=segments)


def given_events(site: Site, calls: Sequence[Any]) -> list[Event]:
    """The calls as events in the order in which they happened; of equal moments, in the order given."""
    mistakes = Mistakes()
    if len(calls) > MOST_EVENTS:
        mistakes.add(("events",), f"At most {MOST_EVENTS} events at a time.")
        mistakes.raise_if_any()
    told: list[tuple[datetime, str, bytes]] = []
    for index, call in enumerate(calls):
        try:
            told.append(_read(call))
        except ChimeinError as error:
            mistakes.add(("events", index), error.message)
    mistakes.raise_if_any()
    told.sort(key=lambda each: each[0])
    return [_event(site, order, *each) for order, each in enumerate(told)]


def _read(call: Any) -> tuple[datetime, str, bytes]:
    if not isinstance(call, Mapping):
        raise Malformed("An event is an object, as Segment's libraries send it.")
    raw = json_text(call).encode()
    kind = call.get("type", "track")
    event = read_single(raw, kind if isinstance(kind, str) else "?")
    moment = event.timestamp or event.original_timestamp
    if moment is None:
        raise Malformed("A given event needs its timestamp: nobody else knows when it happened.")
    if not EARLIEST.year <= moment.year <= LAST_YEAR:
        raise Malformed(f"The timestamp lies outside of {EARLIEST.year} to {LAST_YEAR}.")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC), str(kind), raw


def _event(site: Site, order: int, moment: datetime, kind: str, raw: bytes) -> Event:
    """The event as if it had been received the moment it happened."""
    header = Header(1, site.id, to_micros(moment), 0, kind)
    return event_of(wire.decode_logged_event(raw), header, moment, 0, order, None)


def histories_of(site: Site, events: Sequence[Event]) -> list[tuple[Profile, list[Event]]]:
    """Each person with their events, in the order of their ids; of a message id that a person sent twice, the first."""
    persons, reading = Persons(), Reading.of(site.policy)
    seen: list[tuple[str, Event]] = []
    for event in events:
        arrived = people.believed(Arrived(site.id, _visitor(site, event), event, "", 0, ""), site, reading)
        if arrived is None:
            continue
        people.link(persons, [arrived])
        person_id = persons.of(arrived.visitor_id)
        persons.profiles[person_id] = _met(persons.get(site.id, person_id), arrived.event)
        seen.append((arrived.visitor_id, arrived.event))
    groups: dict[str, dict[str, Event]] = {}
    for visitor_id, event in seen:
        groups.setdefault(persons.of(visitor_id), {}).setdefault(event.message_id, event)
    return [(persons.profiles[each], list(groups[each].values())) for each in sorted(groups)]


def _visitor(site: Site, event: Event) -> str:
    if event.user_id is not None:
        return known_visitor(site.id, event.user_id)
    return anonymous_visitor(site.id, event.anonymous_id or "")


def _met(profile: Profile, event: Event) -> Profile:
    """What of a profile its identity hangs on, after one more event; the engine folds all else."""
    known = profile.anonymous_ids
    fresh = event.anonymous_id is not None and event.anonymous_id not in known
    return replace(
        profile,
        user_id=event.user_id or profile.user_id,
        anonymous_ids=(*known, event.anonymous_id) if fresh and event.anonymous_id is not None else known,
        first_seen=profile.first_seen or event.timestamp,
    )


def json_text(value: Any) -> str:
    """The value as JSON, its keys in order; Malformed where it is none."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise Malformed("This cannot be written as JSON.") from None
