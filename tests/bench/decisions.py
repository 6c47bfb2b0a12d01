"""What deciding looks at: the mix, folded into profiles, and the thousand rules, compiled as the processor does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import msgspec

from backend.domain.condition import SharedTests
from backend.domain.engine import Ruleset
from backend.domain.event import Event
from backend.domain.fold import fold_into, working_copy
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.schemas.event import event_of, received_at_of
from backend.schemas.wire import Header, decode_logged_event
from backend.storage.sites import new_site
from backend.storage.times import to_micros
from tests.bench import events, rules


@dataclass(slots=True)
class Case:
    """One event after it was folded, and what it changed: all that deciding looks at."""

    event: Event
    profile: Profile
    before: Profile
    past: Past
    events: list[Event]


def cases(number: int) -> list[Case]:
    """The mix, folded into profiles of about 4 KB, each event with its own copy and the visitor's whole past."""
    profiles: dict[str, Profile] = {}
    pasts: dict[str, list[Event]] = {}
    found: list[Case] = []
    for event in told(number):
        who = str(event.anonymous_id)
        before = profiles.get(who) or new_profile(who, len(profiles))
        after = working_copy(before)
        fold_into(after, event)
        profiles[who] = after
        past = [*pasts.get(who, ()), event]
        pasts[who] = past
        found.append(Case(event, after, before, Past({}), past))
    for case in found:
        case.past = Past(by_name(case.events), complete=True)
        case.past.cut = case.event.moment
    return found


def told(number: int) -> Iterator[Event]:
    """The events of the mix, as the processor reads them from the log."""
    order = count(1)
    for call in events.mix(number):
        logged = decode_logged_event(msgspec.json.encode(call))
        header = Header(1, "bench", to_micros(logged.timestamp))
        yield event_of(logged, header, received_at_of(header), 0, next(order), None)


def new_profile(who: str, number: int) -> Profile:
    """A visitor of whom a good deal is known already: the profile's JSON takes about 4 KB."""
    city = ("Berlin", "Kiel", "Köln", "Bonn", "Hamburg")[number % 5]
    traits = {"plan": "gold" if number % 7 == 0 else "free", "city": city, "first_name": f"Jo {number}"}
    traits |= {f"trait_{each}": f"what is known of it, in some words, {each}" for each in range(60)}
    return Profile(id=who.ljust(32, "0"), site_id="bench", person=who, traits=traits)


def on_views(number: int) -> list[dict[str, object]]:
    """So many of the thousand rules that start by views, which are nearly all of the mix."""
    return [each for each in rules.thousand() if each["trigger"].get("event") == "Product Viewed"][:number]


def ruleset(documents: Sequence[dict[str, object]]) -> Ruleset:
    """Rules, compiled as the processor does."""
    shared = SharedTests()
    site = replace(new_site("bench"), id="bench")
    made = [
        Rule(id=f"{place:032x}", site_id="bench", spec=parse_rule(document), status="active")
        for place, document in enumerate(documents)
    ]
    return Ruleset.of(site, [compile_rule(rule, shared) for rule in made])
