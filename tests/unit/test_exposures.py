"""Who is compared with whom, and by what: each person once, whatever the order and however they merge."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import exposure
from backend.domain.attention import CONTACT_LIMIT, HELD_OUT, SLACK, Contact
from backend.domain.engine import advance
from backend.domain.exposure import Exposure, merged, session_at, with_goal, with_presence
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.tally import Deltas, contact_deltas, exposure_deltas
from tests.story import NOON, Story, minutes, rule, saying

GOAL = {"event": "Order Completed", "within": "2h"}


def exposed(at: float = 0, **facts: Any) -> Exposure:
    moment = NOON + timedelta(minutes=at)
    told: dict[str, Any] = {"rule_id": "r", "step": "", "variant": "A", "channel": "popup", "person": "p"}
    return Exposure(**{**told, "at": moment, "last": moment, **facts})


def numbers(*exposures: Exposure) -> Counter[str]:
    """The sums by variant/metric."""
    found: Counter[str] = Counter()
    for key, number in exposure_deltas((), exposures, UTC).items():
        found[f"{key.variant}/{key.metric}"] += number
    return found


def measured(story: Story, until: float = 24 * 60) -> dict[str, int]:
    return {
        name.split("/")[1]: number
        for name, number in numbers(*story.run(until).profile.exposures).items()
        if "squares" not in name
    }


@pytest.mark.parametrize(
    ("did", "ended", "seconds"),
    [
        ([], 1, 0),
        ([("Page Viewed", 5)], 0, 300),
        ([("Page Viewed", 30)], 0, 1800),
        ([("Page Viewed", 31)], 1, 0),
        ([("Page Viewed", 5), ("Page Viewed", 34), ("Page Viewed", 70)], 0, 34 * 60),
        ([("Message Shown", 1), ("Message Clicked", 2), ("Message Dismissed", 3), ("Unsubscribed", 4)], 1, 0),
        ([("Message Clicked", 2), ("Page Viewed", 31)], 1, 0),
    ],
)
def test_a_session_ends_with_the_message_where_nothing_but_reports_comes_after(
    did: list[tuple[str, float]], ended: int, seconds: int
) -> None:
    for holdout in (0, 100):
        story = Story([rule("r", "A", message=saying(holdout=holdout), reentry={"policy": "once"})])
        story.did("Page Viewed", -3)
        story.did("A", 0)
        for name, at in did:
            story.did(name, at, message_id="none of these")
        found = measured(story)
        assert (found["sessions"], found["sessions_ended"], found["session_seconds"]) == (1, ended, seconds)


def test_what_rules_report_shows_no_presence() -> None:
    steps = [{"message": saying(), "name": "one"}, {"delay": "5m"}, {"emit": {"event": "Nudged"}}]
    story = Story([rule("r", "A", steps=steps)])
    story.did("A", 0)
    assert measured(story)["sessions_ended"] == 1


def test_a_message_to_somebody_who_is_elsewhere_ends_no_session() -> None:
    story = Story([rule("r", "A", delay="2h")])
    story.did("A", 0)
    story.did("Page Viewed", 121)
    found = measured(story)
    assert found["persons"] == 1
    assert "sessions" not in found


def test_a_session_is_not_measured_for_ever() -> None:
    story = Story([rule("r", "A", reentry={"policy": "once"})])
    for number in range(200):
        story.did("A", number * 20)
    assert measured(story, 10_000)["session_seconds"] == 24 * 3600


def test_unsubscribing_counts_for_a_week_also_for_those_held_out() -> None:
    for at, counted in ((0, 1), (7 * 24 * 60 - 1, 1), (7 * 24 * 60, 0)):
        for holdout in (0, 100):
            story = Story([rule("r", "A", message=saying(holdout=holdout), reentry={"policy": "once"})])
            story.did("A", 0)
            story.did("Unsubscribed", at, email="ann@example.com")
            result = story.run()
            assert numbers(*result.profile.exposures)[f"{'A' if not holdout else HELD_OUT}/unsubscribed_persons"] == (
                counted
            )
            assert sum(each.unsubscribed_at is not None for each in result.profile.contacts) == (not holdout)


def test_only_the_first_moment_counts_for_a_person() -> None:
    story = Story([rule("r", "A", goal=GOAL)])
    for at in (0, 300, 600):
        story.did("A", at)
    story.did("Order Completed", 610, total=5)
    result = story.run()
    found = measured(story)
    assert (found["persons"], found.get("goal_persons", 0)) == (1, 0)
    assert [minutes(each.at) for each in result.profile.contacts if each.converted_at] == [600]


def test_those_held_out_wait_for_their_moment_like_the_others() -> None:
    """In quiet hours a mail waits; whoever is held out is compared from the moment at which it would have gone."""
    for holdout in (0, 100):
        message = saying(channel="email", holdout=holdout)
        story = Story([rule("r", "A", message=message, quiet_hours={"from": "12:00", "to": "18:00"})])
        story.told(-1, email="ann@example.com")
        story.did("A", 0)
        [found] = story.run().profile.exposures
        assert minutes(found.at) == 5 * 60, "18:00 in Berlin"


def test_whoever_would_not_have_been_told_for_want_of_a_value_is_no_control() -> None:
    for holdout in (0, 100):
        story = Story([rule("r", "A", message=saying("Hello {{ first_name }}", holdout=holdout))])
        story.did("A", 0)
        result = story.run()
        assert result.profile.exposures == ()
        assert [each.reason for each in result.enrolments.values()] == ["missing_value"]


goals = st.lists(st.tuples(st.integers(-60, 200), st.integers(0, 99)), max_size=6, unique_by=lambda each: each[0])


@given(goals.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_goals_and_presence_count_alike_in_any_order(told: Any) -> None:
    ordered, shuffled = told
    ends = []
    for each in (ordered, shuffled):
        exposures = (exposed(0), exposed(30, step="two"))
        for at, value in each:
            exposures = with_goal(exposures, "r", NOON + timedelta(minutes=at), timedelta(hours=2), Decimal(value))
        ends.append(exposures)
    assert ends[0] == ends[1]
    for found in ends[0]:
        fitting = [
            each for each in ordered if found.at <= NOON + timedelta(minutes=each[0]) < found.at + timedelta(hours=2)
        ]
        assert found.goal_value == (min(fitting)[1] if fitting else None)


exposures = st.lists(
    st.builds(
        exposed,
        st.integers(0, 50),
        step=st.sampled_from(["", "two", "three"]),
        person=st.sampled_from("pqr"),
        variant=st.sampled_from(["A", "B", HELD_OUT]),
        goal_at=st.one_of(st.none(), st.integers(60, 90).map(lambda each: NOON + timedelta(minutes=each))),
        goal_value=st.just(Decimal(3)),
        clicked=st.booleans(),
        unsubscribed=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each.key,
).map(tuple)


@given(exposures, exposures, exposures)
def test_two_who_are_one_count_once_in_whatever_order_they_merge(a: Any, b: Any, c: Any) -> None:
    both = merged(a, b)
    assert both == merged(b, a)
    assert merged(both, c) == merged(a, merged(b, c))
    assert len({each.key for each in both}) == len(both)
    sums: Deltas = Counter()
    for before, after in (((), a), ((), b), ((*a, *b), both)):
        sums.update(exposure_deltas(before, after, UTC))
    assert {key: number for key, number in sums.items() if number} == {
        key: number for key, number in exposure_deltas((), both, UTC).items() if number
    }


def test_the_session_at_a_moment() -> None:
    spans = ((NOON, NOON + timedelta(minutes=10)), (NOON + timedelta(hours=2), NOON + timedelta(hours=3)))
    assert session_at(spans, NOON - timedelta(seconds=1)) is None
    assert session_at(spans, NOON + timedelta(minutes=5)) == NOON + timedelta(minutes=5)
    assert session_at(spans, NOON + timedelta(minutes=40)) == NOON + timedelta(minutes=10)
    assert session_at(spans, NOON + timedelta(minutes=41)) is None


def test_who_is_in_too_many_comparisons_is_in_no_further_one() -> None:
    many = tuple(exposed(step=str(number)) for number in range(exposure.EXPOSURE_LIMIT))
    assert exposure.with_exposure(many, exposed(step="more")) is many
    assert len(with_presence(many, NOON + timedelta(minutes=1))) == len(many)


def sums_of(story: Story, batches: int) -> tuple[Counter[str], Profile]:
    """What is counted when the story is walked in so many batches."""
    events = sorted(story.events, key=lambda each: each.moment)
    size = -(-len(events) // batches)
    profile, known, found = story.profile, {}, Counter[str]()
    ruleset = story.ruleset()
    for start in range(0, len(events), size):
        group = events[start : start + size]
        past = Past(by_name(events[: start + size]), complete=True)
        result = advance(ruleset, profile, list(known.values()), group, past, until=group[-1].timestamp, now=None)
        for deltas in (
            contact_deltas(profile.contacts, (*result.forgotten, *result.profile.contacts), UTC),
            exposure_deltas(profile.exposures, result.profile.exposures, UTC),
        ):
            for key, number in deltas.items():
                found[key.metric] += number
        profile, known = result.profile, known | result.enrolments
    return Counter({name: number for name, number in found.items() if number}), profile


def test_however_many_messages_there_are_each_is_counted_once() -> None:
    """More than are remembered, in one batch and in many."""
    story = Story([rule("a", "A", goal=GOAL), rule("b", "B", message=saying(holdout=100))])
    for number in range(3 * CONTACT_LIMIT):
        story.did("A" if number % 3 else "B", number)
        if number % 50 == 0:
            story.did("Order Completed", number + 0.5, total=1)
    whole, profile = sums_of(story, 1)
    assert whole["sent"] == 2 * CONTACT_LIMIT
    assert whole["held_out"] == CONTACT_LIMIT
    assert whole["persons"] == 2
    assert CONTACT_LIMIT <= len(profile.contacts) <= CONTACT_LIMIT + SLACK
    for batches in (2, 7, 60):
        assert sums_of(story, batches) == (whole, profile)


def test_what_was_forgotten_breaks_no_cap_and_no_wish() -> None:
    """One mail a year and many pop-ups: the mail is remembered, and so is that they want no more of them."""
    caps = ({"count": 1, "within": "300d", "channels": ["email"]},)
    from backend.domain.site import Policy

    rules = [
        rule("mail", "M", message=saying(channel="email")),
        rule("own", "O", caps=[{"count": 2, "within": "300d"}]),
        rule("pop", "P"),
        rule("bill", "T", category="transactional"),
    ]
    story = Story(rules, Policy(caps=caps, dismiss_backoff=timedelta(0)))
    story.told(-1, email="ann@example.com")
    for name in ("M", "O", "O"):
        story.did(name, 0)
    for number in range(400):
        story.did("P" if number % 2 else "T", 1 + number)
    for name in ("M", "O"):
        story.did(name, 1_000)
    result = story.run()
    said = Counter(each.rule_id for each in result.messages)
    assert said == {"mail": 1, "own": 2, "pop": 200, "bill": 200}
    story.did("Message Dismissed", 1_001, message_id=result.messages[3].id, never=True)
    last = next(each for each in reversed(result.messages) if each.rule_id == "pop")
    story.did("Message Dismissed", 1_002, message_id=last.id, never=True)
    for number in range(400):
        story.did("T", 1_010 + number)
    story.did("P", 2_000)
    assert [
        each.reason for each in story.run().enrolments.values() if each.entered_at > NOON + timedelta(minutes=1_999)
    ] == ["no_consent"]


def contact(at: datetime, **facts: Any) -> Contact:
    told: dict[str, Any] = {"rule_id": "r", "step": "", "channel": "popup", "category": "promotional", "variant": "A"}
    return Contact(**{**told, "message_id": "m", "at": at, **facts})


def test_a_contact_that_moves_to_another_day_and_channel_is_counted_there() -> None:
    from backend.domain.tally import change_contact

    before = contact(NOON, revenue=Decimal("1.5"))
    found: Deltas = Counter()
    change_contact(found, before, contact(NOON + timedelta(days=1), channel="email", message_id="n"), UTC)
    assert {(key.day.day, key.channel, key.metric): number for key, number in found.items()} == {
        (2, "popup", "sent"): -1,
        (2, "popup", "revenue"): -1_500_000,
        (3, "email", "sent"): 1,
    }
