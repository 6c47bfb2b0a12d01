"""Simulations of much: a life read in pieces comes to the same, whom no rule concerns is passed over, pages go on."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.domain.rule import Rule, parse_rule
from backend.pipeline.simulate import read_place, share_of, simulate, simulating
from backend.pipeline.simulated import Progress, SimulationResult
from backend.storage import histories
from backend.storage.sites import create_site, new_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, START, Shop, at, call, identify, popup_rule
from tests.core_histories import step

MINUTE = timedelta(minutes=1)
ADDED = {"product_id": "mug", "price": 5}
EVERY = {"policy": "every"}

questions = st.sampled_from(
    [
        {"performed": "Product Viewed", "within": "15m"},
        {"performed": "Page Viewed", "count": {"op": "gte", "value": 2}, "within": "40m"},
        {"performed": "Page Viewed", "since": "entry"},
        {"field": "profile.facts.favourite_category", "op": "eq", "value": "Cups"},
        {"field": "profile.facts.categories", "op": "contains", "value": "Kitchen"},
        {"performed": "Product Viewed", "where": {"field": "event.properties.price", "op": "gt", "value": 10}},
        {"performed": "Told", "count": {"op": "gte", "value": 2}},
        {"performed": "Told", "within": "20m"},
        {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
        {"field": "profile.sessions", "op": "eq", "value": 1},
    ]
)
STEPS = [
    {"emit": {"event": "Told", "properties": {"price": 1}}},
    {"delay": "7m"},
    {"message": POPUP, "name": "hello"},
]


@st.composite
def rule_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        start = st.sampled_from([{"event": "Product Added"}, {"event": "Told"}, {"stage": "cart"}])
        rule: dict[str, Any] = {
            "name": f"Rule {number}",
            "trigger": draw(start),
            "delay": draw(st.sampled_from(["0s", "10m"])),
            "cancel": draw(st.sampled_from([[], [{"event": "Order Completed"}]])),
            "reentry": draw(st.sampled_from([{"policy": "once"}, EVERY, {**EVERY, "at_most": 2, "per": "30m"}])),
        }
        rule |= {"steps": STEPS} if draw(st.booleans()) else {"message": POPUP}
        if draw(st.booleans()):
            rule["audience"] = {"any": draw(st.lists(questions, min_size=1, max_size=2))}
        found.append(rule)
    return found


@st.composite
def histories_of_two(draw: st.DrawFn) -> list[dict[str, Any]]:
    told = []
    for who in ("ann", "bob"):
        for _ in range(draw(st.integers(0, 12))):
            name, properties = draw(step())
            moment = START + 5 * MINUTE * draw(st.integers(0, 24))
            told.append(call(name, properties, anonymousId=who, timestamp=moment))
    if draw(st.booleans()):
        told.append(identify("the user", {"first_name": "Ann"}, timestamp=at(minutes=50).isoformat()))
    return told


@pytest.fixture
def shops(shop: Shop) -> Any:
    """A shop after another, all on the same databases."""

    def fresh() -> Shop:
        shop.clock.now = START + timedelta(hours=3)
        with shop.rt.db.begin() as connection:
            site = create_site(connection, shop.rt.sites.vault, new_site(uuid4().hex), shop.clock()).site
        return replace(shop, site=site, _processor=shop.processor)

    return fresh


def rules_of(shop: Shop, documents: list[dict[str, Any]]) -> list[Rule]:
    return [
        Rule(id=f"{number}", site_id=shop.site.id, spec=parse_rule(document, simulated=True))
        for number, document in enumerate(documents)
    ]


def run(shop: Shop, rules: list[Rule], **options: Any) -> SimulationResult:
    *_, last = simulating(shop.rt, shop.site, rules, limit=10_000, **options)
    assert isinstance(last, SimulationResult)
    return last


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(documents=rule_sets(), told=histories_of_two(), since=st.sampled_from([None, at(minutes=60)]))
def test_a_life_read_in_pieces_comes_to_the_same_as_a_whole_one(
    shops: Any, documents: list[dict[str, Any]], told: list[dict[str, Any]], since: datetime | None
) -> None:
    shop = shops()
    if told:
        shop.send(*told)
    rules = rules_of(shop, documents)
    until = at(hours=2, minutes=30)
    whole = run(shop, rules, since=since, until=until)
    for at_once in (1, 4):
        pieces = run(shop, rules, since=since, until=until, at_once=at_once)
        assert pieces.items == whole.items
        assert pieces.summary == whole.summary


def test_of_a_long_life_only_the_window_is_kept(each_shop: Shop) -> None:
    """Many events of one name, and a rule that counts them within an hour: as with all of them in memory."""
    shop = each_shop
    shop.clock.forward(days=3)
    for start in range(0, 600, 200):
        numbers = range(start, start + 200)
        shop.send(*(call("Page Viewed", timestamp=at(minutes=6 * n), messageId=f"m{n}") for n in numbers))
    often = {"performed": "Page Viewed", "count": {"op": "gte", "value": 10}, "within": "1h"}
    rules = rules_of(shop, [popup_rule("Page Viewed", audience=often, reentry=EVERY)])
    whole = run(shop, rules)
    assert whole.summary["entered"] == 591
    assert run(shop, rules, at_once=50).summary == whole.summary


def test_whom_no_rule_concerns_is_passed_over_and_counted(shop: Shop) -> None:
    shop.send(*(call("Page Viewed", anonymousId=who) for who in ("bob", "eve")), call("Product Added", ADDED))
    shop.clock.forward(minutes=1)
    found = shop.simulate({"trigger": {"event": "Product Added"}})
    assert (found.summary["visitors"], found.summary["events"], found.summary["entered"]) == (3, 3, 1)
    late = shop.simulate({"trigger": {"event": "Product Added"}}, since=shop.clock())
    assert (late.summary["visitors"], late.summary["entered"]) == (3, 0)


def test_what_a_rule_reports_later_starts_another_within_the_span(shop: Shop) -> None:
    """The first trigger lies before the span; what its rule reports after a delay lies in it."""
    first = {"name": "A", "trigger": {"event": "Product Added"}, "delay": "30m", "steps": STEPS[:1]}
    second = popup_rule("Told")
    shop.send(call("Product Added", ADDED))
    shop.clock.forward(hours=1)
    found = run(shop, rules_of(shop, [first, second]), since=at(minutes=10))
    assert [(each.rule_id, each.entered_at) for each in found.items] == [("1", at(minutes=30))]


def test_a_further_page_begins_where_the_one_before_ended(shop: Shop) -> None:
    """Also in the middle of one visitor's items, and also when the kept summary is gone."""
    for number in range(6):
        shop.send(*(call("Product Added", ADDED, anonymousId=f"v{number}") for _ in range(4)))
    shop.clock.forward(minutes=1)
    rules = rules_of(shop, [popup_rule(reentry=EVERY)])
    until = shop.clock()
    whole = run(shop, rules, until=until)
    assert len(whole.items) == 24
    for forget in (False, True):
        items, cursor, looked_at = [], None, []
        while True:
            if forget:
                shop.rt.redis.flushall()
            steps = list(simulating(shop.rt, shop.site, rules, until=until, limit=5, cursor=cursor, at_once=4))
            page = steps[-1]
            assert isinstance(page, SimulationResult)
            assert page.summary == whole.summary
            looked_at.append(sum(isinstance(each, Progress) for each in steps))
            items += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        assert items == whole.items
        assert (looked_at[-1] < looked_at[0]) is not forget, "with a summary at hand, only the page is computed"


def test_progress_goes_up_to_all(shop: Shop) -> None:
    shop.send(*(call("Product Added", ADDED, anonymousId=f"v{number}") for number in range(40)))
    shop.clock.forward(minutes=1)
    *progress, result = simulating(shop.rt, shop.site, rules_of(shop, [popup_rule()]), at_once=5)
    shares = [each.share for each in progress if isinstance(each, Progress)]
    assert len(shares) == len(progress) == 8
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    assert isinstance(result, SimulationResult)
    assert share_of("f" * 32) == pytest.approx(1.0)


@pytest.mark.parametrize("cursor", ["", "abc", "abc.", "abc.-1", "abc.x", "abc.٣", "a.9999999999"])
def test_a_cursor_that_nobody_gave_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        read_place(cursor)


def test_the_queries_of_a_simulation_are_answered_by_indexes(shop: Shop) -> None:
    """A page of visitors must not sort all of them, nor a count read what was sent."""
    shop.send(call("Product Added", ADDED))
    plans: list[str] = []

    @sqlalchemy.event.listens_for(shop.rt.db.engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and not plans_off:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" / ".join(str(row[3]) for row in cursor.fetchall()))

    plans_off: list[bool] = []
    with shop.rt.db.read() as connection:
        (head,) = histories.heads(connection, shop.site.id, "", 10)
        histories.lengths(connection, [head.id], at(days=1))
        histories.part(connection, [head.id], None, at(days=1), 10)
    plans_off.append(True)
    assert len(plans) == 3
    assert "TEMP B-TREE" not in " ".join(plans)
    assert "sqlite_autoindex_visitors" in plans[0]
    assert "COVERING INDEX ix_events_visitor_id_timestamp" in plans[1]
    assert "ix_events_visitor_id_timestamp" in plans[2]
    assert simulate(shop.rt, shop.site, rules_of(shop, [popup_rule()])).summary["visitors"] == 1
