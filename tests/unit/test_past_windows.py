"""A visitor's past is fetched only from where a rule asks for it, and the rule decides as with all of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import HistoryNeeded, lookback, parse_condition
from backend.domain.engine import Advance, PastNeeded, Ruleset, advance
from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.past import Past, Since, by_name, together
from backend.domain.profile import Profile
from backend.domain.rule import Rule, compile_rule, parse_rule
from backend.storage.sites import new_site
from tests.core_fixtures import START, at, popup_rule
from tests.core_histories import one_visitors_events

EXPENSIVE = {"field": "event.properties.price", "op": "gte", "value": 20}
questions = st.one_of(
    st.sampled_from(
        [
            {"performed": "Product Viewed", "within": "30m"},
            {"performed": "Product Viewed", "within": "2h", "count": {"op": "gte", "value": 3}},
            {"performed": "Product Viewed", "between": {"from": "2h", "to": "30m"}},
            {"performed": "Product Viewed", "where": EXPENSIVE, "within": "1h"},
            {"performed": "Product Viewed", "where": EXPENSIVE, "count": {"op": "eq", "value": 1}},
            {"performed": "Product Added", "since": at(minutes=90).isoformat(), "count": {"op": "gte", "value": 2}},
            {"performed": "Product Added", "first": {"op": "after", "value": {"ago": "1h"}}},
            {"performed": "Product Added", "within": "1h", "sum": {"of": "properties.price", "op": "gte", "value": 99}},
            {"performed": "Product Viewed", "same": "properties.product_id", "within": "45m"},
            {"performed": "Page Viewed", "since": "entry", "count": {"op": "gte", "value": 2}},
            {"not": {"performed": "Order Completed", "within": "1h"}},
        ]
    )
)
audiences = st.one_of(
    questions,
    st.lists(questions, min_size=2, max_size=3).map(lambda parts: {"all": parts}),
    st.lists(questions, min_size=2, max_size=3).map(lambda parts: {"any": parts}),
)
rule_sets = st.lists(
    st.builds(
        lambda event, audience, delay: popup_rule(event, audience=audience, delay=delay, reentry={"policy": "every"}),
        st.sampled_from(["Product Added", "Product Viewed", "Page Viewed"]),
        audiences,
        st.sampled_from(["0s", "20m"]),
    ),
    min_size=1,
    max_size=4,
)


def ruleset(documents: Sequence[dict[str, Any]]) -> Ruleset:
    rules = [
        compile_rule(Rule(id=f"r{number}", site_id="s", spec=parse_rule(document), status="active"))
        for number, document in enumerate(documents)
    ]
    return Ruleset.of(new_site("shop"), rules)


def fetched(events: Sequence[Event], since: Since, known: int = 0) -> Past:
    """Only what is asked for, as storage gives it; of what was not done in the first `known` events, the others."""
    found = [
        event
        for event in events
        if event.name in since and ((bound := since[event.name]) is None or event.timestamp >= bound)
    ]
    before = {event.name for event in events[:known]}
    return Past(by_name(found, since), since=since, new=events[known:], before=before.__contains__ if known else None)


def folded(events: Sequence[Event]) -> Profile:
    """Somebody who did this before."""
    profile = Profile(id="v", site_id="s")
    for event in events:
        profile = fold(profile, event)
    return profile


def lazily(rules: Ruleset, events: Sequence[Event], known: int, until: datetime) -> tuple[Advance, Since]:
    """As the processor does it: the past is fetched when a rule asks for it, and then all goes once more."""
    since: Since = {}
    profile, new = folded(events[:known]), events[known:]
    for _ in range(20):
        try:
            return advance(rules, profile, (), new, fetched(events, since, known), until=until, now=None), since
        except PastNeeded as needed:
            wider = together(since, needed.since)
            assert wider != since, "what is fetched already is not asked for again"
            since = wider
    raise AssertionError("there is no end to it")


@settings(max_examples=150, deadline=None)
@given(rule_sets, one_visitors_events(most=18), st.integers(0, 10))
def test_rules_decide_by_the_window_as_they_do_by_all_of_the_past(
    documents: list[dict[str, Any]], events: list[Event], known: int
) -> None:
    rules, until = ruleset(documents), at(hours=6)
    whole = Past(by_name(events), complete=True)
    expected = advance(rules, folded(events[:known]), (), events[known:], whole, until=until, now=None)
    found, _ = lazily(rules, events, known, until)
    assert found.enrolments == expected.enrolments
    assert [each.id for each in found.messages] == [each.id for each in expected.messages]


def views(count: int, step: timedelta) -> list[Event]:
    return [
        Event(
            message_id=f"m{number}",
            name="Product Viewed",
            type="track",
            timestamp=START + number * step,
            received_at=START + number * step,
            order=number,
            properties={"price": number},
        )
        for number in range(count)
    ]


def test_of_a_busy_visitor_only_the_window_is_fetched() -> None:
    events = views(1_000, timedelta(minutes=10))
    often = {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}, "within": "1h"}
    rules = ruleset([popup_rule("Product Viewed", audience=often)])
    found, since = lazily(rules, events, 999, until=events[-1].timestamp)
    assert since == {"Product Viewed": events[-1].timestamp - timedelta(hours=1)}
    assert len(fetched(events, since).of("Product Viewed", since["Product Viewed"])) == 7
    assert len(found.enrolments) == 1


def test_the_widest_window_of_a_rule_is_fetched_at_once() -> None:
    audience = {
        "all": [
            {"performed": "X", "within": "1h", "where": EXPENSIVE},
            {"performed": "X", "within": "3d", "count": {"op": "gte", "value": 2}},
            {"performed": "Y", "where": EXPENSIVE},
            {"performed": "Z", "within": "2h", "where": {"performed": "W", "within": "5h", "where": EXPENSIVE}},
        ]
    }
    assert lookback([parse_condition(audience), None]) == {
        "X": timedelta(days=3),
        "Z": timedelta(hours=2),
        "W": timedelta(hours=5),
    }


def test_what_is_asked_beyond_what_is_at_hand_is_asked_for() -> None:
    events = views(10, timedelta(minutes=1))
    bound = at(minutes=5)
    past = fetched(events, {"Product Viewed": bound})
    assert [event.message_id for event in past.of("Product Viewed", at(minutes=7))] == ["m7", "m8", "m9"]
    past.cut = events[8].moment
    assert [event.message_id for event in past.of("Product Viewed", bound)] == ["m5", "m6", "m7", "m8"]
    for since in (None, at(minutes=4, seconds=59)):
        with pytest.raises(HistoryNeeded) as asked:
            past.of("Product Viewed", since)
        assert (asked.value.name, asked.value.since) == ("Product Viewed", since)


def test_two_wishes_together_are_the_wider_one() -> None:
    early, late = at(), at(hours=1)
    assert together({"X": late, "Y": None}, {"X": early, "Y": late, "Z": late}) == {"X": early, "Y": None, "Z": late}


def test_what_was_never_done_before_is_at_hand_as_far_as_it_was_done_now() -> None:
    events = views(4, timedelta(minutes=1))
    past = Past(new=[*reversed(events)], before={"Page Viewed"}.__contains__)
    assert past.of("Product Viewed") == events
    past.cut = events[1].moment
    assert past.of("Product Viewed", at(seconds=30)) == events[1:2]
    assert not past.of("Order Completed")
    with pytest.raises(HistoryNeeded):
        past.of("Page Viewed")


def test_what_the_engine_makes_on_the_way_is_in_the_past_once() -> None:
    """Whose walk has to begin again, for a product say, makes the same again."""
    events = views(3, timedelta(minutes=1))
    for past in (Past(by_name(events[:2]), complete=True), Past(new=events[:2], before={"X"}.__contains__)):
        for _ in range(2):
            past.add(events[2])
            past.add(replace(events[0], name="Made", message_id="made"))
            past.add(replace(events[0], name="X", message_id="x"))
        assert past.of("Product Viewed") == events
        assert [each.message_id for each in past.of("Made")] == ["made"]
