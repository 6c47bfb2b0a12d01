"""Histories that a shop could see, for property tests: what a visitor does, when, and how it is told."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from backend.domain.event import Event
from tests.core_fixtures import START

PRODUCTS = ("kettle", "toaster", "mug")
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile Safari",
)

_product = st.sampled_from(PRODUCTS)
_prices = st.sampled_from([5, 19.9, 100, "250.00"])
_quantities = st.sampled_from([1, 1, 1, 2, 5])


@st.composite
def _line(draw: st.DrawFn) -> dict[str, Any]:
    product = draw(_product)
    category = "Cups" if product == "mug" else "Kitchen"
    return {"product_id": product, "category": category, "price": draw(_prices), "quantity": draw(_quantities)}


_carts = st.lists(_line(), max_size=3, unique_by=lambda line: line["product_id"])
_STEPS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Page Viewed": st.just({}),
    "Product Viewed": _line(),
    "Product Added": _line(),
    "Product Removed": _line(),
    "Cart Viewed": st.builds(lambda products: {"products": products}, _carts),
    "Checkout Started": st.just({}),
    "Order Completed": st.builds(lambda total: {"total": total}, _prices),
    "Products Searched": st.builds(lambda query: {"query": query}, st.sampled_from(["mug", "чай", "cup 🍵"])),
    "Form Field Filled": st.builds(
        lambda field, value: {"form": "contact", "field": field, "value": value},
        st.sampled_from(["name", "email"]),
        st.sampled_from(["ann@example.com", "Ann", "bob@example.com"]),
    ),
}


@st.composite
def step(draw: st.DrawFn, *names: str) -> tuple[str, dict[str, Any]]:
    """One thing done, of these names or of all: the event's name and its properties."""
    name = draw(st.sampled_from(names or list(_STEPS)))
    return name, draw(_STEPS[name])


@st.composite
def contexts(draw: st.DrawFn) -> dict[str, Any]:
    """What a page tells beside an event; often nothing."""
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "userAgent": st.sampled_from(AGENTS),
                "locale": st.sampled_from(["de-DE", "en"]),
                "page": st.fixed_dictionaries(
                    {"url": st.sampled_from(["https://shop.example/?utm_source=news", "https://shop.example/a"])},
                    optional={"referrer": st.sampled_from(["https://search.example/", "https://shop.example/b"])},
                ),
                "traits": st.fixed_dictionaries({"plan": st.sampled_from(["free", "paid", None])}),
            },
        )
    )


@st.composite
def moments(draw: st.DrawFn, count: int, span: timedelta, grain: timedelta = timedelta(seconds=1)) -> list[datetime]:
    """So many different moments within the span, in order."""
    steps = int(span / grain)
    chosen = draw(st.lists(st.integers(0, steps), min_size=count, max_size=count, unique=True))
    return [START + grain * each for each in sorted(chosen)]


@st.composite
def one_visitors_events(draw: st.DrawFn, most: int = 25, span: timedelta = timedelta(hours=4)) -> list[Event]:
    """What one browser did, in order of time, each moment once."""
    steps = draw(st.lists(step(), min_size=1, max_size=most))
    times = draw(moments(len(steps), span))
    return [
        Event(
            message_id=f"m{number}",
            name=name,
            type="track",
            timestamp=moment,
            received_at=START + span,
            order=number,
            anonymous_id=draw(st.sampled_from(["ann", "ann", "ann2"])),
            properties=properties,
            context=draw(contexts()),
        )
        for number, ((name, properties), moment) in enumerate(zip(steps, times, strict=True))
    ]
