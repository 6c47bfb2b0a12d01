"""No cap is ever broken and nobody's variant ever changes, whatever happens: random rules, random stories, restarts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from backend.domain.attention import Contact
from backend.domain.budget import Cap, over_cap
from backend.domain.engine import advance
from backend.domain.enrolment import Enrolment
from backend.domain.merge import merge
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import Variant
from backend.domain.site import Policy
from backend.domain.variant import assign, is_held_out
from tests.story import NOON, Story, rule, saying

CAPS = [
    {"count": 1, "within": "1h"},
    {"count": 3, "within": "1d"},
    {"count": 2, "per": "day"},
    {"count": 1, "per": "session"},
    {"count": 1, "per": "page"},
    {"count": 1, "within": "2h", "channels": ["chat"]},
    {"count": 2, "per": "day", "channels": ["popup", "email"], "category": "promotional"},
]
SPANS = {"1h": timedelta(hours=1), "2h": timedelta(hours=2), "1d": timedelta(days=1)}
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
TURNS = [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC), NOON]
"""Before the nights in which clocks are changed, and an ordinary day."""


def whose(overflow: str) -> list[Any]:
    return [
        rule("a", "A", overflow=overflow, delay="7m"),
        rule("b", "B", overflow=overflow, priority=3, message=saying(channel="chat")),
        rule("all", {"event": "Page Viewed"}, overflow=overflow, priority=9),
        rule("stage", {"stage": "cart"}, overflow=overflow, priority=5, message=saying(channel="chat")),
        rule("mail", "A", overflow=overflow, message=saying(channel="email")),
        rule("bill", "B", category="transactional"),
    ]


def keeps(caps: Sequence[Any], contacts: Sequence[Contact], zone: str) -> None:
    """Written without the engine: counts in every window that ends with a message."""
    told = [each for each in contacts if each.category != "transactional" and each.said]
    for cap in caps:
        counted = [each for each in told if "channels" not in cap or each.channel in cap["channels"]]
        if "within" in cap:
            span = SPANS[cap["within"]]
            for last in counted:
                assert sum(last.at - span < each.at <= last.at for each in counted) <= cap["count"], cap
        elif cap["per"] == "day":
            days: Counter[date] = Counter(each.at.astimezone(ZoneInfo(zone)).date() for each in counted)
            assert max(days.values(), default=0) <= cap["count"], cap


stories = st.lists(
    st.tuples(st.sampled_from(["A", "B", "Page Viewed", "Product Added"]), st.integers(0, 4000), st.sampled_from("xy")),
    min_size=1,
    max_size=25,
)
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(
    caps=st.lists(st.sampled_from(CAPS), min_size=1, max_size=3),
    did=stories,
    overflow=st.sampled_from(["drop", "defer"]),
    zone=st.sampled_from(ZONES),
    start=st.sampled_from(TURNS),
    late=st.integers(0, 9),
)
def test_many_rules_at_one_event_late_events_and_restarts_break_no_cap(
    caps: Any, did: Any, overflow: str, zone: str, start: datetime, late: int
) -> None:
    story = Story(whose(overflow), Policy(caps=tuple(caps), dismiss_backoff=timedelta(0)), zone=zone)
    story.told(start, email="ann@example.com")
    for number, (name, at, path) in enumerate(sorted(did, key=lambda each: each[1])):
        moment = start + timedelta(minutes=at, seconds=number)
        facts = {"type": "page"} if name == "Page Viewed" else {"type": "track"}
        story.event(
            moment,
            name=name,
            properties={"product_id": "mug"},
            context={"timezone": zone, "page": {"path": f"/{path}"}},
            **facts,
        )
    end = start + timedelta(days=20)
    whole = story.run(end)
    keeps(caps, whole.profile.contacts, zone)
    profile, _, messages = story.run_in_steps(end)
    assert profile.contacts == whole.profile.contacts
    assert [each.id for each in messages] == [each.id for each in whole.messages]
    keeps(caps, lived(story, end, late).contacts, zone)


def lived(story: Story, end: datetime, late: int) -> Profile:
    """Live, with events that come in up to nine minutes late and out of order, and a worker that was down for a day."""
    ruleset, profile, known = story.ruleset(), story.profile, dict[str, Enrolment]()
    arrivals = [
        (event.timestamp + timedelta(minutes=(index * 7 % (late + 1))), event)
        for index, event in enumerate(story.events)
    ]
    arrivals.sort(key=lambda each: each[0])
    taken: list[Any] = []
    for now, event in arrivals:
        if event.timestamp.day % 5 == 0 and now.hour < 12:
            now = now.replace(hour=12)  # down until noon: what was due in the night fires then
        taken.append(event)
        past = Past(by_name(sorted(taken, key=lambda each: each.moment)), complete=True)
        result = advance(ruleset, profile, list(known.values()), [event], past, until=now, now=now)
        profile, known = result.profile, known | result.enrolments
    for day in range(20):
        now = end - timedelta(days=19 - day)
        past = Past(by_name(sorted(taken, key=lambda each: each.moment)), complete=True)
        result = advance(ruleset, profile, list(known.values()), [], past, until=now, now=now)
        profile, known = result.profile, known | result.enrolments
    return profile


def test_of_rules_that_start_at_one_event_the_most_important_speaks_whatever_starts_it() -> None:
    rules = [
        rule("event", "Product Added", priority=1),
        rule("stage", {"stage": "cart"}, priority=5),
        rule("session", {"session": "started"}, priority=9),
        rule("trait", {"trait": "plan"}, priority=7),
    ]
    story = Story(rules, Policy(caps=({"count": 1, "within": "1d"},)))
    story.event(0, name="Product Added", type="track", properties={"product_id": "mug"}, traits={"plan": "x"})
    assert [each.rule_id for each in story.run().messages] == ["session"]
    story.rules = rules[:2] + rules[3:]
    assert [each.rule_id for each in story.run().messages] == ["trait"]
    story.rules = rules[:2]
    assert [each.rule_id for each in story.run().messages] == ["stage"]


def test_what_was_not_looked_at_for_hours_is_not_said_all_at_once() -> None:
    """Two messages, due hours apart, and nobody was there: one goes now, the other counts it."""
    rules = [rule("a", "A", delay="1h"), rule("b", "A", delay="5h", overflow="defer")]
    story = Story(rules, Policy(caps=({"count": 1, "within": "2h"},)))
    event = story.did("A", 0)
    now = NOON + timedelta(hours=9)
    begun = advance(story.ruleset(), story.profile, (), [event], Past({}), until=NOON, now=NOON)
    waiting = list(begun.enrolments.values())
    late = advance(story.ruleset(), begun.profile, waiting, [], Past({}), until=now, now=now)
    assert [(each.rule_id, each.created_at) for each in late.messages] == [("a", now)]
    [held] = [each for each in late.enrolments.values() if each.waiting]
    assert held.due_at == now + timedelta(hours=2)


def test_a_message_that_is_due_in_the_night_only_because_nobody_was_there_waits_for_the_morning() -> None:
    mail = rule("m", "A", delay="1h", message=saying(channel="email"), quiet_hours={"from": "21:00", "to": "09:00"})
    story = Story([mail])
    told, event = story.told(-1, email="ann@example.com"), story.did("A", 0)
    begun = advance(story.ruleset(), story.profile, (), [told, event], Past({}), until=NOON, now=NOON)
    now = NOON + timedelta(hours=10)  # 23:00 in Berlin
    late = advance(story.ruleset(), begun.profile, list(begun.enrolments.values()), [], Past({}), until=now, now=now)
    assert late.messages == []
    assert [each.due_at.hour for each in late.enrolments.values()] == [8]


def test_a_late_event_does_not_find_room_before_what_was_said_meanwhile() -> None:
    cap, profile = Cap(count=1, within=timedelta(hours=1)), Profile(id="v", site_id="s")
    said = Contact(message_id="m", rule_id="r", step="", channel="popup", category="promotional", variant="A", at=NOON)
    for minutes, held in ((-61, False), (-60, False), (-59, True), (59, True), (60, False)):
        found = over_cap([cap], [said], profile, "popup", "promotional", NOON + timedelta(minutes=minutes), UTC)
        assert (found is not None) is held, minutes


def test_the_page_stays_the_same_while_events_on_it_tell_where_they_are() -> None:
    """Every event of the browser library carries its page; only another path, or a page call, is another page."""
    story = Story([rule("a", "A")], Policy(caps=({"count": 1, "per": "page"},)))
    where = {"page": {"path": "/a"}}
    for at in (0, 1, 2):
        story.event(at, name="A", type="track", context=where)
    story.event(3, name="Page Viewed", type="page", context=where)  # loaded again
    for at in (4, 5):
        story.event(at, name="A", type="track", context=where)
    assert [each.created_at for each in story.run().messages] == [NOON, NOON + timedelta(minutes=4)]


def test_a_message_that_nobody_saw_has_taken_its_place_all_the_same() -> None:
    """Live nobody knows in time whether the page will show it; so simulated it counts too."""
    story = Story([rule("a", "A", message=saying(expires_after="10m"))], Policy(caps=({"count": 1, "within": "1h"},)))
    for at in (0, 30, 60):
        story.did("A", at)
    assert len(story.run().messages) == 2


def test_not_again_holds_for_rules_that_ignore_caps_and_not_for_what_must_be_said() -> None:
    story = Story([rule("a", "A"), rule("free", "B", ignore_caps=True), rule("bill", "B", category="transactional")])
    story.did("A", 0)
    [message] = story.run(0).messages
    story.did("Message Dismissed", 1, message_id=message.id, never=True)
    story.did("B", 2)
    assert [each.rule_id for each in story.run().messages] == ["a", "bill"]


PEOPLE = [f"person {number}" for number in range(20_000)]


@pytest.mark.parametrize("weights", [{"A": 1, "B": 1}, {"A": 5, "B": 3, "C": 2}, {"A": 98, "B": 1, "C": 1}])
@pytest.mark.parametrize("rule_id", ["one", "two", "three"])
def test_shares_are_those_of_the_weights_by_chi_square(weights: dict[str, float], rule_id: str) -> None:
    variants = [Variant(name=name, weight=weight) for name, weight in weights.items()]
    counts = Counter(found.name for person in PEOPLE if (found := assign(rule_id, person, variants)))
    expected = [len(PEOPLE) * weight / sum(weights.values()) for weight in weights.values()]
    assert stats.chisquare([counts[name] for name in weights], expected).pvalue > 1e-4


@pytest.mark.parametrize("percent", [0.5, 5, 33.3, 50, 90])
def test_holdouts_have_their_share_and_know_nothing_of_each_other(percent: float) -> None:
    """Of two rules, of a rule and the whole site, and of the holdout and the variants, by chi-square."""
    variants = [Variant(name="A"), Variant(name="B")]
    rows = [
        (is_held_out("site", each, percent), is_held_out("one", each, percent), is_held_out("two", each, percent))
        for each in PEOPLE
    ]
    dealt = [found.name for each in PEOPLE if (found := assign("one", each, variants))]
    for column in range(3):
        held = sum(row[column] for row in rows)
        assert stats.binomtest(held, len(PEOPLE), percent / 100).pvalue > 1e-4
    pairs = [(row[a], row[b]) for a, b in ((0, 1), (0, 2), (1, 2)) for row in rows]
    size = len(PEOPLE)
    for start in range(0, len(pairs), size):
        assert independent(pairs[start : start + size])
    assert independent([(row[1], name) for row, name in zip(rows, dealt, strict=True)])
    assert independent([(row[0], name) for row, name in zip(rows, dealt, strict=True)])


def independent(pairs: Sequence[tuple[Any, Any]]) -> bool:
    counts = Counter(pairs)
    firsts, seconds = sorted({a for a, _ in pairs}), sorted({b for _, b in pairs})
    table = [[counts[a, b] for b in seconds] for a in firsts]
    return bool(stats.chi2_contingency(table).pvalue > 1e-4)


BOTH = saying(variants=[{"name": name, "content": {"title": name, "body": name}} for name in "AB"])


@FEW
@given(
    st.lists(st.sampled_from(["ann", "bob", "merge ann", "merge bob", "known"]), min_size=2, max_size=14),
    st.integers(0, 10_000),
    st.sampled_from([0, 50]),
)
def test_nobody_s_variant_changes_by_signing_in(steps: list[str], seed: int, holdout: int) -> None:
    """Three profiles that were told things; two of them turn out to be the third. The earliest told keeps its word."""
    made = rule("r", "A", message={**BOTH, "holdout": holdout})
    profiles = {
        name: Profile(id=f"{name}{seed}", site_id="site", person=f"{name}{seed}") for name in ("ann", "bob", "known")
    }
    first: dict[str, tuple[int, str]] = {}
    for at, step in enumerate(steps):
        verb, _, name = step.rpartition(" ")
        if verb == "merge":
            if name in profiles:
                gone = profiles.pop(name)
                profiles["known"] = merge(profiles["known"], gone)
                both = [first[each] for each in ("known", name) if each in first]
                if both:
                    first["known"] = min(both)
            continue
        who = name if name in profiles else "known"
        story = Story([made], profile=profiles[who])
        story.did("A", at)
        event = replace(story.events[0], message_id=f"{at}")
        result = advance(story.ruleset(), profiles[who], (), [event], Past({}), until=event.timestamp, now=None)
        profiles[who] = result.profile
        arm = result.profile.contacts[-1].variant
        assert arm == first.setdefault(who, (at, arm))[1]


@FEW
@given(
    st.dictionaries(st.sampled_from("ABCD"), st.sampled_from([0, 1, 2, 7]), min_size=2),
    st.dictionaries(st.sampled_from("ABCD"), st.sampled_from([1, 2, 7]), min_size=2),
    st.integers(0, 1_000),
)
def test_whoever_was_told_keeps_their_wording_when_weights_change(before: Any, after: Any, seed: int) -> None:
    if not any(before.values()):
        return
    person = Profile(id=f"v{seed}", site_id="site", person=f"v{seed}")

    def told(weights: dict[str, int], profile: Profile, at: int) -> Profile:
        variants = [
            {"name": name, "weight": weight, "content": {"title": name, "body": name}}
            for name, weight in weights.items()
        ]
        story = Story([rule("r", "A", message=saying(variants=variants))], profile=profile)
        return story_end(story, at)

    def story_end(story: Story, at: int) -> Profile:
        story.did("A", at)
        return story.run(at).profile

    once = told(before, person, 0)
    twice = told(after, once, 1)
    own = once.contacts[-1].variant
    if after.get(own):
        assert twice.contacts[-1].variant == own
    again = told(dict(reversed(before.items())), once, 1)
    assert again.contacts[-1].variant == own
