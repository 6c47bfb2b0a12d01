"""The step `learn_products`: events tell of products by the way, and what is new of that goes into the catalogue.

It is done between batches, in transactions of its own, a few products at a time: a backlog of events goes first, and
what gets lost with a process is told again by the next event. Most events tell nothing new; a bounded memory of what
was told last spares asking for that.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import structlog

from backend.domain.event import Event
from backend.domain.product import LEARNED, Facts, new_product
from backend.domain.shopping import Sighting, described, facts_of
from backend.domain.site import Site
from backend.pipeline.note_interests import Shopping
from backend.pipeline.stock_up import tell_of_changes
from backend.runtime import Runtime
from backend.storage import products

log = structlog.get_logger(__name__)

REMEMBERED = 50_000
"""Products of which a process remembers what was told last, and of which something may wait to be learned."""

MOST_LEARNED = 100_000
"""Products of one site that are known by events alone: whoever makes ids up must not fill the database."""

AT_ONCE = 200
"""Products, or lists of them, of one transaction."""

REST = 100
"""Learning goes on after so many times as long as it took: it has a hundredth of a busy process."""

NOTED_A_SECOND = 2_000
FEW = 200
"""Events that are looked at: so many a second, and of one batch at least. A backlog has no time for more."""

MOST_WAITING = 8
"""Sightings of one product that wait; of more the latest counts."""

ASK_AGAIN = 600.0
"""Seconds after which what is told once more is held against the catalogue again: it may have been taken out of it."""

RAW = 4
"""So many ways of telling the same are remembered: each event of a shop has its own."""

MOST_CHANGES = 20
"""So often a minute events may change one product: those of its variants may contradict one another all day."""


@dataclass(slots=True)
class _Told:
    """What was told of one product, and how often that changed in the minute that began at `since`.

    `raw` are the latest properties as they were sent, so that most need not even be read.
    """

    asked_at: float
    facts: dict[str, Any] = field(default_factory=dict)
    raw: tuple[tuple[Any, ...], ...] = ()
    since: float = 0.0
    changes: int = 0


class ProductLearner:
    """What one process was told of products and has not learned yet, and what it knows of what was told last."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._waiting: dict[tuple[str, str], list[Event]] = {}
        self._rest_until = 0.0
        self._noted_at = time.monotonic()

    def note(self, shopping: Sequence[Shopping]) -> None:
        """Remembers what these events tell of products, to be learned before long; of very many at once some."""
        if not shopping:
            return
        now = time.monotonic()
        most = int(max(FEW, (now - self._noted_at) * NOTED_A_SECOND))
        self._noted_at = now
        waiting = self._waiting
        for _, site_id, event in shopping[:: -(-len(shopping) // most)]:
            named = event.properties.get("product_id")
            key = (site_id, named if named.__class__ is str else event.message_id)
            found = waiting.get(key)
            if found is None:
                if len(waiting) < REMEMBERED:
                    waiting[key] = [event]
            elif len(found) < MOST_WAITING:
                found.append(event)
            else:
                found[-1] = event

    def learn(self) -> None:
        """Learns of some products, unless it is not its turn; what goes wrong is logged, and costs nobody anything."""
        began = time.monotonic()
        if self._waiting and began >= self._rest_until:
            self._learn()
            ended = time.monotonic()
            self._rest_until = ended + (ended - began) * REST

    def settle(self) -> None:
        """Learns all of it now."""
        while self._waiting:
            self._learn()

    def _learn(self) -> None:
        try:
            for site_id, found in self._new(self._some()).items():
                if found:
                    self._write(site_id, found)
        except Exception as error:
            self._told.clear()
            log.warning("products_not_learned", reason=str(error)[:200])

    def _some(self) -> list[tuple[str, list[Event]]]:
        """The next few that wait, by site."""
        return [(key[0], self._waiting.pop(key)) for key in list(islice(self._waiting, AT_ONCE))]

    def _new(self, waiting: Iterable[tuple[str, list[Event]]]) -> dict[str, dict[str, tuple[Facts, datetime]]]:
        """By site and product, the newest facts that differ from what was told last."""
        found: dict[str, dict[str, tuple[Facts, datetime]]] = {}
        for site_id, events in waiting:
            site = self._rt.sites.by_id(site_id)
            if site is None:
                continue
            hosts, told = hosts_of(site), found.setdefault(site_id, {})
            for each in (each for event in events for each in described(event)):
                facts = self._news((site_id, each.product_id), each, hosts)
                if facts is None:
                    continue
                earlier = told.get(each.product_id)
                if earlier is None or earlier[1] <= each.at:
                    told[each.product_id] = (facts if earlier is None else {**earlier[0], **facts}, each.at)
        return found

    def _news(self, key: tuple[str, str], sighting: Sighting, hosts: frozenset[str]) -> Facts | None:
        """What a sighting tells, where that is other than was told last, and not the next of too many changes."""
        told, raw = self._told.get(key), tuple(map(sighting.properties.get, LEARNED))
        now = time.monotonic()
        if told is None or now - told.asked_at > ASK_AGAIN:
            told = self._told[key] = _Told(now)
            self._told.move_to_end(key)
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        elif raw in told.raw:
            return None
        told.raw = (raw, *told.raw[: RAW - 1])
        facts = facts_of(sighting, hosts)
        if told.facts and all(told.facts.get(name) == value for name, value in facts.items()):
            return None
        if now - told.since > 60:
            told.since, told.changes = now, 0
        told.changes += 1
        if told.changes > MOST_CHANGES:
            return None
        told.facts |= facts
        told.raw = (raw,)
        return facts

    def _write(self, site_id: str, found: dict[str, tuple[Facts, datetime]]) -> None:
        now = self._rt.clock()
        with self._rt.db.begin() as connection:
            learned = products.lock(connection, site_id)
            known = products.load(connection, site_id, found)
            changed, fresh = [], 0
            for product_id, (facts, at) in found.items():
                before = known.get(product_id)
                if before is None and learned + fresh >= MOST_LEARNED:
                    continue
                after = (before or new_product(product_id, now)).taught(facts, at, now)
                if before is None or after is not before:
                    fresh += before is None
                    changed.append((before, after))
            products.save(connection, site_id, [after for _, after in changed])
            products.count_learned(connection, site_id, fresh)
            tell_of_changes(connection, site_id, changed, now)


def hosts_of(site: Site) -> frozenset[str]:
    """The hosts of a site's own pages, as far as it says which those are."""
    return frozenset(origin.partition("://")[2] for origin in site.origins)
