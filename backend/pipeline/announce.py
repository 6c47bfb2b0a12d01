"""The step `announce`: a change of a product is taken to those with an interest in it, at the rate of the rule.

Each gets a signal through the log, whose id names the change and the person: it takes effect once, however often a
piece is repeated after a crash. The engine then asks the visitor's own history whether the interest is there.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog

from backend.domain.engine import Ruleset
from backend.domain.event import SIGNAL, Event
from backend.domain.identity import derive
from backend.domain.product import AMOUNTS, Product, State, drop_between, state_of
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule
from backend.domain.rule.compile import OF_PRODUCTS
from backend.domain.rule.trigger import ProductTrigger
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.storage import interests, products, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.sweeps import Sweep

log = structlog.get_logger(__name__)

AT_ONCE = 200
"""Visitors that are looked at in one piece."""

SWEEPS_AT_ONCE = 50
PIECES = 20
"""Pieces of one rule in one turn, so that others get theirs."""

LATE = timedelta(days=1)
"""A change that is so long ago is no news: whoever was not told by then is not."""


class Announcer:
    """Goes on with the changes that rules wait for."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._rulesets = Rulesets(rt)

    def run(self) -> int:
        """One turn; returns how many visitors were told."""
        now = self.rt.clock()
        with self.rt.db.begin() as connection:
            self._rulesets.refresh(connection)
            sweeps.drop(connection, sweeps.orphans(connection, 1_000))
        told = 0
        for site_id in self._rulesets.site_ids():
            ruleset = self._rulesets.of(site_id)
            if ruleset is None:
                continue
            for rule in ruleset.by_id.values():
                trigger = rule.rule.spec.trigger
                if isinstance(trigger, ProductTrigger) and rule.rule.status == "active":
                    told += self._announce(ruleset, rule, trigger, now)
        return told

    def _announce(self, ruleset: Ruleset, rule: CompiledRule, trigger: ProductTrigger, now: datetime) -> int:
        """Tells of this rule's changes, as many visitors as its rate allows for a second."""
        left = -(-trigger.rate // 60)
        with self.rt.db.read() as connection:
            found = sweeps.waiting(connection, rule.id, now, SWEEPS_AT_ONCE)
            if not found or sweeps.building(connection, rule.rule.site_id, sweeps.INTERESTS):
                return 0
        told = 0
        for _ in range(PIECES):
            if not found or told >= left:
                break
            sweep = found[0]
            after = self._piece(ruleset, rule, trigger, sweep, left - told, now)
            with self.rt.db.begin() as connection:
                if not sweeps.move(connection, sweep, after):
                    break  # somebody else goes on with it
                if after.ended_at is not None:
                    sweeps.drop(connection, [sweep.id])
            told += after.done - sweep.done
            if after.ended_at is not None:
                found.pop(0)
            else:
                found[0] = after
        return told

    def _piece(
        self, ruleset: Ruleset, rule: CompiledRule, trigger: ProductTrigger, sweep: Sweep, most: int, now: datetime
    ) -> Sweep:
        subject = json.loads(sweep.subject)
        with self.rt.db.read() as connection:
            product = products.load(connection, sweep.site_id, [subject["product_id"]]).get(subject["product_id"])
            if product is None or now - sweep.due_at > LATE:
                return replace(sweep, ended_at=now)
            if not trigger.lasts(_then(subject, sweep.due_at), _state(product, now)):
                return replace(sweep, ended_at=now)
            since = now - trigger.within
            ids = interests.visitors_after(
                connection, sweep.site_id, product.id, trigger.interests, since, sweep.cursor, AT_ONCE
            )
            people = _people(connection, ids)
        properties = told_of(product, subject, now)
        signal = Event(
            message_id="",
            name=OF_PRODUCTS[trigger.change],
            type=SIGNAL,
            timestamp=now,
            received_at=now,
            properties={**properties, "rule_id": rule.id},
        )
        told: list[tuple[Profile, str, Mapping[str, Any]]] = []
        cursor = sweep.cursor
        for visitor_id in ids:
            if len(told) >= most:
                break
            cursor = visitor_id
            profile = people.get(visitor_id)
            if profile is not None and ruleset.may_concern(profile, signal, rule.where, rule.audience):
                told.append((profile, derive(sweep.id, profile.id), properties))
        done = sweep.done + send_signals(self.rt, sweep.site_id, signal.name, rule.id, told)
        through = len(ids) < AT_ONCE and (not ids or cursor == ids[-1])
        next_at = now + timedelta(seconds=1) if len(told) >= most else now
        return replace(sweep, cursor=cursor, done=done, next_at=next_at, ended_at=now if through else None)


def told_of(product: Product, subject: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The properties of the signal: the product as it stands now, and what changed of it. Amounts are numbers."""
    facts = product.facts
    told = {name: float(facts[name]) if name in AMOUNTS else facts[name] for name in facts if name != "attributes"}
    told["product_id"] = product.id
    state = _state(product, now)
    if state.available is not None:
        told["available"] = state.available
    if subject.get("price_before") is not None:
        before = State(at=now, price=Decimal(subject["price_before"]), currency=state.currency)
        drop = drop_between(before, state)
        told["price_before"] = float(subject["price_before"])
        if drop is not None:
            told["percent"] = float(round(drop, 1))
    return told


def _state(product: Product, now: datetime) -> State:
    return state_of(product.facts, now, learned=False)


def _then(subject: Mapping[str, Any], at: datetime) -> State:
    price = subject["price"]
    return State(at=at, price=None if price is None else Decimal(price), stock=subject["stock"])


def _people(connection: Connection, ids: list[str]) -> dict[str, Profile]:
    """The person behind each visitor's id, also where that was merged into another."""
    found = visitors.load(connection, ids)
    merged = {each.merged_into for each in found.values() if each.merged_into is not None}
    into = visitors.load(connection, merged) if merged else {}
    people = {
        visitor_id: into.get(each.merged_into, each) if each.merged_into is not None else each
        for visitor_id, each in found.items()
    }
    return {visitor_id: each.profile for visitor_id, each in people.items()}
