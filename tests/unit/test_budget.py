"""How much is said to one person: caps, dismissals, quiet hours, windows, and those held out."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT, Contact, merged, with_feedback
from backend.domain.event import Event
from backend.domain.profile import Profile
from backend.domain.site import Policy
from tests.story import NOON, Story, minutes, outcomes, rule, saying, sent

DAY = 24 * 60


def policy(*caps: Mapping[str, Any], **parts: Any) -> Policy:
    return Policy(**{"caps": caps, "dismiss_backoff": timedelta(0), **parts})


def test_a_cap_counts_all_rules_and_all_channels_together() -> None:
    story = Story(
        [rule("a", "A"), rule("b", "B", message=saying(channel="chat"))], policy({"count": 2, "within": "1h"})
    )
    for at, name in ((0, "A"), (10, "B"), (20, "A"), (59, "B"), (60, "A"), (61, "A")):
        story.did(name, at)
    result = story.run()
    assert sent(result) == [("a", 0), ("b", 10), ("a", 60)]
    assert [each.reason for each in result.enrolments.values() if each.outcome == "skipped"] == ["cap", "cap", "cap"]
    assert {(each.rule_id, each.by) for each in result.collisions} == {
        ("a", ("a", "b")),
        ("b", ("a", "b")),
        ("a", ("b", "a")),
    }


def test_an_hour_is_over_when_it_is_over_to_the_microsecond() -> None:
    story = Story([rule("a", "A")], policy({"count": 1, "within": "1h"}))
    story.did("A", NOON)
    story.did("A", NOON + timedelta(minutes=60) - timedelta(microseconds=1))
    story.did("A", NOON + timedelta(minutes=60))
    assert [each.created_at for each in story.run().messages] == [NOON, NOON + timedelta(hours=1)]


def test_a_calendar_day_is_the_visitor_s_own() -> None:
    story = Story([rule("a", "A")], policy({"count": 1, "per": "day"}), zone="America/Los_Angeles")
    for hour in (0, 7, 9, 30):  # midnight there is 08:00 UTC
        story.did("A", datetime(2026, 1, 10, tzinfo=UTC) + timedelta(hours=hour))
    assert [each.created_at.hour for each in story.run(datetime(2026, 2, 1, tzinfo=UTC)).messages] == [0, 9]


def test_a_session_and_a_page_have_caps_of_their_own() -> None:
    per_session = Story([rule("a", "A")], policy({"count": 1, "per": "session"}))
    for at in (0, 20, 40, 100):
        per_session.did("A", at)
    assert [at for _, at in sent(per_session.run())] == [0, 100]
    per_page = Story([rule("a", "A")], policy({"count": 1, "per": "page"}))
    for number, path in enumerate(("/a", "/a", "/b", "/b", "/a")):
        per_page.event(number * 10, name="Page Viewed", type="page", context={"page": {"path": path}})
        per_page.did("A", number * 10 + 1)
        per_page.did("A", number * 10 + 2)
    assert [at for _, at in sent(per_page.run())] == [1, 11, 21, 31, 41]


def test_channels_and_categories_narrow_a_cap() -> None:
    caps = ({"count": 1, "within": "1d", "channels": ["popup"]},)
    story = Story([rule("a", "A"), rule("b", "B", message=saying(channel="chat"))], policy(*caps))
    for at, name in ((0, "A"), (1, "B"), (2, "A"), (3, "B")):
        story.did(name, at)
    assert sent(story.run()) == [("a", 0), ("b", 1), ("b", 3)]


def test_what_must_be_said_is_neither_held_back_nor_counted() -> None:
    rules = [rule("order", "Order", category="transactional"), rule("promo", "A")]
    story = Story(rules, policy({"count": 1, "within": "1d"}, holdout=100))
    story.policy = policy({"count": 1, "within": "1d"})
    for at, name in ((0, "Order"), (1, "Order"), (2, "A"), (3, "A"), (4, "Order")):
        story.did(name, at)
    assert sent(story.run()) == [("order", 0), ("order", 1), ("promo", 2), ("order", 4)]


def test_a_rule_s_own_caps_count_its_own_messages_and_it_may_ignore_those_of_the_site() -> None:
    rules = [rule("own", "A", caps=[{"count": 1, "within": "1d"}]), rule("free", "B", ignore_caps=True), rule("c", "C")]
    story = Story(rules, policy({"count": 3, "within": "1d"}))
    for at, name in enumerate("AABBBC"):
        story.did(name, at)
    assert sent(story.run()) == [("own", 0), ("free", 2), ("free", 3), ("free", 4)]


def test_what_a_cap_holds_back_can_wait_until_there_is_room_the_most_important_first() -> None:
    rules = [rule("low", "A", overflow="defer", priority=1), rule("high", "B", overflow="defer", priority=9)]
    story = Story([*rules, rule("first", "F")], policy({"count": 1, "within": "1h"}))
    for at, name in ((0, "F"), (1, "A"), (2, "B")):
        story.did(name, at)
    result = story.run()
    assert sent(result) == [("first", 0), ("high", 60), ("low", 120)]
    notes = {each.rule_id: [(note.result, note.reason) for note in each.notes] for each in result.enrolments.values()}
    assert notes == {"first": [], "low": [("deferred", "cap"), ("deferred", "cap")], "high": [("deferred", "cap")]}


def test_who_waits_for_room_longer_than_the_message_is_worth_gets_none() -> None:
    hasty = rule("hasty", "A", overflow="defer", message=saying(expires_after="30m"))
    story = Story([rule("first", "F"), hasty], policy({"count": 1, "within": "1h"}))
    story.did("F", 0)
    story.did("A", 1)
    assert outcomes(story.run()) == [("first", "sent", None), ("hasty", "skipped", "cap")]


def test_an_enrolment_that_waits_for_room_can_still_be_cancelled() -> None:
    waiting = rule("w", "A", overflow="defer", cancel=[{"event": "Bought"}])
    story = Story([rule("first", "F"), waiting], policy({"count": 1, "within": "1h"}))
    for at, name in ((0, "F"), (1, "A"), (30, "Bought")):
        story.did(name, at)
    assert outcomes(story.run()) == [("first", "sent", None), ("w", "skipped", "cancelled")]


def test_after_a_dismissal_there_is_peace_each_time_for_twice_as_long() -> None:
    story = Story(
        [rule("a", "A"), rule("mail", "A", message=saying(channel="email"))], Policy(dismiss_backoff=timedelta(hours=1))
    )
    story.told(-1, email="ann@example.com")
    shown: list[float] = []
    for at in range(0, 600, 10):
        story.did("A", at)
        said = [each for each in story.run(at).messages if each.rule_id == "a"]
        if len(said) > len(shown):
            shown.append(at)
            story.did("Message Dismissed", at + 1, message_id=said[-1].id)
    assert shown == [0, 70, 200, 450]  # free again at 61, 191 (120 after 71), 441 (240 after 201)
    assert len([each for each in story.run(600).messages if each.rule_id == "mail"]) == 60


def test_a_click_ends_the_row_of_dismissals() -> None:
    story = Story([rule("a", "A")], Policy(dismiss_backoff=timedelta(hours=1)))
    for number, (at, report) in enumerate([(0, "Dismissed"), (70, "Clicked"), (140, "Dismissed"), (210, None)]):
        story.did("A", at)
        messages = story.run(at).messages
        assert len(messages) == number + 1
        if report:
            story.did(f"Message {report}", at + 1, message_id=messages[-1].id)


def test_not_again_is_honoured_by_every_rule_on_the_site_for_ever() -> None:
    story = Story(
        [
            rule("a", "A"),
            rule("b", "B", message=saying(channel="chat")),
            rule("m", "B", message=saying(channel="email")),
            rule("stubborn", "B", ignore_caps=True),
            rule("needed", "B", category="transactional"),
        ]
    )
    story.told(-1, email="ann@example.com")
    story.did("A", 0)
    [message] = story.run(0).messages
    story.did("Message Dismissed", 1, message_id=message.id, never=True)
    story.did("B", 300 * DAY)
    result = story.run(301 * DAY)
    assert sorted(sent(result)) == [("a", 0), ("m", 300 * DAY), ("needed", 300 * DAY)]
    assert {each[0] for each in outcomes(result) if each[2] == "no_consent"} == {"b", "stubborn"}


QUIET = {"from": "21:00", "to": "09:00"}


def test_in_quiet_hours_a_mail_waits_for_the_morning_and_a_pop_up_does_not() -> None:
    story = Story([rule("mail", "A", message=saying(channel="email")), rule("popup", "A")], policy(quiet_hours=QUIET))
    story.zone = "Europe/Berlin"
    story.told(0, email="ann@example.com")
    story.did("A", 11 * 60)  # midnight in Berlin
    assert sent(story.run()) == [("popup", 660), ("mail", 20 * 60)]


def test_quiet_hours_can_end_it_can_hold_for_some_channels_and_a_rule_can_have_its_own() -> None:
    mail = saying(channel="email")
    abort, popups = QUIET | {"then": "abort"}, QUIET | {"channels": ["popup"]}
    rules = [
        rule("abort", "A", message=mail, quiet_hours=abort),
        rule("none", "A", message=mail, quiet_hours=False),
        rule("popup", "A", quiet_hours=popups),
        rule("window", "A", message=mail, quiet_hours=False, send_windows=[{"from": "03:00", "to": "04:00"}]),
        rule("bill", "A", message=mail, category="transactional"),
    ]
    story = Story(rules, policy(quiet_hours=QUIET))
    story.zone = "Europe/Berlin"
    story.told(0, email="ann@example.com")
    story.did("A", 11 * 60)
    result = story.run()
    assert sorted(sent(result)) == [("bill", 660), ("none", 660), ("popup", 1200), ("window", 840)]
    assert ("abort", "skipped", "quiet_hours") in outcomes(result)


def test_windows_that_lie_wholly_in_the_quiet_hours_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever be sent"):
        rule("r", "A", quiet_hours=QUIET, send_windows=[{"from": "22:00", "to": "23:00"}])


def test_those_held_out_are_remembered_where_they_would_have_been_told_and_take_no_room() -> None:
    rules = [
        rule("out", "A", message=saying(holdout=100)),
        rule("mail", "A", message=saying(channel="email", holdout=100)),
    ]
    story = Story([*rules, rule("in", "B")], policy({"count": 1, "within": "1d"}))
    story.did("A", 0)
    story.did("B", 1)
    result = story.run()
    assert sent(result) == [("in", 1)]
    assert [(each.rule_id, each.variant) for each in result.profile.contacts] == [("out", HELD_OUT), ("in", "A")]
    assert [each[2] for each in outcomes(result)] == ["no_address", "holdout", None]


def test_a_share_of_the_people_is_left_alone_by_every_rule() -> None:
    left_alone = 0
    for number in range(300):
        profile = Profile(id=f"v{number}", site_id="site", person=f"p{number}")
        story = Story([rule("a", "A"), rule("b", "B")], policy(holdout=20), profile=profile)
        story.did("A", 0)
        story.did("B", 1)
        result = story.run()
        assert len(result.messages) in (0, 2), "all or nothing"
        if not result.messages:
            left_alone += 1
            assert {each.variant for each in result.profile.contacts} == {GLOBALLY_HELD_OUT}
    assert 35 < left_alone < 85


def contact(number: int, **facts: Any) -> Contact:
    told: dict[str, Any] = {"rule_id": "r", "step": "", "channel": "popup", "category": "promotional", "variant": "A"}
    return Contact(**{**told, "message_id": f"m{number}", "at": NOON + timedelta(minutes=number), **facts})


@given(st.permutations([("Message Shown", 5), ("Message Shown", 3), ("Message Clicked", 9), ("Message Dismissed", 12)]))
def test_reports_of_a_message_count_alike_in_any_order(reports: Any) -> None:
    contacts = (contact(0), contact(1))
    for name, at in reports:
        moment = NOON + timedelta(minutes=at)
        told = Event(
            message_id=f"{name}{at}",
            name=name,
            type="track",
            timestamp=moment,
            received_at=moment,
            properties={"message_id": "m0"},
        )
        contacts = with_feedback(contacts, told)
    first = contacts[0]
    assert [minutes(each) for each in (first.shown_at, first.clicked_at, first.dismissed_at) if each] == [3, 9, 12]
    assert contacts[1] == contact(1)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_the_contacts_of_two_who_are_one_are_those_of_both_once(a: set[int], b: set[int]) -> None:
    one = tuple(contact(each) for each in sorted(a))
    two = tuple(contact(each, shown_at=NOON) for each in sorted(b))
    both = merged(one, two)
    assert [each.message_id for each in both] == [f"m{each}" for each in sorted(a | b)]
    assert {each.message_id for each in both if each.shown_at} == {f"m{each}" for each in b}
    assert merged(two, one) == both


@settings(max_examples=100, deadline=None)
@given(
    caps=st.lists(
        st.sampled_from(
            [
                {"count": 1, "within": "1h"},
                {"count": 3, "within": "1d"},
                {"count": 2, "per": "day"},
                {"count": 1, "per": "session"},
                {"count": 1, "within": "2h", "channels": ["chat"]},
            ]
        ),
        min_size=1,
        max_size=3,
    ),
    events=st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 3000)), min_size=1, max_size=25),
    overflow=st.sampled_from(["drop", "defer"]),
)
def test_no_story_ever_breaks_a_cap_and_at_once_or_bit_by_bit_is_the_same(
    caps: Any, events: Any, overflow: str
) -> None:
    rules = [
        rule("a", "A", overflow=overflow, delay="7m"),
        rule("b", "B", overflow=overflow, priority=3, message=saying(channel="chat")),
    ]
    story = Story(rules, policy(*caps))
    for number, (name, at) in enumerate(sorted(events, key=lambda each: each[1])):
        story.did(name, at + number / 1000)
    whole = story.run(20_000)
    said = [(each.created_at, each.channel) for each in whole.messages]
    for cap in caps:
        counted = [at for at, channel in said if "channels" not in cap or channel in cap["channels"]]
        if "within" in cap:
            span = {"1h": timedelta(hours=1), "2h": timedelta(hours=2), "1d": timedelta(days=1)}[cap["within"]]
            assert all(sum(at - span < other <= at for other in counted) <= cap["count"] for at in counted)
        elif cap["per"] == "day":
            days = [(at + timedelta(hours=1)).date() for at in counted]  # Berlin in March
            assert all(days.count(day) <= cap["count"] for day in days)
    profile, enrolments, messages = story.run_in_steps(20_000)
    assert outcomes(enrolments) == outcomes(whole)
    assert [each.id for each in messages] == [each.id for each in whole.messages]
    assert profile.contacts == whole.profile.contacts
