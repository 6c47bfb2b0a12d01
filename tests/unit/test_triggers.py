"""What starts a rule besides an event: traits, sessions, pauses, dates, messages, backends, broadcasts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.domain.event import SIGNAL
from backend.domain.mistakes import RuleErrors
from backend.domain.profile import Profile
from backend.domain.rule import parse_rule
from tests.story import NOON, Story, minutes, outcomes, rule, saying, sent

DAY = 24 * 60


def test_a_trait_that_changes_starts_and_one_that_is_told_again_does_not() -> None:
    story = Story([rule("any", {"trait": "plan"}), rule("pro", {"trait": "plan", "to": "pro"})])
    story.told(0, plan="free")
    story.told(1, plan="free")
    story.told(2, plan="pro")
    story.told(3, plan=None)
    assert sent(story.run()) == [("any", 0), ("any", 2), ("pro", 2), ("any", 3)]


def test_from_and_to_ask_for_both_ends_of_the_change() -> None:
    story = Story(
        [rule("up", {"trait": "plan", "from": "free", "to": "pro"}), rule("gone", {"trait": "plan", "to": None})]
    )
    story.told(0, plan="pro")
    story.told(1, plan="free")
    story.told(2, plan="pro")
    story.told(3, plan=None)
    assert sent(story.run()) == [("up", 2), ("gone", 3)]


def test_a_session_starts_after_half_an_hour_and_returned_is_any_but_the_first() -> None:
    story = Story([rule("any", {"session": "started"}), rule("again", {"session": "returned"})])
    for moment in (0, 10, 50, 60, 200):
        story.did("Page Viewed", moment)
    assert sent(story.run()) == [("any", 0), ("again", 50), ("any", 50), ("again", 200), ("any", 200)]


def test_a_pause_is_noticed_to_the_minute_once_for_each_pause() -> None:
    viewed = {"performed": "Product Viewed"}
    story = Story([rule("left", {"inactive": "20m"}, audience=viewed)])
    story.did("Page Viewed", 0)
    story.did("Product Viewed", 30)
    story.did("Page Viewed", 40)
    story.did("Page Viewed", 59)
    story.did("Page Viewed", 200)
    result = story.run()
    assert sent(result) == [("left", 79), ("left", 220)]  # not at 20: nothing was viewed by then
    assert [each.trigger.type for each in result.enrolments.values()] == [SIGNAL, SIGNAL]


def test_whether_the_story_comes_at_once_or_bit_by_bit_makes_no_difference() -> None:
    rules = [
        rule("left", {"inactive": "20m"}),
        rule("birthday", {"date": "birthday", "every": "year", "at": "09:00"}),
        rule("plan", {"trait": "plan"}, delay="5m"),
    ]
    story = Story(rules)
    story.told(0, plan="free", birthday="1990-03-05")
    story.did("Page Viewed", 30)
    story.told(100, plan="pro")
    story.did("Page Viewed", 3 * DAY)
    whole = story.run(400 * DAY)
    profile, enrolments, messages = story.run_in_steps(400 * DAY)
    assert outcomes(enrolments) == outcomes(whole)
    assert [each.id for each in messages] == [each.id for each in whole.messages]
    assert (profile.woken_at, profile.wake_at) == (whole.profile.woken_at, whole.profile.wake_at)
    assert len(whole.messages) == 2 + 4 + 2  # plans, pauses (0, 30, 100, 3 days), birthdays of two years


def test_a_date_comes_at_local_time_so_many_days_before_and_every_year_if_asked() -> None:
    story = Story(
        [
            rule("trial", {"date": "trial_ends", "days": -3, "at": "10:00"}),
            rule("birthday", {"date": "birthday", "every": "year", "at": "08:30"}),
        ],
        zone="America/New_York",
    )
    story.told(0, trial_ends="2026-04-01", birthday="1990-05-04")
    result = story.run(800 * DAY)
    assert [(each.rule_id, each.created_at) for each in result.messages] == [
        ("trial", datetime(2026, 3, 29, 14, 0, tzinfo=UTC)),
        ("birthday", datetime(2026, 5, 4, 12, 30, tzinfo=UTC)),
        ("birthday", datetime(2027, 5, 4, 12, 30, tzinfo=UTC)),
        ("birthday", datetime(2028, 5, 4, 12, 30, tzinfo=UTC)),
    ]


def test_a_date_that_is_moved_comes_when_it_is_now() -> None:
    story = Story([rule("trial", {"date": "trial_ends", "at": "12:00"})])
    story.told(0, trial_ends="2026-03-10")
    story.told(2 * DAY, trial_ends="2026-03-20")
    assert [each.created_at.day for each in story.run().messages] == [20]


def test_wake_at_is_the_next_moment_and_goes_with_the_rule() -> None:
    story = Story([rule("left", {"inactive": "20m"})])
    story.did("Page Viewed", 0)
    profile = story.run(5).profile
    assert profile.wake_at == NOON + timedelta(minutes=20)
    story.rules.clear()
    story.profile, story.events = profile, []
    assert story.run(6).profile.wake_at is None


def test_a_rule_follows_what_became_of_the_message_of_another() -> None:
    story = Story(
        [
            rule("first", "Product Viewed"),
            rule("sent", {"message": "sent", "rule": "first"}, delay="1m"),
            rule("shown", {"message": "shown", "rule": "first"}),
            rule("clicked", {"message": "clicked", "rule": "other"}),
            rule("unseen", {"message": "not_shown", "rule": "first", "within": "1h"}),
        ]
    )
    story.did("Product Viewed", 0)
    [message_id] = [each.id for each in story.run(0).messages]
    story.did("Message Shown", 10, message_id=message_id)
    story.did("Message Clicked", 11, message_id=message_id)
    story.did("Message Shown", 12, message_id="made up")
    story.did("Product Viewed", 100)
    result = story.run(500)
    assert sent(result) == [
        ("first", 0),
        ("sent", 1),
        ("shown", 10),
        ("first", 100),
        ("sent", 101),
        ("unseen", 160),
    ]
    assert ("unseen", "skipped", "cancelled") in outcomes(result)


@pytest.mark.parametrize("name", ["Rule Triggered", "Broadcast", "Message Sent", "Inactive"])
def test_a_page_cannot_make_the_signals_of_the_engine(name: str) -> None:
    triggers: list[dict[str, Any]] = [{"api": True}, {"broadcast": {}}, {"message": "sent", "rule": "r0"}]
    story = Story([rule(f"r{number}", trigger) for number, trigger in enumerate(triggers)])
    for number in range(3):
        story.did(name, number, rule_id=f"r{number}")
    assert story.run().enrolments == {}


def test_a_signal_for_a_rule_starts_that_rule_and_is_no_visit() -> None:
    story = Story([rule("one", {"api": True}), rule("two", {"api": True})])
    story.event(0, name="Rule Triggered", type=SIGNAL, properties={"rule_id": "two", "coupon": "SPRING"})
    result = story.run()
    assert [each.rule_id for each in result.enrolments.values()] == ["two"]
    assert (result.profile.sessions, result.profile.last_seen, result.profile.counts) == (0, None, {})
    assert result.profile.anonymous_ids == ("ann",)


def test_what_rules_do_because_of_one_another_ends_after_five_rounds() -> None:
    story = Story(
        [
            rule("ping", "Pong", steps=[{"emit": {"event": "Ping"}}]),
            rule("pong", "Ping", steps=[{"emit": {"event": "Pong"}}]),
        ]
    )
    story.did("Ping", 0)
    result = story.run()
    assert len(result.emitted) == 6
    assert [each[2] for each in outcomes(result)].count("loop_guard") == 1


def test_an_old_event_starts_nothing_live_by_whatever_trigger() -> None:
    from backend.domain.engine import advance
    from backend.domain.past import Past

    story = Story(
        [rule("any", {"trait": "plan"}), rule("session", {"session": "started"}), rule("left", {"inactive": "1m"})]
    )
    story.told(0, plan="free")
    late = NOON + timedelta(days=1)
    profile = Profile(id="visitor", site_id="site", person="visitor")
    result = advance(story.ruleset(), profile, (), story.events, Past({}, complete=True), until=late, now=late)
    assert result.enrolments == {}
    assert result.profile.traits == {"plan": "free"}
    assert result.profile.woken_at is not None
    assert minutes(result.profile.woken_at) == 1


@pytest.mark.parametrize(
    ("trigger", "path", "sentence"),
    [
        ({}, "trigger", "A trigger has one of event, stage"),
        ({"events": "X"}, "trigger", 'Did you mean "event"?'),
        ({"event": "X", "stage": "cart"}, "trigger", "not several"),
        ({"segment": 7}, "trigger.segment", "id or the name"),
        ({"segment": "vip", "change": "leaves"}, "trigger.change", "Expected entered or left"),
        ({"trait": ""}, "trigger.trait", "name of a trait"),
        ({"trait": "plan", "too": 1}, "trigger.too", 'Did you mean "to"?'),
        ({"session": "strated"}, "trigger.session", 'Did you mean "started"?'),
        ({"inactive": "20"}, "trigger.inactive", "Not a duration"),
        ({"inactive": "0s"}, "trigger.inactive", "longer than nothing"),
        ({"date": "birthday", "days": 400}, "trigger.days", "whole days"),
        ({"date": "birthday", "at": "25:00"}, "trigger.at", "time"),
        ({"date": "birthday", "every": "week"}, "trigger.every", "Expected year"),
        ({"message": "seen", "rule": "r"}, "trigger.message", "Expected one of"),
        ({"message": "shown"}, "trigger.rule", "the id of the rule"),
        ({"message": "not_shown", "rule": "r"}, "trigger.within", "needs within"),
        ({"message": "shown", "rule": "r", "within": "1h"}, "trigger.within", "Only not_shown"),
        ({"api": 1}, "trigger.api", "Expected true"),
        ({"broadcast": 1}, "trigger.broadcast", "Expected an object"),
        ({"broadcast": {"at": "tomorrow"}}, "trigger.broadcast.at", "Expected a moment"),
        ({"broadcast": {"rate": 0}}, "trigger.broadcast.rate", "whole number"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused_with_its_place(trigger: Any, path: str, sentence: str) -> None:
    with pytest.raises(RuleErrors) as caught:
        parse_rule({"name": "r", "trigger": trigger, "message": saying()})
    found: Any = caught.value.errors
    for key in path.split("."):
        found = found[key]
    if isinstance(found, dict):
        found = found["_schema"]
    assert sentence in found[0]
