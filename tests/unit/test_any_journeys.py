"""Any journeys over any histories: live, batch by batch with restarts between, they come out as simulated in one go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.domain.engine import Advance, PastNeeded, Ruleset, advance
from backend.domain.engine.noted import MOST_NOTES
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import compile_rule
from backend.domain.site import Policy
from backend.domain.webhook import Webhook
from backend.schemas.documents import decode_enrolment, decode_profile, encode_enrolment, encode_profile
from tests.story import SITE, Story, rule, saying

EVE_OF_SUMMER = datetime(2026, 3, 28, 9, 0, tzinfo=UTC)
"""In the night after it the clocks of Europe go forward; those of New York did so weeks before."""

SPAN = 3 * 24 * 60
GRAIN = 30
"""Minutes between two possible moments: things often happen at one instant, or exactly when something is due."""

LONG_AGO = Policy(dismiss_backoff=timedelta(0), max_event_age=timedelta(days=3650))
EVENTS = ("A", "B", "C", "D")

names = st.sampled_from(EVENTS)
spans = st.sampled_from(["30m", "1h", "6h", "24h", "1d", "36h"])
performed = st.builds(
    lambda name, more, no: {"not": {"performed": name} | more} if no else {"performed": name} | more,
    names,
    st.sampled_from([{}, {"within": "1h"}, {"within": "6h"}, {"since": "entry"}, {"count": {"op": "gte", "value": 2}}]),
    st.booleans(),
)
conditions = st.one_of(
    performed,
    performed,
    st.sampled_from(
        [
            {"field": "profile.traits.seen", "op": "is_set"},
            {"field": "profile.traits.level", "op": "eq", "value": "C"},
            {"field": "event.properties.n", "op": "gt", "value": 1},
        ]
    ),
)
local_delays = st.fixed_dictionaries(
    {"days": st.integers(1, 2)},
    optional={
        "at": st.sampled_from(["02:30", "09:00", "00:00"]),
        "weekdays": st.lists(st.sampled_from(["sun", "mon", "fri"]), min_size=1, unique=True),
    },
)
ends = st.lists(
    st.builds(lambda name, same: {"event": name} | ({"same": "properties.n"} if same else {}), names, st.booleans()),
    min_size=1,
    max_size=2,
)
plain_steps = st.one_of(
    st.builds(lambda span: {"delay": span}, spans),
    st.builds(lambda delay: {"delay": delay}, local_delays),
    st.builds(lambda holdout: {"message": saying(holdout=holdout)}, st.sampled_from([0, 0, 0, 50])),
    st.just({"message": saying(channel="email")}),
    st.just({"set_trait": {"seen": "{{ event.name }}", "level": "{{ event.event }}"}}),
    st.just({"set_trait": {"seen": None}}),
    st.builds(lambda name: {"emit": {"event": name, "properties": {"n": 2}}}, names),
    st.just({"webhook": {"url": "https://a.example/{{ event.name }}"}}),
    st.just({"webhook": {"url": "https://a.example/{{ seen }}", "body": {"was": "{{ level }}"}}}),
    st.just({"stop": True}),
)


def nested(steps: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(steps, max_size=3)
    awaited = st.one_of(
        st.builds(lambda events: {"events": events}, ends),
        st.builds(lambda until: {"until": until}, conditions),
        st.builds(lambda events, until: {"events": events, "until": until}, ends, conditions),
    )
    return st.one_of(
        st.builds(
            lambda wait, t, a, b: {"wait": {**wait, "timeout": t}, "then": a, "else": b}, awaited, spans, some, some
        ),
        st.builds(lambda test, a, b: {"branch": {"if": test, "then": a, "else": b}}, conditions, some, some),
        st.builds(lambda a, b: {"split": [{"steps": a}, {"steps": b, "weight": 2}]}, some, some),
    )


def branch(test: Any, name: str) -> dict[str, Any]:
    return {"branch": {"if": test, "then": [{"message": saying(name)}], "else": []}}


told_of_itself = st.builds(
    lambda name, span, more: [
        {"emit": {"event": name, "properties": {"n": 2}}},
        {"delay": span},
        branch({"performed": name} | more, "it did"),
    ],
    st.sampled_from(["B", "E"]),
    spans,
    st.sampled_from([{}, {"within": "6h"}, {"since": "entry"}, {"count": {"op": "eq", "value": 1}}]),
)
silence = st.builds(
    lambda name, timeout: [
        {
            "wait": {"until": {"not": {"performed": name, "within": "1h"}}, "timeout": timeout},
            "then": [{"message": saying("silent")}],
            "else": [],
        }
    ],
    names,
    spans,
)
pieces = st.one_of(st.recursive(plain_steps, nested, max_leaves=6).map(lambda step: [step]), told_of_itself, silence)
journeys = st.lists(pieces, min_size=1, max_size=5).map(
    lambda found: [*(step for piece in found for step in piece), {"message": saying("last")}]
)
"""Steps, and what goes wrong together: what a journey reports and asks for later, what the mere clock makes true."""


def seldom(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 3)) == 3


@st.composite
def rules(draw: st.DrawFn, rule_id: str) -> Any:
    more: dict[str, Any] = {}
    if seldom(draw):
        more["audience"] = draw(conditions)
    if seldom(draw):
        more["cancel"] = draw(ends)
    if seldom(draw):
        more["goal"] = {"event": draw(names)}
    leave = {"goal": "goal" in more and draw(st.booleans()), "not_matching": "audience" in more and draw(st.booleans())}
    if seldom(draw):
        more["caps"] = [{"count": 1, "within": "6h"}]
        more["overflow"] = draw(st.sampled_from(["drop", "defer"]))
    if draw(st.integers(0, 3)) == 0:
        more["quiet_hours"] = {
            "from": "22:00",
            "to": "08:00",
            "then": draw(st.sampled_from(["next_available", "abort"])),
        }
    reentry = draw(
        st.sampled_from(
            [
                {"policy": "every"},
                {"policy": "once"},
                {"policy": "per_key", "key": "properties.n"},
                {"policy": "every", "at_most": 2, "per": "1d"},
            ]
        )
    )
    triggers = [*({"event": name} for name in EVENTS), {"trait": "seen"}, {"trait": "level"}]
    trigger = {"event": "A"} if rule_id == "r0" else draw(st.sampled_from(triggers))
    delay = draw(st.sampled_from(["0s", "1h"]))
    return rule(rule_id, trigger, steps=draw(journeys), delay=delay, exit=leave, reentry=reentry, **more)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    zone = draw(st.sampled_from([None, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]))
    story = Story([draw(rules(f"r{number}")) for number in range(draw(st.integers(1, 3)))], policy=LONG_AGO, zone=zone)
    told = st.tuples(st.integers(0, SPAN // GRAIN), names, st.integers(1, 2))
    for at, name, number in sorted(draw(st.lists(told, min_size=4, max_size=14)), key=lambda each: each[0]):
        story.did(name, EVE_OF_SUMMER + timedelta(minutes=at * GRAIN), n=number)
    return story


END = EVE_OF_SUMMER + timedelta(days=400)


@dataclass
class Lived:
    """Where a visitor stands, as the tables keep it."""

    profile: str
    enrolments: dict[str, str]
    stored: list[Event]
    messages: list[Message]
    webhooks: list[Webhook]


def live(story: Story, batches: Sequence[Sequence[Event]], ruleset: Ruleset) -> Lived:
    """Batch by batch; between two of them nothing is left but what the tables hold."""
    kept = Lived(encode_profile(story.profile), {}, [], [], [])
    for batch in batches:
        upto = batch[-1].timestamp if batch else END
        kept.stored.extend(batch)
        result = one_batch(ruleset, kept, batch, upto)
        kept.profile = encode_profile(result.profile)
        kept.enrolments |= {each.id: encode_enrolment(each) for each in result.enrolments.values()}
        kept.stored.extend(result.emitted)
        kept.messages.extend(result.messages)
        kept.webhooks.extend(result.webhooks)
    return kept


def one_batch(ruleset: Ruleset, kept: Lived, batch: Sequence[Event], upto: datetime) -> Advance:
    """As `pipeline/apply` does it: without a past first, then with as much of it as is asked for."""
    past, asked = Past({}), frozenset[str]()
    for _ in range(20):
        try:
            return advance(
                ruleset,
                decode_profile(kept.profile),
                [decode_enrolment(each) for each in kept.enrolments.values()],
                batch,
                past,
                until=upto,
                now=upto,
            )
        except PastNeeded as needed:
            asked |= needed.names
            past = Past(by_name((each for each in kept.stored if each.name in asked), asked))
    raise AssertionError("it asks again and again")


def ended(enrolments: Sequence[Enrolment]) -> list[Any]:
    return sorted(
        (each.id, each.entered_at, each.at, each.outcome, each.reason or "", each.variant or "", each.notes)
        for each in enrolments
    )


def check(story: Story, cuts: set[int]) -> None:
    ruleset = Ruleset.of(replace(SITE, policy=story.policy), [compile_rule(each) for each in story.rules])
    events = sorted(story.events, key=lambda each: each.moment)
    simulated = advance(ruleset, story.profile, (), events, Past(by_name(events), complete=True), until=END, now=None)
    batches: list[list[Event]] = [[]]
    for number, (_, group) in enumerate(groupby(events, key=lambda each: each.timestamp)):
        if number in cuts and batches[-1]:
            batches.append([])
        batches[-1].extend(group)
    lived = live(story, [*batches, []], ruleset)

    assert simulated.failures == {}
    assert ended([decode_enrolment(each) for each in lived.enrolments.values()]) == ended(
        list(simulated.enrolments.values())
    )
    assert decode_profile(lived.profile).contacts == simulated.profile.contacts
    assert decode_profile(lived.profile).traits == simulated.profile.traits
    assert decode_profile(lived.profile).counts == simulated.profile.counts
    assert sorted(each.message_id for each in lived.stored) == sorted(
        each.message_id for each in [*events, *simulated.emitted]
    )

    def said(messages: Sequence[Message]) -> list[Any]:
        return sorted((each.id, each.step, each.channel, each.variant, each.enrolment_id) for each in messages)

    assert said(lived.messages) == said(simulated.messages)

    def called(webhooks: Sequence[Webhook]) -> list[Any]:
        return sorted((each.id, each.step, each.url, repr(each.body)) for each in webhooks)

    assert called(lived.webhooks) == called(simulated.webhooks)
    for each in simulated.enrolments.values():
        assert not each.waiting, "everything comes to an end"
        assert len(each.notes) <= MOST_NOTES
        assert each.at is not None
        assert each.at >= each.entered_at
        assert [note.at for note in each.notes] == sorted(note.at for note in each.notes)
    twice = Counter((each.enrolment_id, each.step) for each in simulated.messages)
    assert all(count == 1 for count in twice.values()), "no step speaks twice"
    again = Counter((each.enrolment_id, each.step) for each in simulated.webhooks)
    assert all(count == 1 for count in again.values())
    assert len({each.message_id for each in simulated.emitted}) == len(simulated.emitted)


FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(story=stories(), cuts=st.sets(st.integers(0, 14)))
def test_any_journeys_live_come_out_as_simulated(story: Story, cuts: set[int]) -> None:
    check(story, cuts)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@settings(FEW, max_examples=5_000)
@given(story=stories(), cuts=st.sets(st.integers(0, 14)))
def test_that_very_many_times(story: Story, cuts: set[int]) -> None:
    check(story, cuts)


def test_the_profile_of_these_tests_is_kept_as_it_is() -> None:
    profile = Profile(id="visitor", site_id=SITE.id, person="visitor")
    assert decode_profile(encode_profile(profile)) == profile
