"""The step `learn_products`: events tell of products by the way, and what is new of that goes into the catalogue.

It is done between batches, in transactions of its own, a few products at a time: a backlog of events goes first, and
of those that are left out is noted when they came: `catch_up_products` looks at them when it is over. What gets lost
with a process that dies is told again by the next event. Most events tell nothing new; a bounded memory of what was
told last spares asking for that.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any

import structlog

from backend.domain.event import Event
from backend.domain.identity import derive
from backend.domain.product import LEARNED, Facts, new_product
from backend.domain.shopping import Sighting, described, facts_of
from backend.domain.site import Site
from backend.pipeline.note_interests import Shopping
from backend.pipeline.stock_up import tell_of_changes
from backend.runtime import Runtime
from backend.storage import products, sweeps
from backend.storage.database import is_transient
from backend.storage.sweeps import Sweep

log = structlog.get_logger(__name__)

REMEMBERED = 50_000
"""Products of which a process remembers what was told last."""

MOST_LEARNED = 100_000
"""Products of one site that are known by events alone: whoever makes ids up must not fill the database."""

AT_ONCE = 200
"""Products, or lists of them, of one transaction."""

REST = 100
"""Learning goes on after so many times as long as it took: it has a hundredth of a busy process."""

MOST_WAITING = 8
"""Different sightings of one product that wait; of more the older ones are laid together."""

NOTED_A_SECOND = 2_000
FEW = 200
"""Events that are looked at: so many a second, and of one batch at least. A backlog has no time for more."""

MOST_LISTS = 1_000
"""Events about several products that wait."""

PROMISED_EVERY = 30.0
"""Seconds between two notes that some were left out."""

SETTLE = timedelta(seconds=60)
"""So long after the last such note they are looked at: a backlog goes first."""

PARTING = 2.0
"""Seconds in which a process that ends learns what waits."""

ASK_AGAIN = 600.0
"""Seconds after which what is told once more is held against the catalogue again: it may have been taken out of it."""

RAW = 4
"""So many ways of telling the same are remembered: each event of a shop has its own."""

MOST_CHANGES = 20
"""So often a minute events may change one product: those of its variants may contradict one another all day."""


Said = tuple[datetime, Facts]
"""What an event told, and when that happened."""


@dataclass(slots=True)
class _Told:
    """What was told of one product, and how often that changed in the minute that began at `since`.

    `facts` are what was told, each with the moment of the newest event that told so; `raw` are the latest properties as
    they were sent, with the names of what they tell, so that most need not even be read.
    """

    asked_at: float
    facts: dict[str, tuple[Any, datetime]] = field(default_factory=dict)
    raw: tuple[tuple[tuple[Any, ...], tuple[str, ...]], ...] = ()
    since: float = 0.0
    changes: int = 0

    def seen(self, names: Iterable[str], at: datetime) -> None:
        """The same was told of these once more."""
        for name in names:
            value, known = self.facts[name]
            if known < at:
                self.facts[name] = (value, at)


class ProductLearner:
    """What one process was told of products and has not learned yet, and what it knows of what was told last."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._waiting: dict[tuple[str, str], list[Event]] = {}
        self._lists: list[tuple[str, Event]] = []
        self._skipped: dict[str, datetime] = {}
        self._promised: dict[str, float] = {}
        self._noted_at = time.monotonic()
        self._rest_until = 0.0

    def note(self, shopping: Sequence[Shopping]) -> None:
        """Remembers what these events tell of products, to be learned before long."""
        waiting = self._waiting
        if not shopping:
            return
        now = time.monotonic()
        step = -(-len(shopping) // int(max(FEW, (now - self._noted_at) * NOTED_A_SECOND)))
        self._noted_at = now
        if step > 1:
            self._skip(shopping)
        for each in shopping[::step]:
            _, site_id, event = each
            properties = event.properties
            named = properties.get("product_id")
            if named.__class__ is not str or "products" in properties:
                if len(self._lists) < MOST_LISTS:
                    self._lists.append((site_id, event))
                else:
                    self._skip([each])
                continue
            found = waiting.get((site_id, named))
            if found is None:
                if len(waiting) < REMEMBERED:
                    waiting[site_id, named] = [event]
                else:
                    self._skip([each])
            elif found[-1].properties == properties:
                if found[-1].timestamp < event.timestamp:
                    found[-1] = event
            else:
                found.append(event)
                if len(found) > MOST_WAITING:
                    found[:] = _condensed(found)

    def _skip(self, shopping: Sequence[Shopping]) -> None:
        """Notes since when some were left out: `catch_up_products` looks at them later."""
        since = min([each[2].received_at for each in shopping])
        for site_id in {each[1] for each in shopping}:
            self._skipped[site_id] = min(since, self._skipped.get(site_id, since))

    def learn(self) -> None:
        """Learns of some products, unless it is not its turn; what goes wrong is logged, and costs nobody anything."""
        began = time.monotonic()
        if self._skipped:
            self._try(self._promise)
        if (self._waiting or self._lists) and began >= self._rest_until:
            self._learn()
            ended = time.monotonic()
            self._rest_until = ended + (ended - began) * REST

    def settle(self, seconds: float = math.inf) -> None:
        """Learns all of it now, in so many seconds at most; what the database will not take now, not."""
        ends = time.monotonic() + seconds
        self._promised.clear()
        self._try(self._promise)
        while (self._waiting or self._lists) and self._learn() and time.monotonic() < ends:
            pass

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            log.warning("products_not_promised", reason=str(error)[:200])

    def _promise(self) -> None:
        """Writes down what was left out, at once and then every now and then while that goes on."""
        now = time.monotonic()
        for site_id, since in list(self._skipped.items()):
            if now - self._promised.get(site_id, -math.inf) > PROMISED_EVERY:
                with self._rt.db.begin() as connection:
                    sweeps.renew(connection, sweep_of(site_id, since, self._rt.clock()))
                self._promised[site_id] = now
                del self._skipped[site_id]

    def _learn(self) -> bool:
        """Learns of the next few; False where the database cannot take them now, so that they go on waiting."""
        products = [(key, self._waiting.pop(key)) for key in list(islice(self._waiting, AT_ONCE))]
        lists, self._lists = self._lists[:AT_ONCE], self._lists[AT_ONCE:]
        try:
            told = [(key[0], event) for key, group in products for event in group]
            for site_id, found in self._new([*told, *lists]).items():
                if found:
                    write(self._rt, site_id, found)
        except Exception as error:
            self._told.clear()
            log.warning("products_not_learned", reason=str(error)[:200])
            if not is_transient(error):
                return True
            for key, group in products:
                self._waiting[key] = group
            self._lists[:0] = lists
            return False
        return True

    def _new(self, waiting: Iterable[tuple[str, Event]]) -> dict[str, dict[str, list[Said]]]:
        """By site and product, the facts that differ from what was told last, in order of time."""
        found: dict[str, dict[str, dict[str, tuple[datetime, Any]]]] = {}
        for site_id, event in waiting:
            site = self._rt.sites.by_id(site_id)
            if site is None:
                continue
            hosts, told = hosts_of(site), found.setdefault(site_id, {})
            for each in described(event):
                facts = self._news((site_id, each.product_id), each, hosts)
                if facts is None:
                    continue
                newer(told.setdefault(each.product_id, {}), facts, each.at)
        return {
            site_id: {product_id: by_moment(newest) for product_id, newest in told.items()}
            for site_id, told in found.items()
        }

    def _news(self, key: tuple[str, str], sighting: Sighting, hosts: frozenset[str]) -> Facts | None:
        """What a sighting tells, where that is other than was told last, and not the next of too many changes."""
        told, raw = self._told.get(key), tuple(map(sighting.properties.get, LEARNED))
        now = time.monotonic()
        if told is None or now - told.asked_at > ASK_AGAIN:
            told = self._told[key] = _Told(now)
            self._told.move_to_end(key)
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        else:
            for known, names in told.raw:
                if known == raw:
                    told.seen(names, sighting.at)
                    return None
        facts = facts_of(sighting, hosts)
        told.raw = ((raw, tuple(facts)), *told.raw[: RAW - 1])
        older = [name for name in facts if name in told.facts and told.facts[name][1] > sighting.at]
        news = {name: value for name, value in facts.items() if name not in older}
        if told.facts and all(name in told.facts and told.facts[name][0] == value for name, value in news.items()):
            told.seen(news, sighting.at)
            if older:
                told.raw = told.raw[1:]  # said once more, it would be news
            return None
        if now - told.since > 60:
            told.since, told.changes = now, 0
        told.changes += 1
        if told.changes > MOST_CHANGES:
            return None
        told.facts |= {name: (value, sighting.at) for name, value in news.items()}
        told.raw = () if older else told.raw[:1]
        return news


def sweep_of(site_id: str, since: datetime, now: datetime) -> Sweep:
    """What tells that events of a site that were received since then are still to be looked at."""
    return Sweep(
        id=derive(sweeps.LEARN, site_id, now.isoformat()),
        site_id=site_id,
        rule_id="",
        kind=sweeps.LEARN,
        due_at=since,
        next_at=now + SETTLE,
    )


def newer(newest: dict[str, tuple[datetime, Any]], facts: Facts, at: datetime) -> None:
    """Takes over what is told at this moment, of each name where nothing newer is known."""
    for name, value in facts.items():
        if name not in newest or newest[name][0] <= at:
            newest[name] = (at, value)


def hosts_of(site: Site) -> frozenset[str]:
    """The hosts of a site's own pages, as far as it says which those are."""
    return frozenset(origin.partition("://")[2] for origin in site.origins)


def write(rt: Runtime, site_id: str, found: Mapping[str, Sequence[Said]]) -> None:
    """Writes down what was told of these products, and whom it is to be told."""
    now = rt.clock()
    with rt.db.begin() as connection:
        learned = products.lock(connection, site_id)
        known = products.load(connection, site_id, found)
        changed, fresh = [], 0
        for product_id, said in found.items():
            before = known.get(product_id)
            if before is None and learned + fresh >= MOST_LEARNED:
                continue
            after = before or new_product(product_id, now)
            for at, facts in said:
                after = after.taught(facts, at, now)
            if before is None or after is not before:
                fresh += before is None
                changed.append((before, after))
        products.save(connection, site_id, [after for _, after in changed])
        products.count_learned(connection, site_id, fresh)
        tell_of_changes(connection, site_id, changed, now)


def by_moment(newest: Mapping[str, tuple[datetime, Any]]) -> list[Said]:
    """What was told last of each name, as it was told together."""
    moments: dict[datetime, dict[str, Any]] = {}
    for name, (at, value) in newest.items():
        moments.setdefault(at, {})[name] = value
    return sorted(moments.items(), key=itemgetter(0))


def _condensed(events: Sequence[Event]) -> list[Event]:
    """What was told last of each name, as one event for each moment of that: fewer than there are names."""
    newest: dict[str, Event] = {}
    for event in sorted(events, key=lambda each: each.timestamp):
        newest.update((name, event) for name in LEARNED if event.properties.get(name) not in (None, ""))
    kept = {id(event): event for event in newest.values() or events[-1:]}
    return [
        replace(
            event, properties={key: value for key, value in event.properties.items() if newest.get(key, event) is event}
        )
        for event in sorted(kept.values(), key=lambda each: each.timestamp)
    ]
