"""What conditions can ask beside plain comparisons: first, last, amounts, windows, keys, dates, pages, local time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import Moment, SharedTests, compile_condition, needed_history, parse_condition
from backend.domain.condition.why import why_not
from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.mistakes import RuleErrors
from backend.domain.past import Past, by_name
from backend.domain.profile import Device, Profile

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
"""A Friday."""


def did(name: str, days_ago: float, **properties: Any) -> Event:
    moment = NOW - timedelta(days=days_ago)
    number = int(days_ago * 1000)
    return Event(
        message_id=f"{name}{number}",
        name=name,
        type="track",
        timestamp=moment,
        received_at=moment,
        order=-number,
        anonymous_id="ann",
        properties=properties,
    )


def told(days_ago: float, **traits: Any) -> Event:
    event = did("Identify", days_ago)
    return replace(event, type="identify", properties={}, traits=traits)


def ask(condition: Any, events: Sequence[Event] = (), event: Event | None = None, **profile: Any) -> bool:
    """Whether it holds now for whoever did this."""
    who = Profile(id="v", site_id="s", person="p")
    for each in sorted(events, key=lambda each: each.moment):
        who = fold(who, each)
    who = replace(who, **profile)
    read = parse_condition(condition)
    names = needed_history(read)
    past = Past(by_name([each for each in events if each.name in names], names))
    moment = Moment(profile=who, at=NOW, event=event, history=past, zone_name="Europe/Berlin")
    holds = compile_condition(read)(moment)
    assert holds == compile_condition(read, SharedTests())(moment), "shared or not, it is the same"
    assert bool(why_not(read, moment)) is not holds
    return holds


ORDERS = [
    did("Order", 40, total="10.10", cart_id="a"),
    did("Order", 10, total="20.20", cart_id="b"),
    did("Order", 5, total=30, cart_id="a"),
    did("Order", 1, total="no number", cart_id=7),
]


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ({"first": {"op": "before", "value": {"ago": "30d"}}}, True),
        ({"first": {"op": "before", "value": {"ago": "40d"}}}, False),
        ({"first": {"op": "after", "value": {"ago": "41d"}}}, True),
        ({"first": {"op": "after", "value": "2026-02-09"}, "within": "30d"}, True),
        ({"last": {"op": "after", "value": {"ago": "2d"}}}, True),
        ({"last": {"op": "before", "value": {"ago": "2d"}}}, False),
        ({"last": {"op": "before", "value": "2026-03-16"}, "until": "2026-03-18"}, True),
        ({"sum": {"of": "properties.total", "value": "60.30"}}, True),
        ({"sum": {"of": "properties.total", "op": "eq", "value": 60.3}}, True),
        ({"sum": {"of": "properties.total", "op": "gt", "value": "60.30"}}, False),
        ({"sum": {"of": "properties.total", "op": "between", "value": [50, "50.20"]}, "within": "30d"}, True),
        ({"sum": {"of": "properties.nothing", "op": "eq", "value": 0}}, True),
        ({"min": {"of": "properties.total", "op": "eq", "value": "10.1"}}, True),
        ({"max": {"of": "properties.total", "op": "lt", "value": 30}}, False),
        ({"avg": {"of": "properties.total", "op": "eq", "value": "20.1"}}, True),
        ({"avg": {"of": "properties.nothing", "op": "lt", "value": 1}}, False),
        ({"count": {"op": "eq", "value": 2}, "between": {"from": "20d", "to": "2d"}}, True),
        ({"between": {"from": "39d", "to": "11d"}}, False),
        ({"between": {"from": "5d", "to": "0s"}, "count": {"op": "eq", "value": 1}}, True),
        ({"count": {"op": "eq", "value": 2}, "since": "2026-03-10", "until": "2026-03-16"}, True),
        ({"since": "2026-03-20"}, False),
        (
            {"where": {"field": "event.properties.total", "op": "gt", "value": 25}, "count": {"op": "eq", "value": 1}},
            True,
        ),
    ],
)
def test_what_was_done_is_asked_exactly(asked: Any, holds: bool) -> None:
    assert ask({"performed": "Order", **asked}, ORDERS) is holds


def test_the_same_key_as_the_trigger_s() -> None:
    same = {"performed": "Order", "same": "properties.cart_id", "count": {"op": "eq", "value": 2}}
    assert ask(same, ORDERS, did("Cart", 0, cart_id="a"))
    assert not ask(same, ORDERS, did("Cart", 0, cart_id="b"))
    assert not ask(same, ORDERS, did("Cart", 0))
    assert ask({**same, "count": {"value": 1}}, ORDERS, did("Cart", 0, cart_id=7))
    assert not ask({**same, "count": {"value": 1}}, ORDERS, did("Cart", 0, cart_id="7"))


@settings(max_examples=200, deadline=None)
@given(
    days=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.decimals(0, 50, places=2)), max_size=12),
    far=st.integers(2, 20),
    near=st.integers(0, 1),
    least=st.integers(0, 4),
    total=st.decimals(0, 200, places=2),
    key=st.integers(0, 3),
)
def test_windows_keys_and_sums_are_those_of_a_naive_reader(
    days: Any, far: int, near: int, least: int, total: Decimal, key: int
) -> None:
    events = [did("A", day + place / 1000, k=k, amount=str(amount)) for place, (day, k, amount) in enumerate(days)]
    ago = {each.message_id: NOW - each.timestamp for each in events}
    inside = [each for each in events if timedelta(days=near) <= ago[each.message_id] < timedelta(days=far)]
    window = {"between": {"from": f"{far}d", "to": f"{near}d"}}
    asked = {"performed": "A", "count": {"value": least}, **window}
    assert ask(asked, events) is (len(inside) >= least)
    with_key = [each for each in inside if each.properties["k"] == key]
    assert ask({**asked, "same": "properties.k"}, events, did("T", 0, k=key)) is (len(with_key) >= least)
    exact = sum((Decimal(each.properties["amount"]) for each in inside), Decimal(0))
    amount = {"of": "properties.amount", "op": "gte", "value": str(total)}
    assert ask({"performed": "A", "sum": amount, **window}, events) is (exact >= total)


@pytest.mark.parametrize(
    ("events", "holds"),
    [
        ([told(10, plan="pro")], True),
        ([told(7, plan="pro")], True),
        ([told(6, plan="pro")], False),
        ([told(10, plan="pro"), told(1, plan="pro")], True),
        ([told(10, plan="free"), told(1, plan="pro")], False),
        ([told(10, plan="pro"), told(5, plan="free"), told(1, plan="pro")], False),
        ([told(10, plan="pro"), told(1, other=1)], True),
        ([told(10, plan="pro"), told(1, plan=None)], False),
        ([told(10, plan=1), told(1, plan=True)], False),
        ([], False),
    ],
)
def test_a_trait_is_unchanged_however_often_it_is_told_again(events: Any, holds: bool) -> None:
    condition = {"field": "profile.traits.plan", "op": "unchanged_for", "value": "7d"}
    assert ask(condition, events) is holds
    assert ask(condition, [*reversed(events)]) is holds, "in whatever order it came"


@pytest.mark.parametrize(
    ("op", "value", "found", "holds"),
    [
        ("before", {"in": "3d"}, "2026-03-22", True),
        ("before", {"in": "3d"}, "2026-03-23", False),
        ("eq", {"in": "3d"}, "2026-03-23", True),
        ("eq", {"ago": "0d"}, "2026-03-20", True),
        ("ne", {"ago": "1d"}, "2026-03-20", True),
        ("after", {"ago": "1h"}, "2026-03-20T11:30:00Z", True),
        ("after", {"ago": "1h"}, "2026-03-20T10:59:59Z", False),
        ("between", [{"ago": "1d"}, {"in": "1d"}], "2026-03-21", True),
        ("between", [{"ago": "1d"}, {"in": "1d"}], "2026-03-22", False),
        ("before", {"in": "3d"}, "tomorrow", False),
        ("before", {"in": "3d"}, None, False),
    ],
)
def test_dates_are_compared_with_today(op: str, value: Any, found: Any, holds: bool) -> None:
    traits = {} if found is None else {"ends": found}
    assert ask({"field": "profile.traits.ends", "op": op, "value": value}, traits=traits) is holds


def test_today_is_the_visitor_s_own() -> None:
    condition = {"field": "profile.traits.day", "op": "eq", "value": {"ago": "0d"}}
    for zone, day in (
        ("Pacific/Auckland", date(2026, 3, 21)),
        ("America/New_York", date(2026, 3, 20)),
        (None, NOW.date()),
    ):
        assert ask(condition, traits={"day": day.isoformat()}, device=Device(timezone=zone))


def test_a_bucket_is_steady_even_and_dealt_out_anew_by_a_salt() -> None:
    def below(limit: float, person: str, salt: str = "") -> bool:
        field = "profile.bucket" + (f".{salt}" if salt else "")
        return ask({"field": field, "op": "lt", "value": limit}, person=person)

    people = [f"person {number}" for number in range(600)]
    first = {each for each in people if below(25, each)}
    assert 110 < len(first) < 190
    assert {each for each in people if below(25, each)} == first
    assert first < {each for each in people if below(50, each)}
    other = {each for each in people if below(25, each, "spring")}
    assert 15 < len(first & other) < 65


URL = "https://Shop.example:443/Sale/red%20shoes/?utm_source=mail&ref&q=a+b#top"


@pytest.mark.parametrize(
    ("op", "value", "holds"),
    [
        ("url_is", "https://shop.example/Sale/red shoes", True),
        ("url_is", "https://shop.example/sale/red shoes", False),
        ("url_is", "http://shop.example/Sale/red%20shoes", False),
        ("url_path", "/Sale/red shoes", True),
        ("url_path", "/Sale", False),
        ("url_glob", "https://shop.example/Sale/*", True),
        ("url_glob", "https://shop.example/New/*", False),
        ("url_query", {"utm_source": "mail"}, True),
        ("url_query", {"utm_source": "mail", "ref": None, "q": "a b"}, True),
        ("url_query", {"utm_source": "Mail"}, False),
        ("url_query", {"missing": None}, False),
        ("regex", r"/Sale/.*\?", True),
    ],
)
def test_an_address_is_compared_by_what_it_leads_to(op: str, value: Any, holds: bool) -> None:
    condition = {"field": "event.properties.url", "op": op, "value": value}
    assert ask(condition, event=did("Page", 0, url=URL)) is holds
    assert not ask(condition, event=did("Page", 0))


@pytest.mark.parametrize(
    ("window", "zone", "holds"),
    [
        ({"from": "09:00", "to": "18:00"}, "Europe/Berlin", True),  # 13:00
        ({"from": "09:00", "to": "13:00"}, "Europe/Berlin", False),
        ({"from": "13:00", "to": "13:01"}, None, True),  # the site's zone
        ({"from": "22:00", "to": "06:00"}, "Asia/Tokyo", False),  # 21:00
        ({"from": "20:00", "to": "06:00"}, "Asia/Tokyo", True),
        ({"from": "20:00", "to": "06:00"}, "Pacific/Auckland", True),  # 01:00 on Saturday
        ({"from": "20:00", "to": "06:00", "weekdays": ["fri"]}, "Pacific/Auckland", True),
        ({"from": "20:00", "to": "06:00", "weekdays": ["sat"]}, "Pacific/Auckland", False),
        ({"weekdays": ["fri"]}, "Europe/Berlin", True),
    ],
)
def test_the_local_time_of_the_visitor(window: Any, zone: str | None, holds: bool) -> None:
    assert ask({"local_time": window}, device=Device(timezone=zone)) is holds


@pytest.mark.parametrize(
    ("category", "op", "value", "unasked", "agreed", "refused"),
    [
        ("marketing", "eq", True, False, True, False),
        ("marketing", "eq", False, False, False, True),
        ("marketing", "ne", False, True, True, False),
        ("marketing", "ne", True, True, False, True),
        ("marketing", "is_set", None, False, True, True),
        ("marketing", "is_not_set", None, True, False, False),
        ("marketing", "eq", "true", False, False, False),
        ("analytics", "is_set", None, False, False, False),
        ("necessary", "eq", True, True, True, True),
    ],
)
def test_what_they_have_agreed_to(
    category: str, op: str, value: Any, unasked: bool, agreed: bool, refused: bool
) -> None:
    asked = {"field": f"profile.consent.{category}", "op": op} | ({} if value is None else {"value": value})

    def answered(*days: tuple[float, bool]) -> list[Event]:
        return [replace(did("A", ago), context={"consent": {"marketing": yes}}) for ago, yes in days]

    assert ask(asked, [did("A", 1)]) is unasked
    assert ask(asked, answered((3, False), (1, True))) is agreed
    assert ask(asked, answered((3, True), (1, False))) is refused


def test_whether_an_operator_is_there() -> None:
    test = compile_condition(parse_condition({"field": "site.operator_online", "op": "eq", "value": True}))
    moment = Moment(profile=Profile(id="v", site_id="s"), at=NOW)
    assert not test(moment)
    moment.somebody = lambda at: at == NOW
    assert test(moment)


def test_what_many_rules_ask_is_asked_once_for_a_moment() -> None:
    shared = SharedTests()
    asked = {"performed": "A", "where": {"field": "event.properties.x", "op": "eq", "value": 1}}
    tests = [compile_condition(parse_condition({"all": [asked, {"performed": "B"}]}), shared) for _ in range(50)]
    counted = 0

    class Counting(Past):
        def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
            nonlocal counted
            counted += name == "A"
            return super().of(name, since)

    events = [did("A", 2, x=1), did("B", 1)]
    who = Profile(
        id="v", site_id="s", counts={"A": 1, "B": 1}, last_at={"A": events[0].timestamp, "B": events[1].timestamp}
    )
    moment = Moment(profile=who, at=NOW, history=Counting(by_name(events)))
    assert all(test(moment) for test in tests)
    assert counted == 1
    assert all(test(replace_moment(moment)) for test in tests)
    assert counted > 1, "another moment is asked anew"


def replace_moment(moment: Moment) -> Moment:
    return Moment(profile=moment.profile, at=moment.at, history=moment.history)


@pytest.mark.parametrize(
    ("condition", "path", "sentence"),
    [
        ({"performed": "A", "first": 1}, "first", "Expected an object"),
        ({"performed": "A", "first": {"op": "befor", "value": "2026-01-01"}}, "first.op", 'Did you mean "before"?'),
        ({"performed": "A", "first": {"op": "before", "value": "soon"}}, "first.value", "Expected a time"),
        ({"performed": "A", "first": {"op": "before"}}, "first.value", "Expected a time"),
        (
            {
                "performed": "A",
                "first": {"op": "after", "value": "2026-02-01"},
                "last": {"op": "before", "value": "2026-01-01"},
            },
            "last",
            "nothing is",
        ),
        ({"performed": "A", "sum": {"of": "properties.x", "value": "ten"}}, "sum.value", "Expected a number"),
        ({"performed": "A", "sum": {"value": 1}}, "sum.of", "path"),
        ({"performed": "A", "sum": {"of": "properties.x", "op": "more", "value": 1}}, "sum.op", "Unknown operator"),
        ({"performed": "A", "between": {"from": "2d", "to": "7d"}}, "between.to", "7d ago to 2d ago"),
        ({"performed": "A", "between": {"from": "7d", "to": "2d"}, "within": "1d"}, "between", "not both"),
        ({"performed": "A", "since": "2026-02-01", "until": "2026-01-01"}, "until", "not later than since"),
        ({"performed": "A", "since": "last year"}, "since", 'Expected "entry"'),
        ({"performed": "A", "same": 5}, "same", "path"),
        ({"field": "profile.stage", "op": "unchanged_for", "value": "7d"}, "field", "asked of a trait"),
        ({"field": "profile.traits.x", "op": "unchanged_for", "value": "0d"}, "value", "longer than nothing"),
        ({"field": "profile.traits.x", "op": "eq", "value": {"ago": "3h"}}, "value", "in days"),
        ({"field": "profile.traits.x", "op": "before", "value": {"ago": "3x"}}, "value", "Not a duration"),
        ({"field": "site.operator", "op": "eq", "value": True}, "field", 'Did you mean "operator_online"?'),
        ({"field": "profile.consent.marketting", "op": "is_set"}, "field", 'Did you mean "marketing"?'),
        ({"field": "profile.consent.tracking", "op": "is_set"}, "field", "necessary, analytics, marketing"),
        ({"field": "profile.consent", "op": "is_set"}, "field", "necessary, analytics, marketing"),
        ({"field": "profile.consents.marketing", "op": "is_set"}, "field", 'Did you mean "consent"?'),
        ({"field": "profile.consent.marketing.at", "op": "is_set"}, "field", "nothing below"),
        ({"field": "event.properties.url", "op": "url_query", "value": "a=b"}, "value", "object"),
        ({"local_time": {}}, "local_time", "Say from when"),
        ({"local_time": {"from": "9", "to": "10:00"}}, "local_time.from", "time of day"),
        ({"local_time": {"from": "09:00", "to": "09:00"}}, "local_time.to", "same time"),
        ({"local_time": {"weekdays": ["monday"]}}, "local_time.weekdays.0", 'Did you mean "mon"?'),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_its_place(condition: Any, path: str, sentence: str) -> None:
    with pytest.raises(RuleErrors) as caught:
        parse_condition(condition)
    found: Any = caught.value.errors
    for key in path.split("."):
        found = found[key]
    if isinstance(found, dict):
        found = found["_schema"]
    assert sentence in " ".join(found)
