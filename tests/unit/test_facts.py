"""Facts follow from what happened, in whatever order it arrived, and rules start when a product runs out."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.condition import Moment, compile_condition, parse_condition
from backend.domain.condition.turning import next_turn, turning_of
from backend.domain.event import Event
from backend.domain.fact import Counted, Standards, facts_of, favourite
from backend.domain.fold import fold
from backend.domain.habit import LINES_KEPT, PURCHASES_KEPT
from backend.domain.merge import merge
from backend.domain.mistakes import RuleErrors
from backend.domain.past import END_OF_MOMENT, Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import parse_rule
from backend.domain.site import Policy
from backend.schemas.documents import decode_profile, encode_profile
from tests.story import NOON, Story, rule, saying, segment

DAY = timedelta(days=1)
NOBODY = Profile(id="v", site_id="s", person="v")
STANDARD = Standards()


def bought(days: float, *products: tuple[str, int], order: str | None = None, **more: Any) -> Event:
    """An order so many days after noon, of these products."""
    listed = [{"product_id": name, "quantity": number, "price": 10} for name, number in products]
    named = {} if order is None else {"order_id": order}
    return did("Order Completed", days, products=listed, **named, **more)


_numbers = iter(range(10**9))


def did(name: str, days: float, **properties: Any) -> Event:
    """An event so many days after noon."""
    moment, number = NOON + days * DAY, next(_numbers)
    return Event(
        message_id=f"m{number}",
        name=name,
        type="track",
        timestamp=moment,
        received_at=moment,
        order=number,
        anonymous_id="ann",
        properties=properties,
    )


def folded(events: Any, profile: Profile = NOBODY) -> Profile:
    for event in events:
        profile = fold(profile, event)
    return profile


def facts(events: Any, days: float = 100, standards: Standards = STANDARD) -> dict[str, Any]:
    return told_of(folded(events), events, days, standards)


def told_of(profile: Profile, events: Any, days: float, standards: Standards = STANDARD) -> dict[str, Any]:
    return facts_of(profile, NOON + days * DAY, standards, Past(by_name(events), complete=True))


def test_recency_frequency_and_money_are_scored_by_thresholds() -> None:
    events = [bought(n, ("tea", 1), order=f"o{n}", revenue=60) for n in (0, 40, 80)]
    told = facts(events, 100.5)
    assert told["days_since_order"] == 20
    assert told["rfm"] == {"recency": 4, "frequency": 3, "money": 3, "score": "433"}
    assert facts(events, 87.5)["rfm"]["recency"] == 5
    assert facts(events, 88)["rfm"]["recency"] == 4
    assert facts([did("Page Viewed", 0)])["rfm"] is None
    strict = Standards.of(Policy(rfm={"money": ["180", "181", "182", "183"], "recency": [1, 2, 3, 4]}))
    assert facts(events, 100.5, strict)["rfm"] == {"recency": 1, "frequency": 3, "money": 2, "score": "132"}


def test_the_level_of_loyalty_is_the_highest_whose_every_threshold_is_met() -> None:
    levels = ({"name": "silver", "orders": 2}, {"name": "gold", "orders": 3, "revenue": "100.50"})
    standards = Standards.of(Policy(loyalty=levels))
    orders = [bought(n, order=f"o{n}", revenue=revenue) for n, revenue in enumerate((50, 50, "0.50"))]
    assert [facts(orders[:n], 9, standards)["loyalty"] for n in range(4)] == [None, None, "silver", "gold"]
    assert [facts(orders[:n], 9, standards)["loyalty_rank"] for n in range(4)] == [0, 0, 1, 2]
    assert facts(orders, 9)["loyalty"] is None


def test_old_interest_fades_and_a_purchase_weighs_more_than_views() -> None:
    shoes = [did("Product Viewed", 0, category="Shoes", brand="A") for _ in range(7)]
    hats = [did("Product Viewed", 60, category="Hats", brand="B") for _ in range(2)]
    assert facts(shoes + hats, 70)["categories"] == ("Hats", "Shoes")  # 2 beats 7 / 4
    assert facts([*shoes, *hats[:1]], 70)["favourite_category"] == "Shoes"
    sold = did("Order Completed", 0, order_id="1", products=[{"product_id": "x", "category": "Coats", "brand": "C"}])
    assert facts([*shoes[:5], sold], 70)["favourite_category"] == "Coats"
    assert facts([*shoes, sold], 70)["favourite_brand"] == "A"
    bags = [did("Product Added", 0, product_id="x", category="Bags"), *shoes[:2]]
    assert facts(bags, 70)["favourite_category"] == "Bags"


def test_a_view_tells_of_interest_for_ninety_days_and_a_purchase_for_ever() -> None:
    viewed = [did("Product Viewed", 0, category="Shoes") for _ in range(9)]
    sold = did("Order Completed", 0, order_id="1", products=[{"product_id": "x", "category": "Coats"}])
    tick = timedelta(microseconds=1) / DAY
    assert facts([*viewed, sold], 90 - tick)["favourite_category"] == "Shoes"
    assert facts([*viewed, sold], 90)["categories"] == ("Coats",)
    assert facts([*viewed, sold], 900)["categories"] == ("Coats",)
    assert facts(viewed, 90)["favourite_category"] is None


def test_equal_interest_is_equal_however_long_ago_it_is() -> None:
    for later in range(60):  # one view of today is two of thirty days before
        events = [did("Product Viewed", later + day, category=name) for day, name in ((30, "B"), (0, "A"), (0, "A"))]
        assert facts(events, later + 31)["categories"] == ("A", "B")


def test_the_average_basket_is_of_value_and_of_pieces() -> None:
    told = facts([bought(0, ("a", 2), ("b", 1), revenue="30.01"), bought(1, ("a", 1), revenue=10)])
    assert (told["average_order_value"], told["average_order_items"]) == (20.0, 2.0)


def test_a_product_runs_out_after_the_median_time_that_a_piece_lasts_times_the_pieces() -> None:
    events = [bought(day, ("tea", pieces)) for day, pieces in ((0, 1), (10, 2), (30, 1), (41, 3))]
    [tea] = facts(events)["products"]
    assert (tea["purchases"], tea["quantity"], tea["by"], tea["lasts_days"]) == (4, 3, "person", 30.0)
    assert tea["runs_out_at"] == NOON + 71 * DAY
    # Bought again on the same day: it is one purchase of four pieces.
    [more] = facts([*events, bought(41.2, ("tea", 1))])["products"]
    assert (more["purchases"], more["quantity"], more["lasts_days"]) == (4, 4, 40.0)


def test_one_odd_interval_does_not_matter_and_irregular_ones_foretell_nothing() -> None:
    steady = [bought(day, ("tea", 1)) for day in (0, 10, 20, 90, 100, 110)]
    assert facts(steady)["products"][0]["lasts_days"] == 10.0
    odd = [bought(day, ("tea", 1)) for day in (0, 2, 50, 51, 120)]
    assert facts(odd)["products"] == []


def test_where_a_person_bought_too_seldom_the_interval_of_the_site_is_taken() -> None:
    usual = Standards(intervals={"tea": 7 * 86_400.0})
    twice = [bought(0, ("tea", 1)), bought(30, ("tea", 2), ("cup", 1))]
    assert facts(twice)["products"] == []
    [tea] = facts(twice, standards=usual)["products"]
    assert (tea["by"], tea["lasts_days"], tea["runs_out_at"]) == ("site", 14.0, NOON + 44 * DAY)


def test_churn_is_counted_in_days_beyond_the_usual_interval_of_orders_or_else_of_visits() -> None:
    orders = [bought(day) for day in (0, 10, 20, 30)]
    assert facts(orders, 35)["churn_days"] == 0
    assert facts(orders, 47.5)["churn_days"] == 7
    visits = [did("Page Viewed", day) for day in (0, 3, 6, 9)]
    assert facts(visits, 20)["usual_visit_days"] == 3.0
    assert facts(visits, 20)["churn_days"] == 8
    assert facts(visits[:2], 20)["churn_days"] is None


def test_an_order_that_is_reported_twice_is_one_and_the_latest_report_counts() -> None:
    page = bought(1, ("tea", 1), order="1", revenue=10)
    backend = bought(1.01, ("tea", 2), order="1", revenue=12)
    for way in ([page, backend], [backend, page]):
        profile = folded(way)
        assert (profile.orders.count, profile.orders.revenue) == (1, Decimal(12))
        assert [line.quantity for each in profile.purchases for line in each.lines] == [2]
    apart = merge(folded([page]), folded([backend], replace(NOBODY, id="w")))
    assert (apart.orders.count, apart.orders.revenue) == (1, Decimal(12))


names = st.sampled_from(["tea", "rice", "soap"])
kinds = st.sampled_from(["A", "B", "C"])


@st.composite
def lives(draw: Any) -> list[Event]:
    """What one person did: orders, some reported twice, views and cart changes, some of them at one moment."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 12))):
        day = draw(st.integers(0, 400)) / 4
        match draw(st.sampled_from(["order", "order", "view", "add", "page"])):
            case "order":
                told = {
                    "order_id": draw(st.sampled_from([f"o{number}", f"o{number}", None])),
                    "revenue": draw(st.integers(0, 99)),
                    "products": [
                        {"product_id": name, "quantity": draw(st.integers(1, 3)), "category": draw(kinds)}
                        for name in draw(st.lists(names, max_size=3))
                    ],
                }
                for _ in range(draw(st.integers(1, 2)) if told["order_id"] else 1):
                    events.append(did("Order Completed", day, **told))
            case "view":
                events.append(did("Product Viewed", day, category=draw(kinds), brand=draw(kinds)))
            case "add":
                events.append(did("Product Added", day, product_id=draw(names), category=draw(kinds)))
            case _:
                events.append(did("Page Viewed", day))
    return events


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_the_order_of_arrival_and_however_profiles_were_merged_the_facts_are_the_same(data: Any) -> None:
    events = data.draw(lives())
    inorder = folded(sorted(events, key=lambda each: each.moment))
    shuffled = data.draw(st.permutations(events))
    # In between the profile is written down and read again, as it is with every batch.
    late = NOBODY
    for event in shuffled:
        late = decode_profile(encode_profile(fold(late, event)))
    cut = data.draw(st.integers(0, len(events)))
    joined = merge(folded(shuffled[:cut]), folded(shuffled[cut:], replace(NOBODY, id="w")))
    at = NOON + 130 * DAY
    wanted = facts(events, 130)
    assert wanted == facts_of(inorder, at, STANDARD, Counted(shuffled, at))
    assert told_of(late, shuffled, 130) == wanted
    assert told_of(joined, shuffled, 130) == wanted
    for other in (late, joined):
        assert (other.purchases, other.purchases_since) == (inorder.purchases, inorder.purchases_since)
        assert (other.orders.count, other.orders.revenue) == (inorder.orders.count, inorder.orders.revenue)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_the_logs_are_bounded_and_what_they_forget_depends_on_time_alone(random: Any, most: int) -> None:
    events = [bought(n % 97, *((f"p{each}", 1) for each in range(1 + n * 7 % most)), order=f"o{n}") for n in range(90)]
    inorder = folded(sorted(events, key=lambda each: each.moment))
    assert len(inorder.purchases) <= PURCHASES_KEPT
    assert sum(len(each.lines) for each in inorder.purchases) <= LINES_KEPT
    random.shuffle(events)
    late = folded(events)
    joined = merge(folded(events[:45]), folded(events[45:], replace(NOBODY, id="w")))
    for other in (late, joined):
        assert other.purchases == inorder.purchases
        assert other.purchases_since == inorder.purchases_since
        assert other.orders.revenue == inorder.orders.revenue


def holds(condition: dict[str, Any], profile: Profile, days: float) -> bool:
    test = compile_condition(parse_condition(condition))
    return test(Moment(profile=profile, at=NOON + days * DAY, standards=Standards(intervals={"a.b": 86_400.0})))


def test_conditions_read_facts_as_they_are_at_the_moment() -> None:
    profile = folded([bought(day, ("a.b", 1), ("tea", 1), revenue=60) for day in (0, 10, 20)])
    recent = {"field": "profile.facts.days_since_order", "op": "lt", "value": 5}
    assert holds(recent, profile, 24.9)
    assert not holds(recent, profile, 25)
    assert holds({"field": "profile.facts.rfm.score", "op": "starts_with", "value": "5"}, profile, 21)
    soon = {"field": "profile.facts.runs_out.a.b", "op": "before", "value": {"in": "3d"}}
    assert not holds(soon, profile, 26.9)
    assert holds(soon, profile, 27.1)
    assert holds({"field": "profile.facts.lasts_days.tea", "op": "eq", "value": 10}, profile, 21)
    assert holds({"field": "profile.facts.runs_out.soap", "op": "is_not_set"}, profile, 21)
    assert not holds({"field": "profile.facts.days_since_order", "op": "gte", "value": 0}, NOBODY, 21)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("profile.facts", "no such fact"),
        ("profile.facts.loyality", 'Did you mean "loyalty"?'),
        ("profile.facts.rfm", "below rfm there are recency"),
        ("profile.facts.rfm.recancy", 'Did you mean "recency"?'),
        ("profile.facts.runs_out", "followed by the id of a product"),
        ("profile.facts.loyalty.name", "nothing below a single value"),
    ],
)
def test_an_unknown_fact_is_a_mistake_with_the_nearest_known_name(field: str, sentence: str) -> None:
    with pytest.raises(RuleErrors, match=sentence.replace("?", r"\?")):
        parse_condition({"field": field, "op": "eq", "value": 1})


@settings(max_examples=150, deadline=None)
@given(
    lives(),
    st.sampled_from(
        [
            ("days_since_order", "gte"),
            ("days_since_order", "eq"),
            ("days_since_visit", "between"),
            ("churn_days", "gt"),
            ("rfm.recency", "lte"),
            ("runs_out_next", "before"),
            ("runs_out.tea", "before"),
            ("favourite_category", "eq"),
            ("categories", "contains"),
        ]
    ),
    st.integers(0, 40),
)
def test_a_turn_is_never_told_too_late(events: list[Event], asked: tuple[str, str], number: int) -> None:
    field, op = asked
    value: Any = [number, number + 3] if op == "between" else {"in": f"{number}d"} if op == "before" else number
    value = "ABC"[number % 3] if "categor" in field else value
    condition = parse_condition({"field": f"profile.facts.{field}", "op": op, "value": value})
    profile, at = folded(events), NOON + 101 * DAY
    test, turning = compile_condition(condition), turning_of(condition)
    assert turning is not None
    history = Past(by_name(events), complete=True)
    history.cut = (at, END_OF_MOMENT)
    now = Moment(profile=profile, at=at, history=history)
    answer = test(now)
    turn = next_turn(test, turning, now, answer)
    for hours in range(1, 24 * 60, 5):
        moment = at + timedelta(hours=hours)
        if turn is not None and moment >= turn:
            break
        assert test(Moment(profile=profile, at=moment, history=history)) is answer


def test_however_many_views_lie_before_it_the_one_that_counts_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(favourite, "MOST_LEAVING", 2)
    events = [*(did("Product Viewed", day) for day in range(7)), did("Product Viewed", 8, category="Hats")]
    events += [did("Product Added", day, product_id="x") for day in (3, 9)]
    condition = parse_condition({"field": "profile.facts.favourite_category", "op": "eq", "value": "Hats"})
    history = Past(by_name(events), complete=True)
    test, turning = compile_condition(condition), turning_of(condition)
    assert turning is not None
    now = Moment(profile=folded(events), at=NOON + 10 * DAY, history=history)
    history.cut = (now.at, END_OF_MOMENT)
    assert next_turn(test, turning, now, True) == NOON + 98 * DAY


@given(st.data())
def test_what_is_counted_from_moment_to_moment_is_what_counting_anew_gives(data: Any) -> None:
    days = data.draw(st.lists(st.integers(0, 9), max_size=12))
    events = [did(data.draw(st.sampled_from("AB")), day, x=data.draw(st.integers(0, 2)) or None) for day in days]
    past = Past(by_name(events, "AB"))
    marks = st.integers(-1, 10)

    def key(event: Event) -> Any:
        return event.properties["x"]

    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            events.append(did("A", data.draw(st.integers(0, 9)), x=1))
            past.add(events[-1])
        since, until = (NOON + data.draw(marks) * DAY for _ in range(2))
        past.cut = data.draw(st.none() | marks.map(lambda day: (NOON + day * DAY, END_OF_MOMENT)))
        within = [each for each in events if since < each.timestamp <= until and each.name == "A"]
        counted = Counter(key(each) for each in within if past.cut is None or each.moment <= past.cut)
        del counted[None]
        assert past.tally("A", since, until, key) == counted


def tea_times(rules: list[Any], *days: float) -> Story:
    story = Story(rules)
    for day in days:
        listed = [{"product_id": "tea", "quantity": 1, "price": 4.5, "name": "Green tea", "url": "/tea"}]
        story.event(NOON + day * DAY, name="Order Completed", type="track", properties={"products": listed})
    return story


def reminder(**told: Any) -> Any:
    body = "{{ product.name }} {{ product.price }} until {{ event.properties.runs_out_at }}"
    parts = {"message": saying(body), "reentry": None, "name": "r", "trigger": {"replenishment": told}}
    made = parse_rule(parts)
    return replace(rule("r", "x"), spec=made)


def test_a_reminder_comes_so_long_before_a_product_runs_out_once_for_each_purchase() -> None:
    story = tea_times([reminder(before="3d", at="10:00")], 0, 10, 20, 31)
    result = story.run(NOON + 200 * DAY)
    # After the third purchase (20 + 10 - 3) and after the fourth (31 + 10 - 3), at ten in Berlin.
    first, second = sorted(each.created_at for each in result.messages)
    assert first == datetime(2026, 3, 29, 8, 0, tzinfo=UTC)
    assert second == datetime(2026, 4, 9, 8, 0, tzinfo=UTC)
    body = next(each.content["body"] for each in result.messages if each.created_at == first)
    assert body == "Green tea 4.50 until 2026-04-01T12:00:00Z"
    profile, enrolments, messages = story.run_in_steps(NOON + 200 * DAY)
    assert sorted(each.id for each in messages) == sorted(each.id for each in result.messages)
    assert len(enrolments) == 2
    assert profile.wake_at is None


def test_only_the_products_that_are_named_are_reminded_of_and_each_by_itself() -> None:
    story = Story([reminder(before="0d")])
    for day in (0, 10, 20):
        listed = [{"product_id": each, "price": 1, "name": each} for each in ("tea", "rice", "soap")]
        story.event(NOON + day * DAY, name="Order Completed", type="track", properties={"products": listed})
    result = story.run(NOON + 60 * DAY)
    assert sorted(each.key.split("@")[0] for each in result.enrolments.values()) == ["rice", "soap", "tea"]
    assert len({each.created_at for each in result.messages}) == 1
    story.rules = [reminder(product=["rice", "milk"])]
    assert [each.key.split("@")[0] for each in story.run(NOON + 60 * DAY).enrolments.values()] == ["rice"]


def test_whoever_buys_in_time_is_not_reminded_of_the_purchase_before() -> None:
    story = tea_times([reminder(before="3d")], 0, 10, 20, 26, 36)
    # Not at 27, for what would run out at 30; at 33, for what was bought at 26.
    assert [each.created_at for each in story.run(NOON + 37 * DAY).messages] == [datetime(2026, 4, 4, 7, tzinfo=UTC)]


def test_a_moment_that_lies_before_the_purchase_is_none() -> None:
    story = tea_times([reminder(before="30d")], 0, 10, 20)
    assert story.run(NOON + 300 * DAY).messages == []


@pytest.mark.parametrize(
    ("told", "path", "sentence"),
    [
        (3, "replenishment", "Expected an object"),
        ({"product": 7}, "product", "id of a product"),
        ({"products": ["x"]}, "products", 'Did you mean "product"?'),
        ({"before": "soon"}, "before", "Not a duration"),
        ({"before": "400d"}, "before", "At most"),
        ({"at": "9"}, "at", "time"),
    ],
)
def test_a_replenishment_trigger_that_cannot_work_is_refused_with_its_place(
    told: Any, path: str, sentence: str
) -> None:
    with pytest.raises(RuleErrors) as caught:
        parse_rule({"name": "r", "trigger": {"replenishment": told}, "message": saying()})
    found: Any = caught.value.errors["trigger"]["replenishment"]
    found = found if isinstance(found, list) else found[path]
    assert sentence in found[0]


def test_a_segment_of_facts_is_left_by_the_clock_alone() -> None:
    lately = segment("lately", {"field": "profile.facts.days_since_order", "op": "lt", "value": 30})
    story = tea_times([rule("gone", {"segment": "lately", "change": "left"})], 0)
    story.segments = [lately]
    result = story.run(NOON + 90 * DAY)
    assert [each.created_at for each in result.messages] == [NOON + 30 * DAY]


def test_messages_see_facts() -> None:
    story = Story([rule("r", "Order Completed", message=saying("{{ profile.facts.average_order_value }}"))])
    story.did("Order Completed", 0, revenue="12.30")
    [message] = story.run().messages
    assert message.content["body"] == "12.3"
