"""What lies in the cart, computed from reports that are late, repeated, incomplete or wrong."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.cart import LOG_LIMIT, QUANTITY_LIMIT, cart_of, money
from backend.domain.event import Event
from backend.domain.fold import fold
from backend.domain.profile import Cart, Profile
from backend.schemas.fields import format_money
from tests.core_fixtures import START, at


class Visit:
    """One visitor's profile, told event by event."""

    def __init__(self) -> None:
        self.profile = Profile(id="v", site_id="s", person="v")
        self.order = 0

    def tell(self, event_name: str, second: float, **properties: Any) -> Cart:
        self.order += 1
        event = Event(
            message_id=f"m{self.order}",
            name=event_name,
            type="track",
            timestamp=at(seconds=second),
            received_at=START,
            order=self.order,
            properties=properties,
        )
        self.profile = fold(self.profile, event)
        return self.profile.cart

    def lines(self) -> dict[str, int]:
        return {item.product_id: item.quantity for item in self.profile.cart.items}


@pytest.fixture
def visit() -> Visit:
    return Visit()


def test_what_is_added_adds_up_and_what_is_removed_goes(visit: Visit) -> None:
    visit.tell("Product Added", 1, product_id="kettle", price=30, quantity=2, name="Kettle")
    visit.tell("Product Added", 2, product_id="kettle", price="29.50")
    cart = visit.tell("Product Added", 3, sku="mug", price=5)
    assert visit.lines() == {"kettle": 3, "mug": 1}
    assert cart.total == Decimal("93.50"), "the latest price counts"
    assert cart.items[0].name == "Kettle", "what the second report left out is known from the first"
    visit.tell("Product Removed", 4, product_id="kettle")
    assert visit.lines() == {"kettle": 2, "mug": 1}
    visit.tell("Product Removed", 5, product_id="kettle", quantity=5)
    assert visit.lines() == {"mug": 1}
    visit.tell("Product Removed", 6, product_id="never there")
    assert visit.lines() == {"mug": 1}


def test_a_removal_that_arrives_before_its_addition_finds_its_place_in_time(visit: Visit) -> None:
    visit.tell("Product Removed", 20, product_id="mug")
    visit.tell("Product Added", 10, product_id="mug")
    assert visit.lines() == {}
    visit.tell("Product Added", 30, product_id="mug")
    assert visit.lines() == {"mug": 1}


def test_a_cart_that_is_shown_whole_replaces_what_was_known(visit: Visit) -> None:
    visit.tell("Product Added", 1, product_id="kettle", price=30)
    visit.tell("Cart Viewed", 2, cart_id="c7", products=[{"product_id": "mug", "price": 5, "quantity": 4}, {"x": 1}])
    assert visit.lines() == {"mug": 4}
    assert visit.profile.cart.cart_id == "c7"
    visit.tell("Cart Viewed", 3)
    assert visit.lines() == {"mug": 4}, "a view that tells nothing changes nothing"
    cart = visit.tell("Cart Viewed", 4, products=[])
    assert visit.lines() == {}
    assert cart.emptied_at == at(seconds=4)


def test_an_order_empties_the_cart_of_what_was_in_it_by_then(visit: Visit) -> None:
    visit.tell("Product Added", 1, product_id="kettle", price=30)
    visit.tell("Product Added", 9, product_id="mug", price=5)
    visit.tell("Order Completed", 5, total=30)
    assert visit.lines() == {"mug": 1}
    visit.tell("Product Added", 4, product_id="late")
    assert visit.lines() == {"mug": 1}, "a late report of something bought already"


def test_a_product_without_a_name_is_a_product_all_the_same(visit: Visit) -> None:
    cart = visit.tell("Product Added", 1, price=120)
    assert cart.total == 120
    assert visit.profile.stage == "cart"
    visit.tell("Product Removed", 2)
    assert visit.profile.cart.items == ()


@pytest.mark.parametrize(
    ("quantity", "counted"),
    [(None, 1), ("3", 3), (2.0, 2), (0.5, 1), (0, None), (-4, None), ("many", 1), (True, 1), (10**12, QUANTITY_LIMIT)],
)
def test_quantities_are_read_as_they_were_meant(visit: Visit, quantity: Any, counted: int | None) -> None:
    visit.tell("Product Added", 1, product_id="mug", quantity=quantity)
    assert visit.lines() == ({} if counted is None else {"mug": counted})


@pytest.mark.parametrize(
    ("told", "read"),
    [
        (19.9, "19.90"),
        ("19.90", "19.90"),
        (" 7 ", "7.00"),
        (0.1 + 0.2, "0.30"),
        (-5, "-5.00"),
        ("1E-999999", "0.00"),
        ("0.0000000001", "0.00"),
        (1e14, "100000000000000.00"),
    ],
)
def test_prices_are_read_as_they_were_meant_and_written_short(told: Any, read: str) -> None:
    amount = money(told)
    assert amount is not None
    assert format_money(amount) == read


@pytest.mark.parametrize("told", [None, True, "", "€5", "NaN", "Infinity", 1e15, "1e999999999", [], {}, "9" * 8000])
def test_what_is_no_price_is_none(told: Any) -> None:
    assert money(told) is None


def test_a_cart_of_very_many_changes_forgets_how_it_came_about_but_not_what_is_in_it(visit: Visit) -> None:
    visit.tell("Product Added", 0, product_id="kettle", price=30, cart_id="c7")
    for second in range(1, 3 * LOG_LIMIT):
        visit.tell("Product Added", second, product_id="mug", price=1)
    assert visit.lines() == {"kettle": 1, "mug": 3 * LOG_LIMIT - 1}
    assert visit.profile.cart.cart_id == "c7"
    assert len(visit.profile.cart_log) <= LOG_LIMIT


@given(
    told=st.lists(
        st.tuples(
            st.sampled_from(["Product Added", "Product Removed", "Cart Viewed", "Order Completed"]),
            st.integers(0, 300),
            st.sampled_from(["mug", "tin", "kettle"]),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_the_cart_is_at_every_moment_what_its_changes_make_of_it(told: list[tuple[str, int, str, int]]) -> None:
    """Whether a change is added to the cart that was there, or all of them are gone through again."""
    visit = Visit()
    for second in range(LOG_LIMIT - 10):  # soon the oldest are summed up
        visit.tell("Product Added", second, product_id="mug", price=1)
    for name, second, product, quantity in told:
        listed = [{"product_id": product, "quantity": quantity, "price": 2}] if quantity else []
        whole = {"products": listed} if name == "Cart Viewed" else {}
        cart = visit.tell(name, second, product_id=product, quantity=quantity, price=2, **whole)
        assert cart == cart_of(visit.profile.cart_log)
