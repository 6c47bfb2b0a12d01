"""Rules of several steps: delays, waiting, branches, splits, traits, events, and how they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.mistakes import RuleErrors
from backend.domain.profile import Profile
from backend.domain.rule import messages_of, parse_rule
from tests.story import NOON, Story, outcomes, rule, saying, sent

DAY = 24 * 60
HOOK = "https://a.example/hook"
DAYS = {"steps": [{"delay": {"days": 3}}]}


def step(name: str, **message: Any) -> dict[str, Any]:
    return {"name": name, "message": saying(name, **message)}


def test_steps_follow_one_another_at_their_times() -> None:
    steps = [step("one"), {"delay": "1h"}, step("two"), {"delay": "1d"}, step("three")]
    story = Story([rule("r", "Signed Up", steps=steps, delay="10m")])
    story.did("Signed Up", 0)
    result = story.run()
    assert sent(result) == [("r/one", 10), ("r/two", 70), ("r/three", 70 + DAY)]
    [enrolment] = result.enrolments.values()
    assert enrolment.outcome == "sent"
    assert [(note.step, note.result) for note in enrolment.notes] == [
        ("one", "sent"),
        ("two", "sent"),
        ("three", "sent"),
    ]
    assert len({each.id for each in result.messages}) == 3


def test_a_day_by_the_calendar_is_not_24_hours() -> None:
    spring = datetime(2026, 3, 28, 10, 0, tzinfo=UTC)  # 11:00 in Berlin; the clocks go forward in the night
    exact = rule("exact", "Signed Up", steps=[{"delay": "24h"}, step("later")])
    local = rule("local", "Signed Up", steps=[{"delay": {"days": 1}}, step("later")])
    story = Story([exact, local], zone="Europe/Berlin")
    story.did("Signed Up", spring)
    moments = {each.rule_id: each.created_at for each in story.run(spring + timedelta(days=9)).messages}
    assert moments == {"exact": spring + timedelta(hours=24), "local": spring + timedelta(hours=23)}


def test_a_delay_until_a_local_time_on_a_weekday() -> None:
    until = {"delay": {"days": 1, "at": "10:00", "weekdays": ["sat", "sun"]}}
    story = Story([rule("r", "Signed Up", steps=[until, step("weekend")])], zone="Asia/Tokyo")
    story.did("Signed Up", 0)  # Monday, 21:00 in Tokyo
    [message] = story.run().messages
    assert message.created_at == datetime(2026, 3, 7, 1, 0, tzinfo=UTC)


WAIT = [
    step("ask"),
    {
        "wait": {"events": [{"event": "Answered", "same": "properties.ticket"}], "timeout": "2h"},
        "then": [step("thanks")],
        "else": [step("remind")],
    },
    step("end"),
]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], [("r/ask", 0), ("r/remind", 120), ("r/end", 120)]),
        ([("Answered", 30, {"ticket": 7})], [("r/ask", 0), ("r/thanks", 30), ("r/end", 30)]),
        ([("Answered", 30, {"ticket": 8})], [("r/ask", 0), ("r/remind", 120), ("r/end", 120)]),
        ([("Answered", 120, {"ticket": 7})], [("r/ask", 0), ("r/thanks", 120), ("r/end", 120)]),
        ([("Answered", 121, {"ticket": 7})], [("r/ask", 0), ("r/remind", 120), ("r/end", 120)]),
        ([("Closed", 30, {})], [("r/ask", 0)]),
    ],
)
def test_a_wait_goes_one_way_when_it_comes_and_the_other_when_it_does_not(events: Any, expected: Any) -> None:
    story = Story([rule("r", "Ticket", steps=WAIT, cancel=[{"event": "Closed"}])])
    story.did("Ticket", 0, ticket=7)
    for name, at, properties in events:
        story.did(name, at, **properties)
    result = story.run()
    assert sent(result) == expected
    assert outcomes(result)[0][1] == "sent"


def test_a_wait_for_a_condition_passes_at_once_where_it_holds_already() -> None:
    wait = {
        "wait": {"until": {"field": "profile.traits.plan", "op": "eq", "value": "pro"}, "timeout": "1d"},
        "then": [step("pro")],
        "else": [step("free")],
    }
    for first, second, expected in (
        ("pro", None, ("r/pro", 1)),
        ("free", "pro", ("r/pro", 50)),
        ("free", None, ("r/free", 1441)),
    ):
        story = Story([rule("r", "Signed Up", steps=[wait])])
        story.told(0, plan=first)
        story.did("Signed Up", 1)
        if second:
            story.told(50, plan=second)
        assert sent(story.run()) == [expected]


def test_a_condition_that_comes_true_by_the_mere_clock_is_noticed_when_the_waiting_ends() -> None:
    quiet = {"not": {"performed": "Page Viewed", "within": "1h"}}
    wait = {"wait": {"until": quiet, "timeout": "2h"}, "then": [step("gone")], "else": [step("here")]}
    for last, expected in ((10, ("r/gone", 120)), (100, ("r/here", 120))):
        story = Story([rule("r", "Signed Up", steps=[wait])])
        story.did("Page Viewed", -1)
        story.did("Signed Up", 0)
        story.did("Page Viewed", last)
        assert sent(story.run()) == [expected]


@pytest.mark.parametrize(
    "place",
    [
        [{"delay": "1d"}],
        [{"delay": {"days": 2, "at": "09:00"}}],
        [{"wait": {"events": [{"event": "X"}], "timeout": "1d"}}],
        [{"branch": {"if": {"performed": "Signed Up"}, "then": [{"split": [{"steps": [{"delay": "1d"}]}, DAYS]}]}}],
    ],
)
@pytest.mark.parametrize(
    ("leaving", "reason"),
    [
        ({"goal": {"event": "Order Completed"}, "exit": {"goal": True}}, "goal_met"),
        ({"exit": {"not_matching": True}, "audience": {"not": {"performed": "Order Completed"}}}, "not_matching"),
        ({"cancel": [{"event": "Order Completed"}]}, "cancelled"),
    ],
)
def test_who_leaves_does_so_at_once_wherever_they_stand(place: Any, leaving: Any, reason: str) -> None:
    story = Story([rule("r", "Signed Up", steps=[*place, step("late"), {"webhook": {"url": HOOK}}], **leaving)])
    story.did("Signed Up", 0)
    story.did("Order Completed", 10)
    story.did("X", 20)
    result = story.run()
    [enrolment] = result.enrolments.values()
    assert (enrolment.outcome, enrolment.reason, enrolment.at) == ("skipped", reason, NOON + timedelta(minutes=10))
    assert result.messages == result.webhooks == []


def test_branches_nest() -> None:
    def plan(value: str) -> dict[str, Any]:
        return {"field": "profile.traits.plan", "op": "eq", "value": value}

    inner = {"branch": {"if": plan("free"), "then": [step("free")], "else": [step("none"), {"stop": True}]}}
    steps = [{"branch": {"if": plan("pro"), "then": [step("pro")], "else": [inner]}}, step("end")]
    for value, expected in (("pro", ["pro", "end"]), ("free", ["free", "end"]), ("x", ["none"])):
        story = Story([rule("r", "Signed Up", steps=steps)])
        story.told(0, plan=value)
        story.did("Signed Up", 1)
        assert [each.step for each in story.run().messages] == expected


def test_a_split_sends_each_person_the_same_way_every_time_and_all_of_them_by_weight() -> None:
    split = {"name": "test", "split": [{"weight": 3, "steps": [step("three")]}, {"weight": 1, "steps": [step("one")]}]}
    the_rule = rule("r", "Signed Up", steps=[split, step("end")])
    ways: dict[str, int] = {}
    for number in range(400):
        story = Story([the_rule], profile=Profile(id=f"v{number}", site_id="site", person=f"p{number}"))
        story.did("Signed Up", 0)
        story.did("Signed Up", 5)
        said = [each.step for each in story.run().messages]
        assert said[0] == said[2], "the same way again"
        assert said[1] == said[3] == "end"
        ways[said[0]] = ways.get(said[0], 0) + 1
    assert 260 < ways["three"] < 340


def test_a_trait_that_a_journey_sets_is_there_for_the_next_step_and_starts_other_rules() -> None:
    steps = [
        {"set_trait": {"level": "{{ event.properties.level | upcase }}", "old": None, "points": 3}},
        {"branch": {"if": {"field": "profile.traits.points", "op": "eq", "value": 3}, "then": [step("yes")]}},
        step("now"),
    ]
    story = Story(
        [rule("r", "Level", steps=[*steps[:1], {"delay": "1m"}, *steps[1:]]), rule("other", {"trait": "level"})]
    )
    story.told(-1, old="x")
    story.did("Level", 0, level="gold")
    result = story.run()
    assert result.profile.traits == {"level": "GOLD", "points": 3}
    assert sent(result) == [("other", 0), ("r/yes", 1), ("r/now", 1)]


def test_an_event_that_a_journey_reports_counts_starts_rules_and_has_a_steady_id() -> None:
    emit = {"emit": {"event": "Coupon Granted", "properties": {"code": "HI-{{ event.properties.level }}", "worth": 5}}}
    story = Story([rule("r", "Level", steps=[emit]), rule("tell", "Coupon Granted", delay="1m")])
    story.did("Level", 0, level="gold")
    first, second = story.run(), story.run()
    assert [each.message_id for each in first.emitted] == [each.message_id for each in second.emitted]
    assert first.emitted[0].properties == {"code": "HI-gold", "worth": 5}
    assert first.profile.counts["Coupon Granted"] == 1
    assert outcomes(first) == [("r", "completed", None), ("tell", "sent", None)]


def test_a_value_without_a_text_is_not_set_and_the_journey_goes_on() -> None:
    steps = [{"set_trait": {"level": "{{ event.properties.nothing }}"}}, step("end")]
    story = Story([rule("r", "Level", steps=steps)])
    story.did("Level", 0)
    result = story.run()
    assert result.profile.traits == {}
    [enrolment] = result.enrolments.values()
    assert [(note.result, note.reason) for note in enrolment.notes] == [("skipped", "missing_value"), ("sent", None)]


def test_a_step_that_cannot_be_said_is_left_out_and_the_next_ones_come() -> None:
    steps = [step("mail", channel="email"), {"delay": "5m"}, step("popup")]
    story = Story([rule("r", "Signed Up", steps=steps)])
    story.did("Signed Up", 0)
    result = story.run()
    assert sent(result) == [("r/popup", 5)]
    [enrolment] = result.enrolments.values()
    assert [(note.step, note.result, note.reason) for note in enrolment.notes] == [
        ("mail", "skipped", "no_address"),
        ("popup", "sent", None),
    ]


def test_a_journey_of_which_nothing_could_be_said_ends_with_the_reason() -> None:
    story = Story([rule("r", "Signed Up", steps=[step("mail", channel="email")])])
    story.did("Signed Up", 0)
    assert outcomes(story.run()) == [("r", "skipped", "no_address")]


def test_who_reaches_the_goal_leaves_at_once_and_not_at_the_end_of_the_delay() -> None:
    goal = {"event": "Order Completed", "within": "7d"}
    story = Story([rule("r", "Signed Up", steps=[{"delay": "1d"}, step("late")], goal=goal, exit={"goal": True})])
    story.did("Signed Up", 0)
    story.did("Order Completed", 10)
    result = story.run(20)
    assert outcomes(result) == [("r", "skipped", "goal_met")]
    [enrolment] = result.enrolments.values()
    assert enrolment.at == NOON + timedelta(minutes=10)


def test_who_no_longer_matches_leaves_at_once_if_the_rule_says_so() -> None:
    audience = {"field": "profile.traits.plan", "op": "eq", "value": "free"}
    steps = [step("one"), {"delay": "1d"}, step("two")]
    story = Story(
        [
            rule("leaves", "Signed Up", steps=steps, audience=audience, exit={"not_matching": True}),
            rule("stays", "Signed Up", steps=steps, audience=audience),
        ]
    )
    story.told(0, plan="free")
    story.did("Signed Up", 1)
    story.told(10, plan="pro")
    story.told(20, plan="free")
    result = story.run()
    assert sent(result) == [("leaves/one", 1), ("stays/one", 1), ("stays/two", 1 + DAY)]
    assert {each.rule_id: each.reason for each in result.enrolments.values()} == {
        "leaves": "not_matching",
        "stays": None,
    }


def test_while_one_is_on_its_way_another_does_not_begin_but_for_another_key() -> None:
    steps = [step("one"), {"delay": "1h"}, step("two")]
    by_cart = {"policy": "per_key", "key": "properties.cart_id"}
    story = Story([rule("r", "Added", steps=steps), rule("keyed", "Added", steps=steps, reentry=by_cart)])
    for at, cart in ((0, "a"), (10, "b"), (20, "a")):
        story.did("Added", at, cart_id=cart)
    result = story.run()
    assert [each for each in sent(result) if each[0].startswith("r/")] == [("r/one", 0), ("r/two", 60)]
    assert sum(each[0].startswith("keyed/") for each in sent(result)) == 4
    assert [each.reason for each in result.denials if each.rule_id == "r"] == ["live", "live"]


PIECES: list[dict[str, Any]] = [
    {"delay": "30m"},
    {"delay": {"days": 1, "at": "09:00"}},
    {"message": saying("x")},
    {"set_trait": {"seen": "{{ event.name }}"}},
    {"emit": {"event": "B"}},
    {"webhook": {"url": "https://a.example/{{ event.name }}", "body": {"at": ["{{ event.timestamp }}"]}}},
    {"wait": {"events": [{"event": "C"}], "timeout": "3h"}, "then": [{"message": saying("then")}], "else": []},
    {
        "branch": {
            "if": {"performed": "C", "within": "1d"},
            "then": [{"delay": "1h"}, {"message": saying("yes")}],
            "else": [{"emit": {"event": "C"}}],
        }
    },
    {"split": [{"steps": [{"delay": "2h"}]}, {"steps": [{"message": saying("arm")}, {"stop": True}]}]},
]


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    other=st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    events=st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3000)), min_size=1, max_size=12),
)
def test_any_journeys_come_out_the_same_at_once_and_bit_by_bit(steps: Any, other: Any, events: Any) -> None:
    acts = {"message": saying("last")}
    story = Story([rule("one", "A", steps=[*steps, acts]), rule("two", "B", steps=[*other, acts], delay="5m")])
    for number, (name, at) in enumerate(sorted(events, key=lambda each: each[1])):
        story.did(name, at + number / 1000)
    whole = story.run()
    profile, enrolments, messages = story.run_in_steps()
    assert outcomes(enrolments) == outcomes(whole)
    assert sorted(each.id for each in messages) == sorted(each.id for each in whole.messages)
    assert profile.contacts == whole.profile.contacts
    assert dict(profile.counts) == dict(whole.profile.counts)
    assert {each.id: each.notes for each in enrolments.values()} == {
        each.id: each.notes for each in whole.enrolments.values()
    }


@pytest.mark.parametrize(
    ("steps", "path", "sentence"),
    [
        ({}, "steps", "Expected a list of steps"),
        ([], "steps", "None of these steps"),
        ([{"delay": "1h"}], "steps", "None of these steps"),
        ([7], "steps.0", "A step is an object"),
        ([{"dealy": "1h"}], "steps.0", 'Did you mean "delay"?'),
        ([{"delay": "1h", "stop": True}], "steps.0", "not several"),
        ([{"delay": "soon"}], "steps.0.delay", "Not a duration"),
        ([{"wait": {"events": [{"event": "X"}]}}], "steps.0.wait.timeout", "needs a timeout"),
        ([{"wait": {"timeout": "1h"}}], "steps.0.wait", "needs events"),
        ([{"wait": {"events": [], "timeout": "1h"}}], "steps.0.wait", "needs events"),
        ([{"wait": {"events": [{"event": "X"}], "timeout": "0s"}}], "steps.0.wait.timeout", "waits for nothing"),
        ([{"delay": {"hours": 24}}], "steps.0.delay.hours", '"delay": "24h"'),
        ([{"split": [{"name": "A"}, {"name": "A"}]}], "steps.0.split.1.name", "Two ways are named"),
        ([{"split": [{"name": "B"}, {}]}], "steps.0.split.1.name", "Two ways are named"),
        ([{"branch": {"then": []}}], "steps.0.branch", "Expected an object"),
        ([{"split": [{"steps": []}]}], "steps.0.split", "2 to 10 ways"),
        ([{"split": [{"weight": 0}, {"weight": 0}]}], "steps.0.split", "above 0"),
        ([{"message": {"channels": ["popup"]}}], "steps.0.message.variants", "at least one variant"),
        ([{"set_trait": {"a": "{{ x"}}], "steps.0.set_trait.a", ""),
        ([{"set_trait": {"a": [1]}}], "steps.0.set_trait.a", "Expected a text"),
        ([{"emit": {"event": "Broadcast"}}], "steps.0.emit.event", "only chimein reports"),
        ([{"name": "a", "message": saying()}, {"name": "a", "message": saying()}], "steps.1.name", "Two steps"),
        ([{"stop": 1}], "steps.0.stop", "Expected true"),
        ([{"webhook": "https://a.example"}], "steps.0.webhook", "Expected an object"),
        ([{"webhook": {}}], "steps.0.webhook.url", "Expected an address"),
        ([{"webhook": {"url": HOOK, "then": []}}], "steps.0.webhook.then", "Unknown key"),
        ([{"webhook": {"url": HOOK}, "then": []}], "steps.0.then", "Unknown key"),
        ([{"webhok": {"url": HOOK}}], "steps.0", 'Did you mean "webhook"?'),
        *(
            ([{"webhook": {"url": url}}], "steps.0.webhook.url", sentence)
            for url, sentence in (
                ("/hook", "Expected an address"),
                ("ftp://a.example/", "starts with https"),
                ("{{ url }}", "Expected an address"),
                ("https://{{ host }}/x", "not its host"),
                ("https://a.example{{ x }}", "not its host"),
                ("https://a.example:{{ port }}/", "not its host"),
                ("https://{% if a %}b{% endif %}.example/", "not its host"),
                ("https://me:pw@a.example/{{ x }}", "use a header"),
                ("https://a.example\\@b.example/", "backslash"),
                ("https://a.example/../x", "step such as"),
                ("https://0x7f.1/", "neither a name nor an IP address"),
                ("https://a.example/{{ x", ""),
                ("https://a.example/{{ x | nope }}", ""),
                ("https://a.example/" + "x" * 3000, "at most 2000"),
            )
        ),
        ([{"webhook": {"url": HOOK, "method": "GET"}}], "steps.0.webhook.method", "POST or PUT"),
        ([{"webhook": {"url": HOOK, "method": ["PUT"]}}], "steps.0.webhook.method", "POST or PUT"),
        ([{"webhook": {"url": HOOK, "headers": [1]}}], "steps.0.webhook.headers", "Expected an object"),
        *(
            ([{"webhook": {"url": HOOK, "headers": {name: text}}}], f"steps.0.webhook.headers.{name}", sentence)
            for name, text, sentence in (
                ("Host", "b.example", "cannot be set"),
                ("Transfer-Encoding", "chunked", "cannot be set"),
                ("webhook-id", "1", "cannot be set"),
                ("Proxy-Authorization", "x", "cannot be set"),
                ("CONNECTION", "x", "cannot be set"),
                ("X Y", "1", "no name of a header"),
                ("X:Y", "1", "no name of a header"),
                ("X\r\nY", "1", "no name of a header"),
                ("", "1", "no name of a header"),
                ("X", "a\r\nY: b", "one line"),
                ("X", "ü", "one line"),
                ("X", 5, "Expected a text"),
                ("X", "{{ a", ""),
            )
        ),
        ([{"webhook": {"url": HOOK, "headers": {"X": "1", "x": "2"}}}], "steps.0.webhook.headers.x", "twice"),
        ([{"webhook": {"url": HOOK, "body": "text"}}], "steps.0.webhook.body", "Expected an object"),
        ([{"webhook": {"url": HOOK, "body": {"a": ["{{ x"]}}}], "steps.0.webhook.body.a.0", ""),
        ([{"webhook": {"url": HOOK, "body": {"a": 2**70}}}], "steps.0.webhook.body.a", "too large"),
        ([{"webhook": {"url": HOOK, "body": {"a": [0] * 300}}}], "steps.0.webhook.body.a.198", "at most 200"),
        ([{"webhook": {"url": HOOK}, "name": "a"}] * 2, "steps.1.name", "Two steps"),
    ],
)
def test_a_step_that_cannot_work_is_refused_with_its_place(steps: Any, path: str, sentence: str) -> None:
    with pytest.raises(RuleErrors) as caught:
        parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": steps})
    found: Any = caught.value.errors
    for key in path.split("."):
        found = found[key]
    if isinstance(found, dict):
        found = found["_schema"]
    assert sentence in found[0]


def test_steps_that_nest_too_deep_or_are_too_many_are_refused() -> None:
    deep: list[Any] = [{"message": saying()}]
    for _ in range(50):
        deep = [{"branch": {"if": {"performed": "A"}, "then": deep}}]
    for steps in (deep, [{"delay": "1m"}] * 101):
        with pytest.raises(RuleErrors):
            parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": steps})


def test_a_body_that_nests_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(1_000):
        deep = {"a": deep}
    with pytest.raises(RuleErrors) as caught:
        parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": [{"webhook": {"url": HOOK, "body": deep}}]})
    assert "nests at most 8 deep" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *(HOOK, "http://a.example", "https://a.example?x={{ y }}", "https://a.example/{{ x }}#{{ y }}", "HTTPS://A.B/"),
        *("https://[2606:4700::1]:8443/x", "https://bücher.example/ü", "https://8.8.8.8/{% if a %}b{% endif %}"),
    ],
)
def test_an_address_of_which_only_path_and_query_vary_is_taken(url: str) -> None:
    parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": [{"webhook": {"url": url}}]})


def test_a_rule_with_steps_reads_the_same_again() -> None:
    spec = parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": [*PIECES, {"message": saying()}]})
    assert parse_rule(dict(spec.document)) == spec
    assert len(list(messages_of(spec.steps))) == 5
