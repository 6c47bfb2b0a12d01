"""End to end with 1,000 active rules and profiles of 4 KB, beside the same with 10 rules."""

import statistics
import time

from backend.domain.identity import anonymous_visitor
from backend.domain.rule import parse_rule
from backend.pipeline.process import Processor, spare_collector
from backend.storage import rules, sites, visitors
from backend.storage.visitors import Stored
from tests.bench import events
from tests.bench.decisions import new_profile, on_views
from tests.bench.process import put
from tests.bench.report import Line
from tests.bench.rules import Document, thousand
from tests.bench.stage import stage

EVENTS = 20_000
ROUNDS = 3


def run() -> list[Line]:
    """Events per second from the log to the committed decision, in one process, and the CPU of each."""
    spare_collector()
    sets = {"1,000": thousand(), "10": on_views(10), "10 in proportion": thousand()[:10]}
    speed: dict[str, list[float]] = {name: [] for name in sets}
    cost: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(ROUNDS):
        for name, documents in sets.items():
            wall, cpu = _run(documents)
            speed[name].append(EVENTS / wall)
            cost[name].append(cpu / EVENTS * 1e6)
    many, few, _ = (statistics.median(speed[name]) for name in sets)
    dear, cheap, least = (statistics.median(cost[name]) for name in sets)
    remark = f"target 10,000/s; mix: {events.origin()}"
    return [
        Line("process, 1,000 rules, sqlite", many, "events/s", "10 on views", few, "at least 0.33", remark),
        Line("CPU an event, 1,000 rules, sqlite", dear, "µs", "10 on views", cheap, "at most 3", "profiles of 4 KB"),
        Line("", dear, "µs", "10 as the thousand", least, "at most 3", "ten of which about one listens to views"),
    ]


def _run(documents: list[Document]) -> tuple[float, float]:
    """Seconds, and seconds of CPU, for all events."""
    with stage("sqlite") as rt:
        site = sites.new_site("bench")
        with rt.db.begin() as connection:
            sites.create_site(connection, rt.sites.vault, site, rt.clock())
            for document in documents:
                rules.create_rule(connection, site.id, parse_rule(document), status="active", now=rt.clock())
            names = dict.fromkeys(str(call["anonymousId"]) for call in events.mix(EVENTS))
            known = [
                Stored(new_profile(anonymous_visitor(site.id, name), number), None) for number, name in enumerate(names)
            ]
            visitors.save(connection, known, [])
        rt.sites.forget()
        processor = Processor(rt)
        put(rt, site, 100)
        processor.drain()  # the rules are compiled once, which is not what is measured
        put(rt, site, EVENTS)
        started, cpu = time.perf_counter(), time.process_time()
        processor.drain()
        took = time.perf_counter() - started, time.process_time() - cpu
        processor.leave()
        return took
