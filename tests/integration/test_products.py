"""The catalogue: what events, the API and feeds tell of products, and whom a change is taken to."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import sqlalchemy

from backend.domain.product import Product
from backend.domain.rule import Rule, parse_rule
from backend.pipeline import catch_up_products, learn_products
from backend.pipeline.announce import Announcer
from backend.pipeline.catch_up_products import CatchUp
from backend.pipeline.relate import Relater
from backend.pipeline.simulate import simulate, simulating
from backend.pipeline.simulated import SimulationResult
from backend.pipeline.stock_up import stock_up
from backend.pipeline.sweep import Sweeper
from backend.storage import interests, products, sweeps, visitors
from tests.core_fixtures import *  # noqa: F403 - fixtures
from tests.core_fixtures import ADMIN, START, Shop, at, call

HEADERS = {"Authorization": f"Bearer {ADMIN}"}
KETTLE = {"product_id": "k-17", "name": "Copper kettle", "price": 134.0, "currency": "EUR"}
CONTENT = {"title": "{{ product.name }}", "body": "{{ product.price_before }} → {{ product.price }}"}


def viewed(**fields: Any) -> dict[str, Any]:
    return call("Product Viewed", KETTLE, **fields)


def rule(trigger: dict[str, Any], **fields: Any) -> dict[str, Any]:
    content = fields.pop("content", CONTENT)
    message = {"channels": ["popup"], "variants": [{"name": "A", "content": content}]}
    return {"name": "Cheaper", "trigger": trigger, "message": message} | fields


def tell(shop: Shop, product_id: str = "k-17", **facts: Any) -> None:
    facts = {name: Decimal(str(value)) if name == "price" else value for name, value in facts.items()}
    stock_up(shop.rt, shop.site.id, [(product_id, facts)], "api")


def product(shop: Shop, product_id: str = "k-17") -> Product | None:
    with shop.rt.db.read() as connection:
        return products.load(connection, shop.site.id, [product_id]).get(product_id)


def tick(shop: Shop, seconds: int = 1) -> None:
    """What the tick does of this, and then the processor."""
    sweeper, announcer = Sweeper(shop.rt), Announcer(shop.rt)
    for _ in range(seconds):
        sweeper.run()
        announcer.run()
        shop.wait(seconds=1)


def settled(shop: Shop, document: dict[str, Any]) -> str:
    """The rule is live, and everybody's interests are known."""
    rule_id = shop.rule(document)
    tick(shop, 4)
    return rule_id


def said(shop: Shop) -> list[tuple[str, str]]:
    return [(each.content["title"], each.content["body"]) for each in shop.messages()]


def test_an_event_teaches_what_a_product_is_and_the_newest_counts(each_shop: Shop) -> None:
    shop = each_shop
    shop.clock.forward(minutes=5)
    shop.send(viewed(timestamp=at(minutes=2)))
    shop.send(call("Product Viewed", KETTLE | {"price": 99, "name": "Old name"}, timestamp=at(minutes=1)))
    found = product(shop)
    assert found is not None
    assert found.facts == {"name": "Copper kettle", "price": Decimal("134.0"), "currency": "EUR"}
    assert set(found.sources.values()) == {"event"}
    shop.send(call("Product Added", KETTLE | {"price": "120.50"}, timestamp=at(minutes=3)))
    found = product(shop)
    assert found is not None
    assert found.facts["price"] == Decimal("120.50")


def test_what_was_told_outright_is_not_unsaid_by_an_event(each_shop: Shop) -> None:
    shop = each_shop
    tell(shop, price=100, currency="EUR")
    shop.clock.forward(minutes=1)
    shop.send(viewed())
    found = product(shop)
    assert found is not None
    assert found.facts == {"name": "Copper kettle", "price": Decimal(100), "currency": "EUR"}
    assert found.sources == {"name": "event", "price": "api", "currency": "api"}


def test_a_price_that_falls_is_told_once_to_those_who_looked(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed(), call("Product Viewed", {"product_id": "other"}, anonymousId="bob"))
    tell(shop, price=134)
    settled(shop, rule({"product": "price_dropped", "percent": 10, "within": "7d"}))
    tell(shop, price=125)  # less than 10 %
    tick(shop, 2)
    assert said(shop) == []
    tell(shop, price=100)
    tick(shop, 3)
    assert said(shop) == [("Copper kettle", "125.00 → 100.00")]
    assert shop.outcomes("bob") == []
    tell(shop, price=50)
    tick(shop, 3)
    assert len(said(shop)) == 1  # once for each product, where the rule says nothing else


def test_every_change_is_told_where_the_rule_says_so_and_each_product_by_itself(shop: Shop) -> None:
    shop.send(viewed(), call("Product Added", {"product_id": "t-1", "name": "Tea", "price": 5}))
    tell(shop, price=134)
    tell(shop, "t-1", price=5)
    settled(shop, rule({"product": "price_dropped"}, reentry={"policy": "every"}))
    tell(shop, price=100)
    tell(shop, "t-1", price=4)
    tick(shop, 3)
    tell(shop, price=90)
    tick(shop, 3)
    assert sorted(said(shop)) == [
        ("Copper kettle", "100.00 → 90.00"),
        ("Copper kettle", "134.00 → 100.00"),
        ("Tea", "5.00 → 4.00"),
    ]


def test_who_has_bought_it_since_hears_nothing(shop: Shop) -> None:
    shop.send(viewed(), viewed(anonymousId="bob"))
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"order_id": "1", "products": [KETTLE]}))
    tell(shop, price=134)
    settled(shop, rule({"product": "price_dropped"}))
    tell(shop, price=100)
    tick(shop, 3)
    assert shop.outcomes("ann") == []
    assert shop.outcomes("bob") == [("sent", None)]


def test_a_change_that_events_alone_tell_of_starts_nothing_unless_the_rule_says_so(shop: Shop) -> None:
    shop.send(viewed())
    settled(shop, rule({"product": "price_dropped"}))
    shop.send(call("Product Viewed", KETTLE | {"price": 1}, anonymousId="mallory"))
    tick(shop, 3)
    assert said(shop) == []
    shop.rule(rule({"product": "price_dropped", "learned": True}, name="Believing"))
    tick(shop, 2)
    shop.send(call("Product Viewed", KETTLE | {"price": 0.5}, anonymousId="mallory"))
    tick(shop, 3)
    assert ("Copper kettle", "1.00 → 0.50") in said(shop)


@pytest.mark.parametrize(
    ("trigger", "before", "after"),
    [
        ({"product": "back_in_stock", "interest": "carted"}, {"stock": 0}, {"stock": 7}),
        ({"product": "back_in_stock", "interest": "carted"}, {"available": False}, {"available": True}),
        ({"product": "low_stock", "most": 3, "interest": ["carted"]}, {"stock": 10}, {"stock": 3}),
    ],
)
def test_a_change_of_stock_is_told_to_those_who_put_it_into_the_cart(
    each_shop: Shop, trigger: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    shop = each_shop
    shop.send(viewed(anonymousId="looker"), call("Product Added", KETTLE, anonymousId="buyer"))
    tell(shop, **before)
    settled(shop, rule(trigger, content={"title": "{{ product.name }}", "body": "There"}))
    tell(shop, **after)
    tick(shop, 3)
    assert shop.outcomes("buyer") == [("sent", None)]
    assert shop.outcomes("looker") == []
    assert said(shop) == [("Copper kettle", "There")]


def test_what_does_not_hold_any_more_is_not_told(shop: Shop) -> None:
    shop.send(viewed())
    tell(shop, price=134)
    rule_id = settled(shop, rule({"product": "price_dropped"}))
    tell(shop, price=100)
    tell(shop, price=134)
    tick(shop, 3)
    assert said(shop) == []
    with shop.rt.db.read() as connection:
        assert sweeps.of_rule(connection, rule_id) == []


def test_an_interest_that_is_too_old_counts_no_more(shop: Shop) -> None:
    shop.send(viewed())
    tell(shop, price=134)
    shop.clock.forward(days=8)
    shop.send(viewed(anonymousId="bob"))
    settled(shop, rule({"product": "price_dropped", "within": "7d"}))
    tell(shop, price=100)
    tick(shop, 3)
    assert shop.outcomes("ann") == []
    assert shop.outcomes("bob") == [("sent", None)]


def test_an_audience_by_the_levels_of_the_site_is_asked_by_them(shop: Shop) -> None:
    levels = [{"name": "regular", "orders": 1}]
    shop.client.patch("/api/v1/sites/shop", json={"policy": {"loyalty": levels}}, headers=HEADERS)
    shop.send(call("Order Completed", {"order_id": "1", "products": [{"product_id": "t-1"}]}))
    shop.send(viewed(), viewed(anonymousId="bob"))
    tell(shop, price=134)
    audience = {"field": "profile.facts.loyalty", "op": "eq", "value": "regular"}
    settled(shop, rule({"product": "price_dropped"}, audience=audience))
    tell(shop, price=100)
    tick(shop, 3)
    assert shop.outcomes("ann") == [("sent", None)]
    assert shop.outcomes("bob") == []


def test_the_rate_of_a_rule_is_kept(shop: Shop) -> None:
    shop.send(*(viewed(anonymousId=f"visitor-{number}") for number in range(7)))
    tell(shop, price=134)
    settled(shop, rule({"product": "price_dropped", "rate": 120}))
    tell(shop, price=100)
    numbers = []
    for _ in range(5):
        tick(shop)
        numbers.append(len(said(shop)))
    assert numbers == [2, 4, 6, 7, 7]


def test_a_piece_that_is_repeated_after_a_crash_tells_nobody_twice(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(*(viewed(anonymousId=f"visitor-{number}") for number in range(5)))
    tell(shop, price=134)
    rule_id = settled(shop, rule({"product": "price_dropped"}, reentry={"policy": "every"}))
    tell(shop, price=100)
    with shop.rt.db.read() as connection:
        [sweep] = sweeps.of_rule(connection, rule_id)
    announcer = Announcer(shop.rt)
    announcer.run()
    shop.wait(seconds=1)
    with shop.rt.db.begin() as connection:  # as if the process had died before it noted how far it was
        assert sweeps.add(connection, replace(sweep, next_at=shop.clock()))
    announcer.run()
    shop.wait(seconds=1)
    assert len(said(shop)) == 5


def test_who_became_somebody_known_is_told_once_under_both_names(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed(anonymousId="phone"), viewed(anonymousId="desk"))
    tell(shop, price=134)
    settled(shop, rule({"product": "price_dropped"}, reentry={"policy": "every"}))
    identified = {"type": "identify", "userId": "u-1"}
    shop.send(*(identified | {"anonymousId": each, "messageId": each} for each in ("phone", "desk")))
    tell(shop, price=100)
    tick(shop, 3)
    assert len(said(shop)) == 1


def test_interests_are_noted_only_where_a_rule_asks_and_forgotten_when_none_does(each_shop: Shop) -> None:
    shop = each_shop
    shop.send(viewed())
    with shop.rt.db.read() as connection:
        assert interests.after(connection, shop.site.id, "", 10) == []
    rule_id = settled(shop, rule({"product": "price_dropped"}))
    shop.send(call("Product Added", KETTLE))
    with shop.rt.db.read() as connection:
        assert {each[1:3] for each in interests.after(connection, shop.site.id, "", 10)} == {
            ("k-17", "viewed"),
            ("k-17", "carted"),
        }
    shop.set_rule(rule_id, "archived")
    tick(shop, 2)
    with shop.rt.db.read() as connection:
        assert interests.after(connection, shop.site.id, "", 10) == []
        assert interests.noting_since(connection, shop.site.id) is None


def test_a_text_gets_from_the_catalogue_what_the_event_does_not_tell(each_shop: Shop) -> None:
    shop = each_shop
    tell(shop, name="Copper kettle", price=134, url="https://shop.example/k-17")
    content = {"title": "{{ product.name }}", "body": "{{ product.price }} at {{ product.url }}"}
    shop.rule(rule({"event": "Product Viewed"}, content=content))
    shop.send(call("Product Viewed", {"product_id": "k-17"}))
    assert said(shop) == [("Copper kettle", "134.00 at https://shop.example/k-17")]
    shop.send(call("Product Viewed", {"product_id": "unknown"}, anonymousId="bob"))
    assert shop.outcomes("bob") == [("skipped", "missing_value")]


def test_what_goes_together_is_counted_and_told(each_shop: Shop) -> None:
    shop = each_shop
    tea, pot = {"product_id": "t-1", "name": "Tea", "price": 5}, {"product_id": "p-1", "name": "Pot", "price": 30}
    for person in ("a", "b", "c"):
        shop.send(*(call("Product Viewed", each, anonymousId=person) for each in (KETTLE, tea)))
        shop.send(call("Order Completed", {"order_id": person, "products": [KETTLE, pot]}, anonymousId=person))
    shop.send(call("Product Viewed", {"product_id": "lone", "name": "Seen by one"}, anonymousId="a"))
    both = {
        "title": "{% for each in product.similar %}{{ each.name }} {{ each.price }}{% endfor %}",
        "body": "{% for each in product.bought_together %}{{ each.name }}{% endfor %}",
    }
    settled(shop, rule({"event": "Product Clicked"}, content=both))
    relater = Relater(shop.rt)
    while relater.run():
        continue
    shop.send(call("Product Clicked", {"product_id": "k-17"}, anonymousId="new"))
    assert said(shop) == [("Tea 5.00", "Pot")]
    shop.send(call("Product Clicked", {"product_id": "lone"}, anonymousId="other"))
    assert shop.outcomes("other") == [("skipped", "missing_value")]
    tell(shop, "t-1", stock=0)
    shop.send(call("Product Clicked", {"product_id": "k-17"}, anonymousId="late"))
    assert shop.outcomes("late") == [("skipped", "missing_value")]  # nobody is offered what is sold out


def test_a_visitor_who_looked_at_everything_and_what_is_long_ago_is_cut(shop: Shop) -> None:
    settled(shop, rule({"product": "price_dropped"}))
    many = interests.MOST_OF_ONE + 50
    old, now = shop.clock() - interests.KEPT, shop.clock()
    with shop.rt.db.begin() as connection:
        interests.note(connection, [("v" * 32, f"p{n:04}", "viewed", shop.site.id, now) for n in range(many)])
        interests.note(connection, [("w" * 32, "p0001", "viewed", shop.site.id, old)])
    relater = Relater(shop.rt)
    while relater.run():
        continue
    with shop.rt.db.read() as connection:
        left = interests.after(connection, shop.site.id, "", 10_000)
    assert len(left) == interests.MOST_OF_ONE


def test_a_simulation_hears_of_what_changed_as_far_as_it_is_remembered(each_shop: Shop) -> None:
    shop = each_shop
    document = rule({"product": "price_dropped", "percent": 10, "within": "7d"}, reentry={"policy": "every"})
    tell(shop, name="Copper kettle", price=134)
    shop.send(viewed(), viewed(anonymousId="bob"))
    shop.clock.forward(minutes=1)
    shop.send(call("Order Completed", {"products": [KETTLE]}, anonymousId="bob"))
    for price, minutes in ((130, 5), (100, 5), (80, 5)):
        shop.clock.forward(minutes=minutes)
        tell(shop, price=price)
    shop.clock.forward(days=8)
    tell(shop, price=10)  # nobody was interested lately
    found = shop.simulate(document)
    assert [(each.anonymous_id, each.outcome) for each in found.items] == [("ann", "sent"), ("ann", "sent")]
    assert [each.messages[0].content["body"] for each in found.items] == ["130.00 → 100.00", "100.00 → 80.00"]
    assert [each.entered_at for each in found.items] == [at(minutes=11), at(minutes=16)]


def test_a_long_life_is_simulated_as_a_short_one(shop: Shop) -> None:
    document = rule({"product": "price_dropped", "within": "7d"}, reentry={"policy": "every"})
    asked = Rule(id="simulated", site_id=shop.site.id, spec=parse_rule(document, simulated=True))
    for number in range(6):
        shop.clock.forward(minutes=1)
        shop.send(viewed(), call("Page Viewed"), call("Page Viewed"))
        tell(shop, price=100 - number)
    shop.clock.forward(minutes=1)
    [*_, whole] = simulating(shop.rt, shop.site, [asked])
    [*_, pieces] = simulating(shop.rt, shop.site, [asked], at_once=4)
    assert isinstance(whole, SimulationResult)
    assert isinstance(pieces, SimulationResult)
    assert whole.items == pieces.items
    assert len(whole.items) == 5 + 1  # what events told at first is a state too


def test_a_simulation_of_a_live_rule_hears_of_a_change_once(shop: Shop) -> None:
    shop.send(viewed())
    tell(shop, price=134)
    document = rule({"product": "price_dropped"}, reentry={"policy": "every"})
    rule_id = settled(shop, document)
    tell(shop, price=100)
    tick(shop, 3)
    assert len(said(shop)) == 1
    asked = Rule(id=rule_id, site_id=shop.site.id, spec=parse_rule(document, simulated=True))
    assert len(simulate(shop.rt, shop.site, [asked]).items) == 1


def test_nothing_of_a_visitor_who_is_erased_stays_in_the_catalogue(each_shop: Shop) -> None:
    shop = each_shop
    settled(shop, rule({"product": "price_dropped"}))
    shop.send(viewed(), viewed(anonymousId="bob"))
    gone, stays = shop.profile("ann").id, shop.profile("bob").id
    with shop.rt.db.begin() as connection:
        assert visitors.erase(connection, shop.site.id, gone)
    with shop.rt.db.read() as connection:
        assert {each[0] for each in interests.after(connection, shop.site.id, "", 10)} == {stays}


def test_who_makes_products_up_cannot_fill_the_database(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_products, "MOST_LEARNED", 5)
    shop.send(*(call("Product Viewed", {"product_id": f"made-up-{number}"}) for number in range(20)))
    tell(shop, "real", price=5)
    with shop.rt.db.read() as connection:
        assert products.count(connection, shop.site.id) == 6
        assert products.find(connection, shop.site.id, words="REAL", limit=9)[0].id == "real"


def test_events_that_tell_the_same_in_their_own_ways_are_not_written_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = products.save
    monkeypatch.setattr(products, "save", lambda c, s, found: (written.append(len(found)), real(c, s, found)))
    short, bare = {"product_id": "k-17", "price": 134.0}, {"product_id": "k-17"}
    for _ in range(5):
        shop.send(viewed(), call("Product Added", short), call("Product Removed", bare))
    assert written == [1]
    shop.send(call("Product Added", short | {"price": 120}))
    assert written == [1, 1]
    found = product(shop)
    assert found is not None
    assert found.facts["price"] == 120
    for number in range(100):
        shop.send(call("Product Added", short | {"price": number}))
    assert len(written) <= learn_products.MOST_CHANGES + 2


@pytest.mark.parametrize("seed", range(3))
def test_of_a_backlog_every_event_is_looked_at(shop: Shop, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What each told of a product last is what the catalogue knows, in whatever order, and however much waits."""
    monkeypatch.setattr(learn_products, "FEW", 20)
    monkeypatch.setattr(learn_products, "NOTED_A_SECOND", 1)
    monkeypatch.setattr(learn_products, "MOST_LISTS", 15)
    monkeypatch.setattr(learn_products, "AT_ONCE", 10)
    monkeypatch.setattr(learn_products, "MOST_CHANGES", 10_000)
    dice, newest, calls = Random(seed), dict[tuple[str, str], tuple[datetime, Any]](), list[dict[str, Any]]()

    def described() -> dict[str, Any]:
        facts = {
            "name": f"Name {dice.randrange(5)}",
            "price": dice.randrange(1, 50),
            "brand": f"Brand {dice.randrange(5)}",
            "category": dice.choice(["Hats", "", None]),
            "image_url": f"/{dice.randrange(9)}.png",
        }
        told = dice.sample(sorted(facts), dice.randrange(1, 3))
        return {"product_id": f"p{dice.randrange(150)}"} | {name: facts[name] for name in told}

    for number in range(3_000):
        moment = START - timedelta(seconds=dice.sample(range(5_000, 9_000_000), 1)[0], milliseconds=number)
        listed = [described() for _ in range(dice.randrange(1, 4))] if dice.random() < 0.1 else []
        properties = {"products": listed} if listed else described()
        if number < 500:  # each is told of at length, and one fact by one event alone
            properties = {"product_id": f"p{number % 150}", "url": f"https://shop.example/{number % 150}", "price": 1}
            listed = []
        for each in listed or [properties]:
            for name, value in each.items():
                key = (each["product_id"], name)
                if value and (key not in newest or newest[key][0] <= moment):
                    newest[key] = (moment, value)
        calls.append(call("Product List Viewed" if listed else "Product Viewed", properties, timestamp=moment))
    for start in range(0, len(calls), 500):
        shop.put(*calls[start : start + 500])
    shop.processor.drain()
    shop.processor.products.settle()

    def right() -> list[bool]:
        facts = dict[str, dict[str, Any]]()
        for (product_id, name), (_, value) in newest.items():
            if name != "product_id":
                facts.setdefault(product_id, {})[name] = value
        return [(found := product(shop, each)) is not None and found.facts == facts[each] for each in facts]

    assert not all(right()), "a backlog goes first"
    catch_up = CatchUp(shop.rt)
    assert not catch_up.run()
    shop.clock.forward(seconds=learn_products.SETTLE.total_seconds())
    while catch_up.run():
        pass
    assert all(right())
    with shop.rt.db.read() as connection:
        assert not sweeps.building(connection, shop.site.id, sweeps.LEARN)


def test_a_new_backlog_lets_the_catching_up_begin_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_products, "FEW", 1)
    monkeypatch.setattr(learn_products, "NOTED_A_SECOND", 1)
    monkeypatch.setattr(catch_up_products, "PIECES", 1)
    monkeypatch.setattr(catch_up_products, "VISITORS_AT_ONCE", 2)
    catch_up = CatchUp(shop.rt)

    def backlog(kind: str) -> None:
        told = ({"product_id": f"{kind}-{number}", "name": kind} for number in range(9))
        shop.put(*(call("Product Viewed", each, anonymousId=f"v{place}") for place, each in enumerate(told)))
        shop.processor.drain()
        shop.processor.products.settle()

    def known(kind: str) -> list[bool]:
        return [product(shop, f"{kind}-{number}") is not None for number in range(9)]

    backlog("one")
    shop.clock.forward(minutes=2)
    assert catch_up.run()
    assert not all(known("one"))
    backlog("two")
    assert not catch_up.run(), "it waits for the new one"
    shop.clock.forward(minutes=2)
    while catch_up.run():
        pass
    assert all([*known("one"), *known("two")])


def test_what_the_database_will_not_take_now_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = shop.processor.products
    real = products.save

    def busy(*_: Any) -> None:
        raise sqlalchemy.exc.OperationalError("", None, Exception("database is locked"))

    monkeypatch.setattr(products, "save", busy)
    shop.put(viewed(), call("Cart Viewed", {"products": [{"product_id": "in-cart", "name": "In the cart"}]}))
    shop.processor.drain()
    learner.settle()
    assert product(shop) is None
    monkeypatch.setattr(products, "save", real)
    shop.processor.leave()
    assert product(shop) is not None
    assert product(shop, "in-cart") is not None
