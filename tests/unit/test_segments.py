"""Who belongs to a segment, by what happens and as time passes: the engine alone, without any storage."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from backend.domain.condition import Moment, compile_condition, parse_condition
from backend.domain.engine import Advance
from backend.domain.engine.membership import ADDED, REMOVED
from backend.domain.event import SIGNAL, Event
from backend.domain.fold import fold
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile, Standing
from tests.core_histories import one_visitors_events
from tests.story import NOON, Story, minutes, rule, segment, sent

DAY = 24 * 60
BOUGHT = {"performed": "Order Completed", "within": "30d"}


def standing(result: Advance, segment_id: str) -> tuple[float | None, float | None, float | None]:
    """(entered, left, due) in minutes after noon."""
    found = result.profile.segments.get(segment_id, Standing())
    return tuple(None if each is None else minutes(each) for each in found)  # type: ignore[return-value]


def both(story: Story, until: float = 100 * DAY) -> Advance:
    """The story at once, after making sure that bit by bit the same comes of it."""
    whole = story.run(until)
    profile, _, messages = story.run_in_steps(until)
    assert profile.segments == whole.profile.segments
    assert profile.wake_at == whole.profile.wake_at
    assert [each.id for each in messages] == [each.id for each in whole.messages]
    return whole


def test_an_event_brings_somebody_in_and_time_alone_lets_them_out() -> None:
    rules = [rule("in", {"segment": "buyers"}), rule("out", {"segment": "buyers", "change": "left"})]
    story = Story(rules, segments=[segment("buyers", BOUGHT)])
    story.did("Page Viewed", 0)
    story.did("Order Completed", 10)
    story.did("Order Completed", 5 * DAY)
    story.did("Page Viewed", 40 * DAY)
    result = both(story)
    assert sent(result) == [("in", 10), ("out", 35 * DAY)]
    assert standing(result, "buyers") == (None, 35 * DAY, None)
    assert result.profile.wake_at is None


def test_when_time_will_tell_is_written_down() -> None:
    story = Story([], segments=[segment("buyers", BOUGHT)])
    story.did("Order Completed", 10)
    result = story.run(20)
    assert standing(result, "buyers") == (10, None, 30 * DAY + 10)
    assert result.profile.wake_at == NOON + timedelta(days=30, minutes=10)


@pytest.mark.parametrize(
    ("condition", "entered", "left"),
    [
        ({"performed": "A", "count": {"op": "gte", "value": 2}, "within": "1h"}, 30, 60),
        ({"performed": "A", "count": {"op": "lte", "value": 1}, "within": "1h"}, 60, 30),
        ({"performed": "A", "between": {"from": "2h", "to": "1h"}}, 60, 150),
        ({"performed": "A", "last": {"op": "before", "value": {"ago": "1h"}}}, 90, None),
        ({"performed": "A", "first": {"op": "before", "value": {"ago": "1h"}}}, 60, None),
        ({"not": {"performed": "A", "within": "1h"}}, 90, None),
        ({"field": "profile.last_seen", "op": "before", "value": {"ago": "1h"}}, 90, None),
        ({"field": "profile.last_seen", "op": "lte", "value": {"ago": "1h"}}, 90, None),
        ({"field": "profile.last_seen", "op": "after", "value": {"ago": "1h"}}, 0, 90),
        ({"field": "profile.traits.plan", "op": "unchanged_for", "value": "1h"}, 70, None),
        ({"field": "profile.traits.until", "op": "before", "value": {"in": "1d"}}, 59 * 60, None),
        (
            {
                "performed": "A",
                "within": "1h",
                "where": {"field": "event.properties.price", "op": "gte", "value": 10},
            },
            0,
            60,
        ),
        ({"all": [{"performed": "A"}, {"not": {"performed": "B"}}]}, 0, None),
    ],
)
def test_a_moment_at_which_time_turns_a_condition_is_met_exactly(
    condition: Any, entered: float, left: float | None
) -> None:
    story = Story([], segments=[segment("s", condition)])
    story.did("A", 0, price=10)
    story.told(10, plan="pro", until="2026-03-05")
    story.told(20, plan="pro")
    story.did("A", 30, price=5)
    found = standing(both(story, 4 * DAY), "s")
    # Whoever has left is no member; "before" holds from the next moment on, a microsecond later.
    assert found[0] == (None if left is not None and left > entered else pytest.approx(entered, abs=0.001))
    assert found[1] == left


def test_hours_of_the_visitors_day_come_and_go() -> None:
    opened = {"local_time": {"from": "09:00", "to": "17:00", "weekdays": ["mon", "tue"]}}
    rules = [rule("in", {"segment": "open"}), rule("out", {"segment": "open", "change": "left"})]
    story = Story(rules, segments=[segment("open", opened)], zone="Europe/London")
    story.did("A", 0)  # Monday noon there too
    assert sent(both(story, 8 * DAY)) == [
        ("in", 0),
        ("out", 5 * 60),
        ("in", 21 * 60),
        ("out", 29 * 60),
        ("in", 7 * DAY - 3 * 60),
        ("out", 7 * DAY + 5 * 60),
        ("in", 7 * DAY + 21 * 60),
    ]


def test_a_segment_that_asks_for_another_follows_it_at_the_same_moment() -> None:
    segments = [
        segment("calm", {"all": [{"segment": "buyers"}, {"not": {"segment": "angry"}}]}),
        segment("buyers", BOUGHT),
        segment("angry", {"performed": "Complained", "within": "1d"}),
    ]
    rules = [rule("in", {"segment": "calm"}), rule("out", {"segment": "calm", "change": "left"})]
    story = Story(rules, segments=segments)
    story.did("Order Completed", 0)
    story.did("Complained", 60)
    assert sent(both(story)) == [("in", 0), ("out", 60), ("in", 60 + DAY), ("out", 30 * DAY)]


def test_an_audience_and_a_timer_see_the_membership_of_their_moment() -> None:
    inside = {"segment": "buyers"}
    rules = [
        rule("at the end", "Order Completed", delay="30d", audience=inside),
        rule("shortly before", "Order Completed", delay="29d", audience=inside),
        rule("page", "Page Viewed", audience=inside),
    ]
    story = Story(rules, segments=[segment("buyers", BOUGHT)])
    story.did("Page Viewed", 0)
    story.did("Order Completed", 10)
    story.did("Page Viewed", 11)
    story.did("Page Viewed", 30 * DAY + 10)
    assert sent(both(story)) == [("page", 11), ("shortly before", 29 * DAY + 10)]


def test_what_is_true_of_everybody_is_entered_with_the_first_event() -> None:
    story = Story([rule("in", {"segment": "non-buyers"})], segments=[segment("non-buyers", {"not": BOUGHT})])
    story.did("Page Viewed", 3)
    result = both(story, 10)
    assert sent(result) == [("in", 3)]


def test_a_list_is_kept_by_hand_and_others_may_ask_for_it() -> None:
    segments = [segment("vip", None), segment("vip buyers", {"all": [{"segment": "vip"}, {"performed": "B"}]})]
    rules = [
        rule("in", {"segment": "vip"}),
        rule("too", {"segment": "vip buyers"}),
        rule("out", {"segment": "vip", "change": "left"}),
    ]
    story = Story(rules, segments=segments)
    story.did("B", 0)
    for moment, name, told in ((1, ADDED, "vip"), (2, ADDED, "vip"), (3, ADDED, "vip buyers"), (4, REMOVED, "vip")):
        story.event(moment, name=name, type=SIGNAL, properties={"segment_id": told})
    story.did(ADDED, 5, segment_id="vip")  # a page cannot do that
    result = both(story)
    assert sent(result) == [("in", 1), ("too", 1), ("out", 4)]
    assert standing(result, "vip")[:2] == (None, 4)


def test_a_definition_that_is_new_is_asked_of_the_past_without_a_word() -> None:
    rules = [rule("in", {"segment": "s"}), rule("in too", {"segment": "t"})]
    story = Story(rules, segments=[segment("s", {"performed": "A"})])
    story.did("A", 0)
    first = story.run(5)
    assert sent(first) == [("in", 0)]
    story.profile, old = first.profile, story.events[:]
    story.segments = [segment("t", {"performed": "A"}, 2), segment("s", {"performed": "A", "within": "1h"}, 3)]
    story.events = []
    result = story.run(30)
    assert sent(result) == []
    assert standing(result, "t") == (30, None, None)
    assert standing(result, "s") == (0, None, 60)
    story.profile = result.profile
    story.segments = [segment("t", {"performed": "A", "within": "10m"}, 4)]
    result = story.run(31)
    assert standing(result, "t") == (None, 31, None)
    assert "s" not in result.profile.segments
    assert len(old) == 1


CONDITIONS: dict[str, Any] = {
    "bought": {"performed": "Order Completed", "within": "1h"},
    "looking": {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}, "within": "40m"},
    "dear": {
        "performed": "Product Added",
        "where": {"field": "event.properties.price", "op": "gte", "value": 100},
        "count": {"op": "between", "value": [1, 2]},
        "within": "90m",
    },
    "before": {"performed": "Page Viewed", "between": {"from": "70m", "to": "30m"}},
    "quiet": {"field": "profile.last_seen", "op": "lte", "value": {"ago": "20m"}},
    "spent": {
        "performed": "Order Completed",
        "sum": {"of": "properties.total", "op": "gte", "value": 100},
        "within": "50m",
    },
    "stale": {"performed": "Page Viewed", "last": {"op": "before", "value": {"ago": "30m"}}},
    "plan": {"field": "profile.traits.plan", "op": "unchanged_for", "value": "25m"},
    "morning": {"local_time": {"from": "13:30", "to": "14:15"}},
    "followed": {
        "performed": "Product Viewed",
        "where": {"performed": "Page Viewed", "within": "15m"},
        "within": "45m",
    },
    "warm": {"all": [{"segment": "looking"}, {"not": {"segment": "bought"}}]},
    "gone": {"any": [{"all": [{"segment": "warm"}, {"segment": "quiet"}]}, {"segment": "dear"}]},
    "empty cart": {"field": "profile.cart.total", "op": "eq", "value": 0},
    "much": {"field": "profile.counts.Page Viewed", "op": "gte", "value": 3},
}


def naive(events: list[Event], at: datetime) -> set[str]:
    """Which segments somebody is in at this moment: everything folded and asked anew, nothing remembered."""
    known = [each for each in events if each.timestamp <= at]
    profile = Profile(id="visitor", site_id="site", person="visitor")
    for each in known:
        profile = fold(profile, each)
    inside: set[str] = set()
    for name, condition in CONDITIONS.items():
        standings = {each: Standing(at) for each in inside}
        moment = Moment(
            profile=replace(profile, segments=standings),
            at=at,
            history=Past(by_name(known), complete=True),
            zone_name="Europe/Berlin",
        )
        if known and compile_condition(parse_condition(condition))(moment):
            inside.add(name)
    return inside


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=one_visitors_events(most=12))
def test_at_every_minute_somebody_is_in_those_segments_that_a_naive_reader_finds(history: list[Event]) -> None:
    begins = min(each.timestamp for each in history).replace(second=0)
    events = [replace(each, timestamp=each.timestamp.replace(second=0)) for each in history]
    story = Story([], events=events, segments=[segment(name, each) for name, each in CONDITIONS.items()])
    ids, order = set(CONDITIONS), list(range(360))
    for minute in order[::5]:
        at = begins + timedelta(minutes=minute)
        profile = story.run(at).profile
        assert {each for each in ids if profile.is_in(each)} == naive(sorted(events, key=lambda e: e.moment), at), at
    end = begins + timedelta(hours=6)
    whole, (steps, _, _) = story.run(end).profile, story.run_in_steps(end)
    assert steps.segments == whole.segments
    for each in ids:
        standing = whole.segments.get(each, Standing())
        entered = standing.entered_at
        if (
            entered is not None and standing.left_at != entered
        ):  # and not a moment before, unless left and entered at once
            assert each not in naive(
                [e for e in sorted(events, key=lambda e: e.moment) if e.timestamp < entered],
                entered - timedelta(seconds=1),
            )


def test_late_events_put_right_what_was_decided_without_them() -> None:
    story = Story([], segments=[segment("quiet", {"field": "profile.last_seen", "op": "lte", "value": {"ago": "1h"}})])
    story.did("A", 0)
    story.profile = story.run(100).profile
    assert standing(story.run(100), "quiet")[0] == 60
    story.events = []
    story.did("A", 50)
    result = story.run(105)
    assert standing(result, "quiet") == (None, 60, 110)
