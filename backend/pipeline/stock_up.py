"""The verb `stock_up`: the catalogue takes over what the API or a feed tells, and rules learn of what has changed.

A change and its announcement to each rule are written in one transaction: so each change is announced once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from backend.domain.product import Facts, Product, Source, State, drop_between, new_product
from backend.domain.rule.trigger import ProductTrigger
from backend.errors import Conflict
from backend.runtime import Runtime
from backend.storage import interests, products, rules, sweeps
from backend.storage.database import Connection
from backend.storage.sweeps import Sweep

MOST_PRODUCTS = 1_000_000
AT_ONCE = 500
"""Products of one transaction: a large feed must not keep the other writers waiting."""


@dataclass(slots=True)
class Stocked:
    """How many products came of what was told."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0


def stock_up(
    rt: Runtime, site_id: str, told: Sequence[tuple[str, Facts]], source: Source, *, whole: bool = False
) -> Stocked:
    """Takes over facts by product id; with `whole` nothing else holds that was told of these products before.

    Raises `Conflict` where the site would have too many products; what came before them is kept.
    """
    stocked = Stocked()
    for start in range(0, len(told), AT_ONCE):
        with rt.db.begin() as connection:
            _stock_some(connection, site_id, told[start : start + AT_ONCE], source, whole, rt.clock(), stocked)
    return stocked


def _stock_some(
    connection: Connection,
    site_id: str,
    told: Sequence[tuple[str, Facts]],
    source: Source,
    whole: bool,
    now: datetime,
    stocked: Stocked,
) -> None:
    products.lock(connection, site_id)
    before = products.load(connection, site_id, {product_id for product_id, _ in told})
    after: dict[str, Product] = dict(before)
    for product_id, facts in told:
        known = after.get(product_id) or new_product(product_id, now)
        after[product_id] = known.told_anew(facts, source, now, whole=whole)
    fresh = after.keys() - before.keys()
    if fresh and products.count(connection, site_id) + len(fresh) > MOST_PRODUCTS:
        raise Conflict(f"A site has at most {MOST_PRODUCTS} products.")
    changed = [(before.get(each), product) for each, product in after.items() if before.get(each) is not product]
    products.save(connection, site_id, [product for _, product in changed])
    outright = sum(1 for known, product in changed if known is not None and not known.told and product.told)
    products.count_learned(connection, site_id, -outright)
    tell_of_changes(connection, site_id, changed, now)
    stocked.created += len(fresh)
    stocked.changed += len(changed) - len(fresh)
    stocked.unchanged += len(after) - len(changed)


def tell_of_changes(
    connection: Connection, site_id: str, changed: Sequence[tuple[Product | None, Product]], now: datetime
) -> None:
    """Begins, for each active rule that waits for such a change, the way to those with an interest in the product."""
    moved = [
        (after, before.states[-1], after.states[-1])
        for before, after in changed
        if before is not None and before.states and after.states != before.states
    ]
    if not moved:
        return
    waiting = rules.started_by(connection, site_id, "product")
    if not waiting:
        return
    asked = [
        (rule.id, product, before, after)
        for product, before, after in moved
        for rule in waiting
        if isinstance(rule.spec.trigger, ProductTrigger) and rule.spec.trigger.asks_for(before, after)
    ]
    wanted = {product.id for _, product, _, _ in asked}
    if interests.noting_since(connection, site_id) is not None and not sweeps.building(
        connection, site_id, sweeps.INTERESTS
    ):
        wanted = interests.wanted(connection, site_id, wanted)
    for rule_id, product, before, after in asked:
        if product.id in wanted:
            sweeps.add(connection, _sweep(site_id, rule_id, product.id, before, after, now))


def _sweep(site_id: str, rule_id: str, product_id: str, before: State, after: State, now: datetime) -> Sweep:
    drop = drop_between(before, after)
    told = {
        "product_id": product_id,
        "price": None if after.price is None else str(after.price),
        "price_before": None if drop is None else str(before.price),
        "percent": None if drop is None else float(round(drop, 2)),
        "stock": after.stock,
    }
    return Sweep(
        id=uuid4().hex,
        site_id=site_id,
        rule_id=rule_id,
        kind=sweeps.PRODUCT,
        due_at=now,
        next_at=now,
        subject=json.dumps(told),
    )
