"""End to end, log to committed decision, in one `process`, beside a bare loop of read, decode, insert."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import insert

from backend.domain.rule import parse_rule
from backend.domain.site import Site
from backend.pipeline.process import Processor, spare_collector
from backend.runtime import Runtime
from backend.schemas import wire
from backend.schemas.wire import Header
from backend.storage import bulk, rules, sites
from backend.storage.database import Connection
from backend.storage.log import partition_of
from backend.storage.tables import events as events_table
from backend.storage.times import to_micros
from tests.bench import events
from tests.bench.report import Line
from tests.bench.stage import stage

CHUNK = 20
EVENTS = 40_000
ROUNDS = 3
WARM = 1_000
"""Events before the measuring begins: they compile rules and parse the first user agents, once for a process."""


def run() -> list[Line]:
    """Events per second with 50 rules, SQLite and PostgreSQL, and the ratio to the bare loop."""
    spare_collector()
    lines: list[Line] = []
    for dialect, target in (("sqlite", 15_000), ("postgresql", 12_000)):
        ours, bare, shares = [], [], []
        for _ in range(ROUNDS):
            with stage(dialect) as rt:
                site = open_shop(rt)
                put(rt, site, WARM)
                processor = Processor(rt)
                processor.drain()
                put(rt, site, EVENTS)
                begun = dict(processor.offsets)
                bare.append(EVENTS / _timed(lambda rt=rt, begun=begun: _bare(rt, begun)))
                _empty(rt)
                with _sql_time(rt) as spent:
                    took = _timed(processor.drain)
                processor.leave()
                ours.append(EVENTS / took)
                shares.append(spent[0] / took)
        lines.append(
            Line(
                f"process, 50 rules, {dialect}",
                statistics.median(ours),
                "events/s",
                "bare read, decode, insert",
                statistics.median(bare),
                "at least 0.5",
                f"target {target:,}/s; SQL takes {statistics.median(shares):.0%} of the time; mix: {events.origin()}",
            )
        )
    return lines


def open_shop(rt: Runtime) -> Site:
    """A site with 50 active rules."""
    site = sites.new_site("bench")
    with rt.db.begin() as connection:
        sites.create_site(connection, rt.sites.vault, site, rt.clock())
        for document in ruleset():
            rules.create_rule(connection, site.id, parse_rule(document), status="active", now=rt.clock())
    rt.sites.forget()
    return site


def put(rt: Runtime, site: Site, count: int) -> None:
    """`count` events of the mix in the log, 20 a request."""
    chunks: list[tuple[int, bytes, bytes]] = []
    waiting: dict[int, list[bytes]] = {}
    header = wire.encode_header(Header(1, site.id, to_micros(datetime.now(UTC))))
    for call in events.mix(count):
        partition = partition_of(call["anonymousId"], rt.log.partitions)
        group = waiting.setdefault(partition, [])
        group.append(msgspec.json.encode(call))
        if len(group) == CHUNK:
            chunks.append((partition, header, b"[" + b",".join(group) + b"]"))
            group.clear()
    chunks.extend((partition, header, b"[" + b",".join(group) + b"]") for partition, group in waiting.items() if group)
    for start in range(0, len(chunks), 100):
        rt.log.append(chunks[start : start + 100])


def ruleset(count: int = 50) -> list[dict[str, Any]]:
    """Rules as a shop has them: by brand, by category, by price, on carts, orders, searches and stages."""
    brands = ("samsung", "apple", "xiaomi", "huawei", "lucente", "bosch", "oppo", "lg", "acer", "artel")
    message = {
        "channels": ["popup"],
        "variants": [{"name": "A", "weight": 1, "content": {"title": "Hello", "body": "…"}}],
    }
    found: list[dict[str, Any]] = []
    for number in range(count):
        brand = brands[number % len(brands)]
        kinds: tuple[dict[str, Any], ...] = (
            {
                "trigger": {
                    "event": "Product Viewed",
                    "where": {"field": "event.properties.brand", "op": "eq", "value": brand},
                },
                "audience": {
                    "performed": "Product Viewed",
                    "count": {"op": "gte", "value": 5 + number},
                    "within": "1h",
                },
                "delay": "10m",
            },
            {
                "trigger": {
                    "event": "Product Viewed",
                    "where": {"field": "event.properties.price", "op": "gte", "value": 1500 + 10 * number},
                },
                "audience": {"field": "profile.counts.Product Viewed", "op": "gte", "value": 4},
            },
            {
                "trigger": {
                    "event": "Product Added",
                    "where": {"field": "event.properties.brand", "op": "eq", "value": brand},
                },
                "audience": {
                    "all": [
                        {"field": "profile.stage", "op": "in", "value": ["cart", "checkout"]},
                        {"not": {"performed": "Order Completed", "within": "30d"}},
                    ]
                },
                "delay": "30m",
                "cancel": [{"event": "Order Completed"}],
                "reentry": {"policy": "every", "at_most": 1, "per": "7d"},
            },
            {"trigger": {"event": "Products Searched"}, "delay": "1m"},
            {
                "trigger": {
                    "event": "Order Completed",
                    "where": {"field": "event.properties.category", "op": "starts_with", "value": brand[:2]},
                },
                "delay": "7d",
            },
        )
        found.append({"name": f"Rule {number}", "message": message, **kinds[number % len(kinds)]})
    return found


def _bare(rt: Runtime, offsets: dict[int, str]) -> None:
    """The least that anyone would do: read, decode, insert with SQLAlchemy Core, commit every 500."""
    arrival = 0
    while entries := rt.log.read(offsets, 32, 0):
        rows = []
        for entry in entries:
            offsets[entry.partition] = entry.id
            header = wire.decode_header(entry.header)
            logged = wire.decode_logged(entry.events)
            for event, raw in zip(logged, wire.decode_raws(entry.events), strict=True):
                arrival += 1
                moment = to_micros(event.timestamp) if event.timestamp else 0
                key = str(event.anonymous_id).ljust(32, "0")
                rows.append(
                    {
                        "visitor_id": key,
                        "message_id": event.message_id,
                        "site_id": header.site_id,
                        "name": event.event,
                        "type": "track",
                        "timestamp": moment,
                        "received_at": header.received_at,
                        "arrival": arrival,
                        "body": bytes(raw).decode(),
                    }
                )
        for start in range(0, len(rows), 500):
            with rt.db.begin() as connection:
                connection.execute(insert(events_table), rows[start : start + 500])


def _empty(rt: Runtime) -> None:
    with rt.db.begin() as connection:
        connection.execute(sqlalchemy.delete(events_table))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _sql_time(rt: Runtime) -> Iterator[list[float]]:
    """Seconds spent with the database, through SQLAlchemy and past it, in a list of one."""
    spent, began = [0.0], [0.0]
    plain = bulk._driver

    def before(*_: object) -> None:
        began[0] = time.perf_counter()

    def after(*_: object) -> None:
        spent[0] += time.perf_counter() - began[0]

    @contextmanager
    def timed(connection: Connection, statement: str) -> Iterator[Any]:
        started = time.perf_counter()
        with plain(connection, statement) as cursor:
            yield cursor
        spent[0] += time.perf_counter() - started

    sqlalchemy.event.listen(rt.db.engine, "before_cursor_execute", before)
    sqlalchemy.event.listen(rt.db.engine, "after_cursor_execute", after)
    bulk._driver = timed
    try:
        yield spent
    finally:
        bulk._driver = plain
