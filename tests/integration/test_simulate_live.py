"""A rule that was simulated decides the same when it runs live: random rules over random histories, and an oracle."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.pipeline.rehearse import rehearse
from backend.pipeline.simulate import simulate
from backend.storage import webhooks
from backend.storage.rules import get_rule
from backend.storage.sites import create_site, new_site, silence_site
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import POPUP, START, Shop, call, identify
from tests.core_histories import step

MINUTE = timedelta(minutes=1)
SPAN = 120
GRAIN = 5
"""Minutes between two possible moments: so coarse that things often happen at one instant, or exactly when due."""

FEW = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
MANY = settings(FEW, max_examples=300)


@dataclass(frozen=True)
class Told:
    """One call, and the minute at which it happened."""

    minute: int
    who: str
    body: dict[str, Any]


conditions = st.sampled_from(
    [
        {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
        {"field": "profile.cart.total", "op": "gte", "value": 100},
        {"field": "profile.counts.Product Viewed", "op": "lt", "value": 3},
        {"field": "profile.user_id", "op": "is_set"},
        {"field": "profile.sessions", "op": "eq", "value": 1},
        {"field": "event.properties.product_id", "op": "ne", "value": "mug"},
        {"performed": "Product Viewed", "within": "15m"},
        {"not": {"performed": "Order Completed", "within": "1h"}},
        {"performed": "Page Viewed", "count": {"op": "gte", "value": 2}, "within": "40m"},
        {"performed": "Page Viewed", "since": "entry"},
        {"field": "profile.facts.favourite_category", "op": "eq", "value": "Cups"},
        {
            "performed": "Product Added",
            "where": {"field": "event.properties.price", "op": "gt", "value": 10},
            "count": {"op": "between", "value": [1, 2]},
        },
    ]
)
audiences = st.one_of(
    st.none(),
    conditions,
    st.lists(conditions, min_size=2, max_size=2).map(lambda parts: {"all": parts}),
    st.lists(conditions, min_size=2, max_size=2).map(lambda parts: {"any": parts}),
    conditions.map(lambda part: {"not": part}),
)
triggers = st.one_of(
    st.sampled_from(["Product Added", "Product Viewed", "Page Viewed", "Order Completed"]).map(
        lambda name: {"event": name}
    ),
    st.just({"event": "Product Added", "where": {"field": "event.properties.product_id", "op": "eq", "value": "mug"}}),
    st.sampled_from(["browsing", "interested", "cart", "checkout", "customer"]).map(lambda stage: {"stage": stage}),
)
cancels = st.lists(
    st.sampled_from(
        [
            {"event": "Order Completed"},
            {"event": "Product Added", "same": "properties.product_id"},
            {"event": "Page Viewed", "where": {"performed": "Product Viewed", "within": "5m"}},
        ]
    ),
    max_size=2,
)
reentries = st.sampled_from(
    [
        {"policy": "once"},
        {"policy": "every"},
        {"policy": "every", "at_most": 1, "per": "30m"},
        {"policy": "every", "at_most": 2, "per": "1h"},
        {"policy": "per_key", "key": "properties.product_id"},
    ]
)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    audience = draw(audiences)
    return {
        "name": "Drawn",
        "trigger": draw(triggers),
        "delay": draw(st.sampled_from(["0s", "1m", "10m", "30m"])),
        "cancel": draw(cancels),
        "reentry": draw(reentries),
        "message": {**POPUP, "holdout": draw(st.sampled_from([0, 0, 50]))},
    } | ({"audience": audience} if audience else {})


CALL = {
    "webhook": {
        "url": "https://hooks.example/{{ event.event | default: 'x' }}",
        "body": {"n": "{{ profile.sessions }}"},
    }
}
pieces = st.sampled_from(
    [
        {"delay": "10m"},
        {"delay": "1h"},
        {"delay": {"days": 1}},
        CALL,
        {"message": POPUP},
        {"message": POPUP | {"holdout": 50}},
        {"emit": {"event": "Coupon Granted", "properties": {"worth": 5}}},
        {"set_trait": {"seen": "{{ event.event | default: 'x' }}"}},
        {
            "wait": {"events": [{"event": "Page Viewed"}], "timeout": "30m"},
            "then": [{"emit": {"event": "Came Back"}}],
            "else": [CALL],
        },
        {
            "wait": {"until": {"performed": "Coupon Granted", "within": "20m"}, "timeout": "15m"},
            "then": [{"message": POPUP}],
            "else": [{"delay": "5m"}],
        },
        {"branch": {"if": {"performed": "Coupon Granted", "since": "entry"}, "then": [CALL], "else": [{"stop": True}]}},
        {"branch": {"if": {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}}, "then": [CALL]}},
        {"split": [{"steps": [{"delay": "20m"}]}, {"steps": [CALL]}]},
    ]
)


@st.composite
def journeys(draw: st.DrawFn) -> dict[str, Any]:
    """A drawn rule with steps in the place of its message."""
    document = {key: value for key, value in draw(rules()).items() if key != "message"}
    document["steps"] = [*draw(st.lists(pieces, min_size=1, max_size=6)), CALL]
    if draw(st.booleans()):
        document |= {"goal": {"event": "Order Completed"}, "exit": {"goal": True, "not_matching": draw(st.booleans())}}
    return document


minutes = st.integers(0, SPAN // GRAIN).map(lambda each: each * GRAIN)


@st.composite
def histories(draw: st.DrawFn, *names: str) -> list[Told]:
    """What three browsers did, in order of arrival within each minute; one of them may sign in on the way."""
    told = []
    for who in ("ann", "bob", "eve"):
        for _ in range(draw(st.integers(0, 8))):
            name, properties = draw(step(*names))
            told.append(Told(draw(minutes), who, call(name, properties, anonymousId=who)))
    if draw(st.booleans()):
        told.append(Told(draw(minutes), "ann", identify("the user", {"first_name": "Ann"})))
    return sorted(told, key=lambda each: each.minute)


@pytest.fixture
def shops(shop: Shop) -> Iterator[Any]:
    """A shop after another, all on the same databases."""
    before: list[str] = []

    def fresh() -> Shop:
        shop.clock.now = START
        with shop.rt.db.begin() as connection:
            for site_id in before:
                silence_site(connection, site_id)  # else every edit would compile the rules of all that went before
            site = create_site(connection, shop.rt.sites.vault, new_site(uuid4().hex), shop.clock()).site
        before[:] = [site.id]
        return replace(shop, site=site, _processor=shop.processor)

    return fresh


def run_live(shop: Shop, batches: Sequence[Sequence[Told]]) -> None:
    """Each batch is sent at the moment of its last event and processed at once; then time goes on until all is over."""
    for batch in batches:
        shop.clock.now = START + MINUTE * max(each.minute for each in batch)
        shop.send(*(each.body | {"timestamp": (START + MINUTE * each.minute).isoformat()} for each in batch))
    shop.clock.now = START + MINUTE * (SPAN + 60)
    shop.processor.drain()


def decided(shop: Shop) -> list[tuple[Any, ...]]:
    """What became of everybody, live."""
    return sorted(
        (each.trigger.message_id, each.entered_at, each.at, each.outcome, each.reason or "", each.variant or "")
        for who in ("ann", "bob", "eve")
        for each in shop.enrolments(who)
    )


def foreseen(shop: Shop, rule_id: str, **span: Any) -> list[tuple[Any, ...]]:
    """What a simulation of the stored rule finds."""
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    found = simulate(shop.rt, shop.site, [stored.rule()], limit=10_000, **span)
    return sorted((i.event_id, i.entered_at, i.at, i.outcome, i.reason or "", i.variant or "") for i in found.items)


def by_minute(history: Sequence[Told]) -> list[list[Told]]:
    return [list(group) for _, group in groupby(history, key=lambda each: each.minute)]


def as_it_happens(shop: Shop, document: dict[str, Any], history: list[Told]) -> None:
    """Event by event, each minute processed at its time."""
    rule_id = shop.rule(document)
    run_live(shop, by_minute(history))
    assert decided(shop) == foreseen(shop, rule_id) == rehearsed(shop, rule_id, history)


def rehearsed(shop: Shop, rule_id: str, history: list[Told]) -> list[tuple[Any, ...]]:
    """What a rehearsal finds, given the same calls and nothing of what is stored."""
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    calls = [each.body | {"timestamp": (START + MINUTE * each.minute).isoformat()} for each in history]
    found = rehearse(shop.site, [stored.rule()], calls, shop.clock.now)
    return sorted((i.event_id, i.entered_at, i.at, i.outcome, i.reason or "", i.variant or "") for i in found.items)


def shuffled(shop: Shop, document: dict[str, Any], history: list[Told], chance: Any) -> None:
    """Ten minutes a batch (older would be stale), in no order, and a few of the batch before once more (F22, F23)."""
    rule_id = shop.rule(document)
    batches = []
    before: list[Told] = []
    for _, group in groupby(history, key=lambda each: each.minute // 10):
        batch = list(group)
        mixed = batch + chance.sample(before, min(2, len(before)))
        chance.shuffle(mixed)
        batches.append(mixed)
        before = batch
    run_live(shop, batches)
    assert decided(shop) == foreseen(shop, rule_id)


def carts_left(shop: Shop, history: list[Told]) -> None:
    """Live and simulated, up to the end and up to the middle, as a naive reader finds them."""
    rule_id = shop.rule(
        {
            "name": "Cart left",
            "trigger": {"event": "Product Added"},
            "delay": "30m",
            "cancel": [{"event": "Order Completed"}],
            "reentry": {"policy": "every"},
            "message": POPUP,
        }
    )
    run_live(shop, by_minute(history))
    end = START + MINUTE * (SPAN + 60)
    expected = sorted(each for who in ("ann", "bob", "eve") for each in naive(history, who, end))
    assert [each[:5] for each in decided(shop)] == expected
    assert [each[:5] for each in foreseen(shop, rule_id)] == expected
    half = START + MINUTE * (SPAN // 2)
    known = [each for each in history if each.minute <= SPAN // 2]
    wanted = sorted(each for who in ("ann", "bob", "eve") for each in naive(known, who, half))
    assert [each[:5] for each in foreseen(shop, rule_id, until=half)] == [each for each in wanted if each[1] < half]


CARTS = histories("Product Added", "Order Completed", "Page Viewed")


@FEW
@given(document=rules(), history=histories())
def test_a_simulated_rule_decides_as_it_does_live(shops: Any, document: dict[str, Any], history: list[Told]) -> None:
    as_it_happens(shops(), document, history)


@FEW
@given(document=rules(), history=histories(), chance=st.randoms(use_true_random=False))
def test_and_where_batches_arrive_shuffled_and_partly_twice(
    shops: Any, document: dict[str, Any], history: list[Told], chance: Any
) -> None:
    shuffled(shops(), document, history, chance)


@FEW
@given(history=CARTS)
def test_carts_left_are_those_that_a_naive_reader_of_the_history_finds(shops: Any, history: list[Told]) -> None:
    carts_left(shops(), history)


def calls(shop: Shop) -> Counter[str]:
    """How many webhooks were promised, live, by trigger."""
    with shop.rt.db.read() as connection:
        found = webhooks.list_webhooks(connection, shop.site.id, limit=10_000)
    triggers = {each.id: each.trigger.message_id for who in ("ann", "bob", "eve") for each in shop.enrolments(who)}
    return Counter(triggers[each.enrolment_id] for each in found)


def journeys_bit_by_bit(shop: Shop, document: dict[str, Any], history: list[Told], chance: Any) -> None:
    """Ten minutes a batch, the worker often forgetful between two; then days in which all comes to an end."""
    rule_id = shop.rule(document)
    for _, group in groupby(history, key=lambda each: each.minute // 10):
        batch = list(group)
        shop.clock.now = START + MINUTE * max(each.minute for each in batch)
        shop.send(*(each.body | {"timestamp": (START + MINUTE * each.minute).isoformat()} for each in batch))
        if chance.random() < 0.3:
            shop.processor.reload()
    shop.clock.now = START + timedelta(days=9)
    shop.processor.drain()
    assert decided(shop) == foreseen(shop, rule_id)
    with shop.rt.db.read() as connection:
        stored = get_rule(connection, shop.site.id, rule_id)
    assert stored is not None
    items = simulate(shop.rt, shop.site, [stored.rule()], limit=10_000).items
    assert calls(shop) == Counter({each.event_id: each.webhooks for each in items if each.webhooks})
    assert all(each.outcome is not None for who in ("ann", "bob", "eve") for each in shop.enrolments(who))


@FEW
@given(document=journeys(), history=histories(), chance=st.randoms(use_true_random=False))
def test_a_simulated_journey_decides_and_calls_as_it_does_live(
    shops: Any, document: dict[str, Any], history: list[Told], chance: Any
) -> None:
    journeys_bit_by_bit(shops(), document, history, chance)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@MANY
@given(document=journeys(), history=histories(), chance=st.randoms(use_true_random=False))
def test_all_journeys_many_times(shops: Any, document: dict[str, Any], history: list[Told], chance: Any) -> None:
    journeys_bit_by_bit(shops(), document, history, chance)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@MANY
@given(document=rules(), history=histories(), chance=st.randoms(use_true_random=False))
def test_all_of_that_many_times(shops: Any, document: dict[str, Any], history: list[Told], chance: Any) -> None:
    as_it_happens(shops(), document, history)
    shuffled(shops(), document, history, chance)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@MANY
@given(history=CARTS)
def test_and_the_carts_too(shops: Any, history: list[Told]) -> None:
    carts_left(shops(), history)


def naive(history: Sequence[Told], who: str, end: datetime) -> list[tuple[Any, ...]]:
    """Somebody put something into the cart, and half an hour later had not ordered: written without the engine."""
    found: list[tuple[Any, ...]] = []
    open_: tuple[str, datetime] | None = None
    for each in history:
        if each.who != who:
            continue
        now = START + MINUTE * each.minute
        if open_ is not None and now > open_[1] + 30 * MINUTE:
            found.append((open_[0], open_[1], open_[1] + 30 * MINUTE, "sent", ""))
            open_ = None
        name = each.body.get("event")
        if name == "Order Completed" and open_ is not None:
            found.append((open_[0], open_[1], now, "skipped", "cancelled"))
            open_ = None
        if name == "Product Added" and open_ is None:
            open_ = (each.body["messageId"], now)
    if open_ is not None:
        due = open_[1] + 30 * MINUTE
        found.append((open_[0], open_[1], due, "sent" if due <= end else "pending", ""))
    return found
