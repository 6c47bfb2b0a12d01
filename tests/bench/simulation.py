"""A rule over a million stored events, in a process of its own: seconds and memory, beside merely reading them."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import text

from backend.domain.rule import Rule, parse_rule
from backend.pipeline.simulate import simulating
from backend.pipeline.simulated import Progress
from backend.runtime import open_runtime
from backend.settings import Settings
from tests.bench.report import Line
from tests.bench.rules import MESSAGE
from tests.bench.stage import stage
from tests.bench.stored import site_with

EVENTS = 1_000_000
RULES: Mapping[str, dict[str, Any]] = {
    "on dear views": {
        "trigger": {
            "event": "Product Viewed",
            "where": {"field": "event.properties.price", "op": "gte", "value": 300},
        },
        "audience": {
            "all": [
                {"performed": "Product Viewed", "count": {"op": "gte", "value": 3}, "within": "1h"},
                {"not": {"performed": "Order Completed", "within": "30d"}},
            ]
        },
        "delay": "10m",
    },
    "on carts": {"trigger": {"event": "Product Added"}, "delay": "30m", "cancel": [{"event": "Order Completed"}]},
    "on a stage, which all visitors enter": {"trigger": {"stage": "interested"}, "delay": "30m"},
}


def run() -> list[Line]:
    """Seconds for each rule, on SQLite, and the most memory that it took."""
    lines: list[Line] = []
    with stage("sqlite") as rt:
        site = site_with(rt, EVENTS)
        rt.redis.flushall()
        bare = _child(rt.settings, site.id, "")
        for name in RULES:
            found = _child(rt.settings, site.id, name)
            if found["events"] != EVENTS:
                raise RuntimeError(f"{found['events']} events were looked at, not {EVENTS}.")
            cpu = f"CPU {found['cpu']:.0f} s, of merely reading {bare['cpu']:.0f} s"
            shown = f"progress told {found['told']} times"
            remark = f"target: below 60 s; {cpu}; {found['entered']:,} entered; {shown}"
            told = f"simulating a rule {name}, {EVENTS:,} events"
            lines.append(Line(told, found["wall"], "s", "read and decode all", bare["wall"], "", remark))
            lines.append(Line("… most memory", found["memory"], "MB", "before it", found["start"], ""))
    return lines


def _child(settings: Settings, site_id: str, name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.simulation", site_id, name]
    done = subprocess.run(command, env={**_environ(), **settings.environ()}, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _environ() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("CHIMEIN_")}


def _megabytes() -> float:
    """The most memory of this process so far, without the database's own pages, which are mapped into it."""
    with open("/proc/self/status") as file:
        told = dict(line.split(":", 1) for line in file)
    return int(told["RssAnon"].split()[0]) / 1024


def main(site_id: str, name: str) -> None:
    """One simulation, or with no name the bare reading; prints what it took."""
    with open_runtime(Settings.load()) as rt:
        site = rt.sites.by_id(site_id)
        assert site is not None
        found: dict[str, Any] = {"start": _megabytes(), "memory": _megabytes(), "told": 0}
        started, cpu = time.perf_counter(), time.process_time()
        if name:
            spec = parse_rule({"name": name, "message": MESSAGE, **RULES[name]}, simulated=True)
            for step in simulating(rt, site, [Rule(id="0" * 32, site_id=site_id, spec=spec)]):
                found["memory"] = max(found["memory"], _megabytes())
                if isinstance(step, Progress):
                    found["told"] += 1
                else:
                    found |= {key: step.summary[key] for key in ("events", "visitors", "entered")}
        else:
            decode = msgspec.json.Decoder().decode
            with rt.db.read() as connection:
                for row in connection.execute(text("SELECT visitor_id, timestamp, body FROM events")):
                    decode(row[2])
        found |= {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
