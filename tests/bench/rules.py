"""A thousand rules as a large shop would have them, and what they ask in the words of other engines."""

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from tests.bench import events

Document = dict[str, Any]

LISTENERS = {
    "Product Viewed": 125,
    "Product Added": 125,
    "Page Viewed": 125,
    "Order Completed": 100,
    "Products Searched": 100,
    "stage": 100,
    "Checkout Started": 75,
    "Product Removed": 50,
    "Cart Viewed": 50,
    "Form Field Filled": 50,
    "session": 50,
    "trait": 50,
}
"""How many of 1,000 rules start by what; in the mix 98 of 100 events are views."""

FORM_FIELDS = ("email", "phone", "city")
MESSAGE = {"channels": ["popup"], "variants": [{"name": "A", "content": {"title": "Hello", "body": "…"}}]}

BROAD: tuple[Document, ...] = (
    {"not": {"performed": "Order Completed", "within": "30d"}},
    {"field": "profile.orders.count", "op": "eq", "value": 0},
    {"field": "profile.device.locale", "op": "eq", "value": "en"},
)
"""What holds for most visitors."""

NARROW: tuple[Document, ...] = (
    {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
    {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}, "within": "1h"},
    {"performed": "Product Viewed", "count": {"op": "gte", "value": 10}, "within": "24h"},
    {
        "performed": "Product Viewed",
        "where": {"field": "event.properties.price", "op": "gte", "value": 500},
        "count": {"op": "gte", "value": 2},
        "within": "24h",
    },
    {"performed": "Product Added", "within": "7d"},
    {"field": "profile.counts.Product Viewed", "op": "gte", "value": 5},
    {"field": "profile.sessions", "op": "gte", "value": 2},
    {"field": "profile.cart.total", "op": "gte", "value": 100},
    {"field": "profile.traits.plan", "op": "eq", "value": "gold"},
    {"field": "profile.traits.city", "op": "in", "value": ["Berlin", "Hamburg", "Bremen"]},
    {"any": [{"field": "profile.stage", "op": "eq", "value": "customer"}, {"performed": "Checkout Started"}]},
)
"""What holds for some. Marketers ask the same again and again: each rule asks two or three of these."""


def thousand(seed: int = 7) -> list[Document]:
    """A thousand rules; any part of them, from the first on, is in the same proportions."""
    chance = random.Random(seed)
    brands, categories = _known()
    made: list[Document] = []
    for start, count in LISTENERS.items():
        wheres = _wheres(start, chance, brands, categories)
        for trigger in islice(_triggers(start, wheres), count):
            parts = [*chance.sample(BROAD, chance.choice((0, 1, 1))), *chance.sample(NARROW, chance.choice((2, 2, 3)))]
            made.append({"trigger": trigger, "audience": {"all": parts}})
    chance.shuffle(made)
    for number, rule in enumerate(made):
        rule |= {"name": f"Rule {number}", "priority": chance.randrange(20), "message": MESSAGE, "delay": "10m"}
    return made


def _known() -> tuple[list[str], list[str]]:
    """The brands and categories of the mix, the most frequent first: rules are made for what sells."""
    brands: dict[str, int] = {}
    categories: dict[str, int] = {}
    for call in events.mix(5_000):
        told = call["properties"]
        brands[told["brand"]] = brands.get(told["brand"], 0) + 1
        categories[told["category"]] = categories.get(told["category"], 0) + 1
    for each in (brands, categories):
        each.pop("", None)
    return (sorted(brands, key=lambda name: -brands[name]), sorted(categories, key=lambda name: -categories[name]))


def _triggers(start: str, wheres: Iterator[Document | None]) -> Iterator[Document]:
    if start == "stage":
        yield from ({"stage": stage} for stage in cycle(("interested", "cart", "checkout", "customer")))
    elif start == "session":
        yield from cycle(({"session": "started"}, {"session": "returned"}))
    elif start == "trait":
        yield from ({"trait": name, "to": value} for name, value in cycle((("plan", "gold"), ("city", "Berlin"))))
    else:
        yield from ({"event": start} | ({"where": where} if where else {}) for where in wheres)


def _wheres(
    start: str, chance: random.Random, brands: Sequence[str], categories: Sequence[str]
) -> Iterator[Document | None]:
    if start in ("Product Viewed", "Product Added", "Product Removed", "Order Completed"):
        while True:
            yield from _of_products(chance, brands, categories)
    while True:
        match start:
            case "Products Searched":
                yield {"field": "event.properties.query", "op": "contains", "value": chance.choice(brands)}
            case "Page Viewed":
                path = f"/p/{chance.randrange(1_000, 60_000)}"
                yield {"field": "event.context.page.path", "op": "starts_with", "value": path}
            case "Form Field Filled":
                yield {
                    "field": "event.properties.field",
                    "op": "eq",
                    "value": chance.choice(("email", "phone", "city")),
                }
            case _:
                yield None


def _of_products(chance: random.Random, brands: Sequence[str], categories: Sequence[str]) -> Iterator[Document | None]:
    """Ten rules on products: four by brand, two by category, the others by department, price, several, or all."""

    def brand() -> str:
        return brands[min(int(chance.expovariate(1 / 25)), len(brands) - 1)]

    def category() -> str:
        return categories[min(int(chance.expovariate(1 / 15)), len(categories) - 1)]

    def price() -> float:
        return float(chance.choice((200, 300, 500, 750, 1_000, 1_500)))

    for _ in range(3):
        yield {"field": "event.properties.brand", "op": "eq", "value": brand()}
    yield {
        "all": [
            {"field": "event.properties.price", "op": "gte", "value": price()},
            {"field": "event.properties.brand", "op": "eq", "value": brand()},
        ]
    }
    for _ in range(2):
        yield {"field": "event.properties.category", "op": "eq", "value": category()}
    department = category().partition(".")[0] + "."
    yield {"field": "event.properties.category", "op": "starts_with", "value": department}
    low = price()
    yield {
        "all": [
            {"field": "event.properties.price", "op": "between", "value": [low, low * 1.2]},
            {"field": "event.properties.category", "op": "starts_with", "value": department},
        ]
    }
    yield {"field": "event.properties.brand", "op": "in", "value": sorted({brand() for _ in range(5)})}
    yield None if chance.random() < 0.5 else {"field": "event.properties.price", "op": "gte", "value": price()}


def flat(rule: Mapping[str, Any]) -> Document:
    """A rule as one condition on flat facts: `all`, `any`, `not`, and (fact, op, value).

    What other engines cannot ask is handed to them ready: how often something was performed, what began just now.
    """
    trigger = rule["trigger"]
    parts: list[Document] = []
    if "event" in trigger:
        parts.append({"fact": "name", "op": "eq", "value": trigger["event"]})
        if "where" in trigger:
            parts.append(_flat(trigger["where"]))
    elif "stage" in trigger:
        parts.append({"fact": "entered_stage", "op": "eq", "value": trigger["stage"]})
    elif "session" in trigger:
        kinds = ["returned"] if trigger["session"] == "returned" else ["started", "returned"]
        parts.append({"fact": "session", "op": "in", "value": kinds})
    else:
        parts.append({"fact": "changed", "op": "eq", "value": f"{trigger['trait']}={trigger['to']}"})
    return {"all": [*parts, _flat(rule["audience"])]}


def _flat(condition: Mapping[str, Any]) -> Document:
    for word in ("all", "any"):
        if word in condition:
            return {word: [_flat(each) for each in condition[word]]}
    if "not" in condition:
        return {"not": _flat(condition["not"])}
    if "performed" in condition:
        count = condition.get("count", {"op": "gte", "value": 1})
        return {"fact": fact_of(condition), "op": count["op"], "value": count["value"]}
    return {"fact": _name(condition["field"]), "op": condition["op"], "value": condition["value"]}


def fact_of(performed: Mapping[str, Any]) -> str:
    """The name of the fact that says how often this was done."""
    dear = "_dear" if "where" in performed else ""
    return f"did_{performed['performed']}_{performed.get('within', 'ever')}{dear}".lower().replace(" ", "_")


def _name(field: str) -> str:
    return field.replace(".", "_").replace(" ", "_").lower()
