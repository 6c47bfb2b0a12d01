"""The step `walks`: everybody of a batch goes through their stretch of time; nothing is written yet."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

import structlog

from backend.domain.engine import SIGNALS, Advance, PastNeeded, Ruleset, VersionNeeded, advance
from backend.domain.event import Event
from backend.domain.past import Past, Since, by_name, together
from backend.domain.profile import NAME_LIMIT
from backend.domain.shelf import ProductNeeded, Shelf
from backend.pipeline.batch import Batch, Poisoned, RulesetOf
from backend.pipeline.rulesets import learn
from backend.pipeline.shelve import shelve
from backend.storage import events, visitors
from backend.storage.database import Connection

log = structlog.get_logger(__name__)

_MOMENT = attrgetter("timestamp", "order")


@dataclass(slots=True)
class Walks:
    """How far everybody's walks came: which ended, which ask for the past, a version or a product; what raises."""

    advances: dict[str, Advance] = field(default_factory=dict)
    asked: dict[str, Since] = field(default_factory=dict)
    versions: dict[str, VersionNeeded] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    poison: dict[int, str] = field(default_factory=dict)


def walk(
    ruleset_of: RulesetOf,
    batch: Batch,
    todo: Iterable[str],
    pasts: dict[str, Past],
    until: datetime,
    now: datetime,
) -> Walks:
    """Advances these persons; asks nothing of the database."""
    walks = Walks()
    for person_id in todo:
        ruleset = ruleset_of(batch.sites[person_id])
        if ruleset is None:
            continue  # the site was removed meanwhile
        past = pasts.get(person_id) or Past(new=batch.events.get(person_id, ()), before=_before(batch, person_id))
        try:
            walks.advances[person_id] = _advance(ruleset, batch, person_id, past, until, now)
        except PastNeeded as needed:
            walks.asked[person_id] = needed.since
        except VersionNeeded as missing:
            walks.versions[person_id] = missing
        except ProductNeeded as needed:
            walks.products[person_id] = needed.product_id
        except Exception as error:
            walks.poison.update(_culprits(ruleset, batch, person_id, until, now, error))
    return walks


def _before(batch: Batch, person_id: str) -> Callable[[str], bool]:
    """Tells by the name of an event whether somebody may have done so before this batch."""
    if not batch.persons.has_past(person_id):
        return _never
    counts = batch.persons.profiles[person_id].counts
    return _always if len(counts) >= NAME_LIMIT else lambda name: name in counts or name in SIGNALS


def _never(_name: str) -> bool:
    return False


def _always(_name: str) -> bool:
    return True


def advance_all(
    connection: Connection, ruleset_of: RulesetOf, batch: Batch, walks: Walks, until: datetime, now: datetime
) -> dict[str, Advance]:
    """Every person's advance; those whose rules ask for the past go again, with it, all fetched in one query."""
    advances, poison = walks.advances, walks.poison
    pasts: dict[str, Past] = {}
    shelves: dict[str, Shelf] = {}
    while walks.asked or walks.versions or walks.products:
        for person_id, missing in walks.versions.items():
            ruleset = ruleset_of(batch.sites[person_id])
            assert ruleset is not None
            learn(connection, ruleset, missing)
        pasts.update(_pasts(connection, batch, walks.asked, pasts))
        if walks.products:
            shelves.update(_shelved(connection, ruleset_of, batch, walks.products))
        todo = {**walks.asked, **walks.versions, **walks.products}
        walks = walk(ruleset_of, batch, todo, pasts, until, now)
        advances.update(walks.advances)
        poison.update(walks.poison)
    for shelf in shelves.values():
        shelf.clear()  # the next transaction tells of products as they are then
    if poison:
        raise Poisoned(poison)
    for rule_id, reason in {found for each in advances.values() if each.failures for found in each.failures.items()}:
        log.error("rule_failed", rule=rule_id, reason=reason[:200])
    return advances


def _shelved(
    connection: Connection, ruleset_of: RulesetOf, batch: Batch, asked: dict[str, str]
) -> Iterator[tuple[str, Shelf]]:
    """Puts the products that templates ask for at hand, those of each site at once."""
    for site_id in {batch.sites[person_id] for person_id in asked}:
        ruleset = ruleset_of(site_id)
        assert ruleset is not None
        ids = {product_id for person_id, product_id in asked.items() if batch.sites[person_id] == site_id}
        shelve(connection, site_id, ruleset.shelf, ids)
        yield site_id, ruleset.shelf


def _advance(ruleset: Ruleset, batch: Batch, person_id: str, past: Past, until: datetime, now: datetime) -> Advance:
    group = batch.events.get(person_id, ())
    return advance(
        ruleset,
        batch.persons.get(batch.sites[person_id], person_id),
        batch.enrolled.get(person_id, ()),
        group if len(group) < 2 else sorted(group, key=_MOMENT),
        past,
        until=until,
        now=now,
    )


def _pasts(connection: Connection, batch: Batch, asked: dict[str, Since], before: dict[str, Past]) -> dict[str, Past]:
    """What these persons' rules ask for, and what was at hand before; of a busy visitor only from where it is asked."""
    if not asked:
        return {}
    since = {
        person_id: together(wanted, before[person_id].fetched) if person_id in before else wanted
        for person_id, wanted in asked.items()
    }
    owner = {
        member: person_id for person_id in asked for member in visitors.members_of(batch.persons.profiles[person_id])
    }
    wanted = [(member, *each) for member, person_id in owner.items() for each in since[person_id].items()]
    found: dict[str, list[Event]] = {person_id: [] for person_id in asked}
    for visitor_id, event in events.history_since(connection, wanted):
        found[owner[visitor_id]].append(event)
    return {
        person_id: Past(
            by_name(group, since[person_id]),
            since=since[person_id],
            new=batch.events.get(person_id, ()),
            before=_before(batch, person_id),
        )
        for person_id, group in found.items()
    }


def _culprits(
    ruleset: Ruleset, batch: Batch, person_id: str, until: datetime, now: datetime, error: Exception
) -> dict[int, str]:
    """The events of a person that raise; all of them where none does alone."""
    culprits: dict[int, str] = {}
    indexes, group = batch.indexes.get(person_id, []), batch.events.get(person_id, [])
    if not group:
        raise error
    profile = batch.persons.get(batch.sites[person_id], person_id)
    for index, event in zip(indexes, group, strict=True):
        try:
            advance(ruleset, profile, (), [event], Past({}, complete=True), until=until, now=now)
        except ProductNeeded:
            continue
        except Exception as each:
            culprits[index] = f"{type(each).__name__}: {each}"
    return culprits or dict.fromkeys(indexes, f"{type(error).__name__}: {error}")
