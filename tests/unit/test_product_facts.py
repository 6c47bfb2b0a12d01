"""Facts of products: read, weighed by who told them, and what changed of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.event import Event
from backend.domain.product import (
    FACTS,
    MOST_STATES,
    State,
    came_back,
    drop_between,
    is_available,
    new_product,
    product_id_of,
    ran_low,
)
from backend.domain.product_facts import read_facts, read_id
from backend.domain.shopping import Sighting, described, facts_of
from backend.schemas.documents import decode_product, encode_product

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("price", 134, Decimal(134)),
        ("price", 19.9, Decimal("19.9")),
        ("price", "19.90", Decimal("19.90")),
        ("price", "0", Decimal(0)),
        ("stock", "12", 12),
        ("stock", 12.0, 12),
        ("stock", 0, 0),
        ("available", "in stock", True),
        ("available", "https://schema.org/OutOfStock", False),
        ("available", False, False),
        ("available", "preorder", True),
        ("url", "https://shop.example/k?x=1#y", "https://shop.example/k?x=1#y"),
        ("url", "/kettles/17", "/kettles/17"),
        ("name", "  Copper \n kettle ", "Copper kettle"),
        ("category", 17, "17"),
        ("attributes", {"colour": "red", "litres": 1.2, "gift": True}, {"colour": "red", "litres": 1.2, "gift": True}),
        ("price", None, None),
    ],
)
def test_a_fact_is_read_as_it_is_meant(name: str, written: object, meant: object) -> None:
    assert read_facts({name: written}) == ({name: meant}, [])


def test_an_amount_may_name_its_currency() -> None:
    assert read_facts({"price": "19.90 EUR"}) == ({"price": Decimal("19.90"), "currency": "EUR"}, [])
    assert read_facts({"price": "EUR 5", "currency": "EUR"})[0]["currency"] == "EUR"
    _, mistakes = read_facts({"price": "19.90 EUR", "currency": "USD"})
    assert mistakes == [("price", "The amount is in EUR, and the currency is USD.")]


@pytest.mark.parametrize(
    ("name", "written", "sentence"),
    [
        ("price", "19,90", "Expected an amount such as 19.90"),
        ("price", "-1", "Expected an amount"),
        ("price", -1, "not less than 0"),
        ("price", True, "Expected an amount"),
        ("price", float("nan"), "Expected an amount"),
        ("price", "9" * 40, "Expected an amount"),
        ("price", 10**30, "Expected an amount"),
        ("price", [1], "Expected an amount"),
        ("currency", "euro", "three capital letters"),
        ("stock", -1, "whole number"),
        ("stock", 1.5, "whole number"),
        ("stock", True, "whole number"),
        ("stock", "many", "whole number"),
        ("stock", 10**12, "whole number"),
        ("available", "perhaps", "Expected true or false"),
        ("url", "javascript:alert(1)", "Expected an address"),
        ("url", "//evil.example/x", "Expected an address"),
        ("url", "https://user:pw@shop.example/", "Name and password"),
        ("url", "https://shop.example@evil.example/", "Name and password"),
        ("url", "https://shop.example/\x00", "Expected an address"),
        ("url", "https://shop.example/" + "x" * 3000, "at most 2048"),
        ("image_url", 'https://shop.example/"onload="x', "Expected an address"),
        ("name", "", "Expected text"),
        ("name", ["x"], "Expected text"),
        ("name", "x" * 301, "At most 300"),
        ("name", "a\x00b", "control characters"),
        ("brand", "half \ud800", "control characters"),
        ("attributes", [], "Expected an object"),
        ("attributes", {str(n): 1 for n in range(51)}, "At most 50"),
        ("attributes", {"a": {"b": 1}}, "is a text of at most"),
        ("attributes", {"a": "x" * 1001}, "is a text of at most"),
        ("attributes", {"": 1}, "The name of an attribute"),
        ("prize", 1, 'Did you mean "price"?'),
    ],
)
def test_a_mistake_names_its_field_and_says_what_is_wrong(name: str, written: object, sentence: str) -> None:
    facts, mistakes = read_facts({name: written})
    assert name not in facts
    assert [each[0] for each in mistakes] == [name]
    assert sentence in mistakes[0][1]


@pytest.mark.parametrize("value", [None, "", "  ", True, 1.5, [], "x" * 256, "a\x00b", "a\nb", "\ud800"])
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="id"):
        read_id(value)


SINGLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NESTED = st.recursive(SINGLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from(FACTS) | st.text(max_size=12), NESTED))
def test_whatever_is_told_is_read_or_refused_with_a_sentence(doc: dict[str, Any]) -> None:
    facts, mistakes = read_facts(doc)
    assert facts.keys() <= {*doc, "currency"}
    assert all(sentence.endswith((".", "?")) for _, sentence in mistakes)


def test_the_newest_event_counts_and_what_was_told_outright_before_it() -> None:
    product = new_product("k-17", NOW).taught({"price": Decimal(10), "name": "New"}, later(2), NOW)
    product = product.taught({"price": Decimal(12), "name": "Old", "brand": "B"}, later(1), NOW)
    assert product.facts == {"name": "New", "price": Decimal(10), "brand": "B"}
    product = product.told_anew({"price": Decimal(11)}, "feed", later(3), whole=False)
    product = product.taught({"price": Decimal(1)}, later(4), later(4))
    assert product.facts["price"] == Decimal(11)
    assert product.sources == {"name": "event", "price": "feed", "brand": "event"}
    gone = product.told_anew({"price": None}, "api", later(5), whole=False)
    assert gone.facts["price"] == Decimal(1)


def test_an_amount_that_was_told_is_not_in_the_currency_of_an_event() -> None:
    product = new_product("k", NOW).taught({"price": Decimal(10), "currency": "USD"}, NOW, NOW)
    product = product.told_anew({"price": Decimal(9)}, "api", later(1), whole=True)
    assert product.facts == {"price": Decimal(9)}


def test_a_whole_telling_takes_back_what_it_leaves_out_and_a_part_of_it_does_not() -> None:
    product = new_product("k", NOW).told_anew({"price": Decimal(9), "stock": 3}, "api", NOW, whole=True)
    assert product.told_anew({"stock": 2}, "feed", NOW, whole=False).facts == {"price": Decimal(9), "stock": 2}
    assert product.told_anew({"stock": 2}, "api", NOW, whole=True).facts == {"stock": 2}


def test_the_same_once_more_changes_nothing() -> None:
    product = new_product("k", NOW).told_anew({"price": Decimal("9.00")}, "api", NOW, whole=True)
    assert product.told_anew({"price": Decimal(9)}, "feed", later(1), whole=False) is product
    assert product.taught({}, NOW, NOW) is product


def test_states_of_price_and_stock_are_bounded_and_other_facts_make_none() -> None:
    product = new_product("k", NOW)
    for number in range(50):
        product = product.told_anew({"price": Decimal(number)}, "api", later(number), whole=False)
    assert len(product.states) == MOST_STATES
    assert product.states[-1].price == 49
    assert product.told_anew({"name": "N"}, "api", later(60), whole=False).states == product.states


def test_a_product_outlives_its_column() -> None:
    product = new_product("k", NOW).taught({"price": Decimal("9.95"), "name": "N"}, NOW, NOW)
    product = product.told_anew({"price": Decimal("8.50"), "attributes": {"a": 1}}, "api", later(1), whole=True)
    assert decode_product(encode_product(product)) == product


@pytest.mark.parametrize(
    ("before", "after", "drop"),
    [
        ("100", "90", 10),
        ("100", "100", None),
        ("90", "100", None),
        ("0", "0", None),
        (None, "5", None),
        ("5", None, None),
        ("5", "0", 100),
    ],
)
def test_a_drop_is_told_in_percent_of_the_price_before(before: str | None, after: str | None, drop: int | None) -> None:
    one, two = (State(at=NOW, price=None if each is None else Decimal(each)) for each in (before, after))
    assert drop_between(one, two) == drop


def test_prices_in_two_currencies_are_not_compared() -> None:
    one = State(at=NOW, price=Decimal(100), currency="EUR")
    assert drop_between(one, State(at=NOW, price=Decimal(1), currency="USD")) is None
    assert drop_between(one, State(at=NOW, price=Decimal(50))) == 50


def test_back_and_low_need_to_be_known_before() -> None:
    def state(stock: int | None, available: bool | None = None) -> State:
        return State(at=NOW, stock=stock, available=available)

    assert came_back(state(0, False), state(1, True))
    assert not came_back(state(None), state(1, True))
    assert ran_low(state(4), state(3), 3)
    assert not ran_low(state(3), state(2), 3)
    assert not ran_low(state(4), state(0, False), 3)
    assert not ran_low(state(None), state(2), 3)
    assert is_available({})
    assert not is_available({"stock": 0, "available": True})


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({"product_id": "a", "sku": "b"}, "a"),
        ({"sku": 17}, "17"),
        ({"product_id": True}, None),
        ({"product_id": "x" * 256}, None),
        ({"product_id": "a\x00"}, None),
        ({"name": "Kettle"}, None),
        ("no object", None),
    ],
)
def test_an_event_names_its_product_by_id_or_sku(properties: object, found: str | None) -> None:
    assert product_id_of(properties) == found


def test_an_event_may_tell_of_many_products_and_they_share_its_currency() -> None:
    listed: list[Any] = [{"product_id": "a"}, {"product_id": "b", "currency": "USD"}, 5, {}]
    properties = {"currency": "EUR", "products": [*listed, *({"product_id": str(n)} for n in range(500))]}
    moments = {"timestamp": NOW, "received_at": NOW}
    event = Event(message_id="m", name="Order Completed", type="track", **moments, properties=properties)
    found = list(described(event))
    assert [(each.product_id, each.properties["currency"]) for each in found[:2]] == [("a", "EUR"), ("b", "USD")]
    assert len(found) == 98


def test_an_event_cannot_lead_others_to_a_foreign_host() -> None:
    def told(url: str, *hosts: str) -> object:
        return facts_of(Sighting("k", {"url": url, "price": "5"}, NOW), frozenset(hosts)).get("url")

    assert told("https://evil.example/x", "shop.example") is None
    assert told("https://shop.example.evil.example/x", "shop.example") is None
    assert told("https://SHOP.example/x", "shop.example") == "https://SHOP.example/x"
    assert told("/x", "shop.example") == "/x"
    assert told("https://anywhere.example/x") == "https://anywhere.example/x"
