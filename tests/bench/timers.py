"""A million waiting timers: what firing a thousand costs, and folding, beside a database without the million."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import select, text

from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.identity import anonymous_visitor
from backend.domain.profile import Profile
from backend.domain.rule import parse_rule
from backend.domain.site import Site
from backend.pipeline.process import Processor, spare_collector
from backend.runtime import Runtime
from backend.storage import bulk, enrolments, rules, sites, visitors
from backend.storage.tables import enrolments as enrolments_table
from backend.storage.times import to_micros
from backend.storage.visitors import Stored
from tests.bench.process import put
from tests.bench.report import Line
from tests.bench.rules import MESSAGE
from tests.bench.stage import stage

WAITING = 1_000_000
DUE = 1_000
EVENTS = 4_000
ROUNDS = 7
RULE = {"name": "Later", "trigger": {"event": "Product Added"}, "delay": "30d", "message": MESSAGE}


def run() -> list[Line]:
    """Seconds to fire 1,000 of a million, and events per second folded beside them, on both databases."""
    spare_collector()
    return [line for dialect in ("sqlite", "postgresql") for line in _on(dialect)]


def _on(dialect: str) -> Iterator[Line]:
    with ExitStack() as stack:
        few, many = (stack.enter_context(stage(dialect)) for _ in range(2))
        shops = {rt: _shop(rt) for rt in (few, many)}
        for start in range(0, WAITING, 50_000):
            _wait(many, shops[many], start, 50_000)
        _settle(many)
        fired: dict[Runtime, list[float]] = {few: [], many: []}
        folded: dict[Runtime, list[float]] = {few: [], many: []}
        spent: dict[Runtime, list[float]] = {few: [], many: []}
        processors = {rt: Processor(rt) for rt in (few, many)}
        for number in range(ROUNDS):
            for rt in (few, many) if number % 2 else (many, few):
                put(rt, shops[rt][0], EVENTS)
                started, cpu = time.perf_counter(), time.process_time()
                processors[rt].drain()
                folded[rt].append(EVENTS / (time.perf_counter() - started))
                spent[rt].append((time.process_time() - cpu) / EVENTS * 1e6)
                _due(rt, shops[rt], number)
                started = time.perf_counter()
                processors[rt].drain()
                fired[rt].append(time.perf_counter() - started)
        with many.db.read() as connection:
            left = enrolments.count_waiting(connection)
        if left < WAITING:
            raise RuntimeError(f"Only {left} timers are left waiting.")
    remark = f"{WAITING:,} others wait"
    fire, fold, cpu = ({rt: statistics.median(each[rt][1:]) for rt in (few, many)} for each in (fired, folded, spent))
    name, below = f"firing 1,000 timers, {dialect}", f"target: below 1 s; {remark}"
    yield Line(name, fire[many], "s", "no other waits", fire[few], "", below)
    name = f"folding beside timers, {dialect}"
    told = f"{remark}; CPU of the processor {cpu[many]:.0f} µs an event, without {cpu[few]:.0f}"
    yield Line(name, fold[many], "events/s", "none waits", fold[few], "at least 0.95", told)


def _settle(rt: Runtime) -> None:
    """Lets the database finish with what was written in bulk: that is not what is measured."""
    with rt.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if rt.db.dialect == "sqlite":
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        else:
            connection.execute(text("VACUUM ANALYZE enrolments"))
            connection.execute(text("CHECKPOINT"))


def _shop(rt: Runtime) -> tuple[Site, str]:
    site = sites.new_site("bench")
    with rt.db.begin() as connection:
        sites.create_site(connection, rt.sites.vault, site, rt.clock())
        rule = rules.create_rule(connection, site.id, parse_rule(RULE), status="active", now=rt.clock())
    rt.sites.forget()
    return site, rule.id


def _enrolment(shop: tuple[Site, str], who: str, due_at: datetime) -> Enrolment:
    site, rule_id = shop
    entered_at = due_at - timedelta(days=30)
    trigger = Event(
        message_id=f"added-{who}",
        name="Product Added",
        type="track",
        timestamp=entered_at,
        received_at=entered_at,
        anonymous_id=who,
        properties={"product_id": "1004856", "brand": "samsung", "category": "electronics.smartphone", "price": 130.76},
    )
    return Enrolment(
        id=uuid4().hex,
        site_id=site.id,
        visitor_id=anonymous_visitor(site.id, who),
        rule_id=rule_id,
        rule_version=1,
        key="",
        entered_at=entered_at,
        due_at=due_at,
        trigger=trigger,
        position=1,
    )


def _wait(rt: Runtime, shop: tuple[Site, str], start: int, count: int) -> None:
    """So many enrolments that are due in the next 30 days: doubles of one that was written as all are."""
    now = datetime.now(UTC)
    like = _enrolment(shop, f"like-{start}", now + timedelta(days=1))
    with rt.db.begin() as connection:
        enrolments.save(connection, [like])
        found = select(enrolments_table).where(enrolments_table.c.visitor_id == like.visitor_id)
        told = dict(connection.execute(found).one()._mapping)
        rows = []
        for number in range(start, start + count):
            due_at = now + timedelta(days=1, seconds=2 * number)
            visitor_id, own_id = anonymous_visitor(shop[0].id, f"waiting-{number}"), uuid4().hex
            document = told["document"].replace(like.visitor_id, visitor_id).replace(like.id, own_id)
            fresh = {"visitor_id": visitor_id, "id": own_id, "due_at": to_micros(due_at), "document": document}
            rows.append(tuple((told | fresh).values()))
        bulk.insert_rows(connection, enrolments_table, rows)


def _due(rt: Runtime, shop: tuple[Site, str], number: int) -> None:
    """A thousand that are due since a minute, of visitors who are known."""
    due_at = datetime.now(UTC) - timedelta(minutes=1)
    found = [_enrolment(shop, f"due-{number}-{each}", due_at) for each in range(DUE)]
    known = [
        Profile(id=each.visitor_id, site_id=each.site_id, person=each.visitor_id, anonymous_ids=(f"{number}-{place}",))
        for place, each in enumerate(found)
    ]
    with rt.db.begin() as connection:
        visitors.save(connection, [Stored(each, None) for each in known], [])
        enrolments.save(connection, found)
