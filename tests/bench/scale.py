"""A large site: looking one visitor up, counting a segment, the funnel, a file of all members, merging and erasing.

`CHIMEIN_BENCH_VISITORS` (50,000) and `CHIMEIN_BENCH_EVENTS` (20, for each visitor) say how large; a million visitors
with 20 events each take some 25 GB of the disk and half an hour. `CHIMEIN_BENCH_DIALECTS` chooses the databases.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from backend.app import create_app
from backend.domain.identity import anonymous_visitor
from backend.domain.profile import Profile
from backend.domain.segment import parse_segment
from backend.pipeline.process import Processor, spare_collector
from backend.pipeline.restage import Restager, redefine
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.schemas.documents import encode_profile
from backend.storage import bulk, segments, sites, sweeps
from backend.storage.tables import events as events_table
from backend.storage.tables import segment_members, stage_entries
from backend.storage.tables import visitors as visitors_table
from backend.storage.times import to_micros
from tests.bench import process, stored
from tests.bench.report import Line
from tests.bench.stage import stage

VISITORS = int(os.environ.get("CHIMEIN_BENCH_VISITORS", "50000"))
EVENTS = int(os.environ.get("CHIMEIN_BENCH_EVENTS", "20"))
DIALECTS = os.environ.get("CHIMEIN_BENCH_DIALECTS", "sqlite,postgresql").split(",")
LOOKS = 200
BUSY = 10_000
LIVE_EVENTS = 20_000
SEGMENTS = 100

CONDITION: dict[str, Any] = {
    "all": [
        {"performed": "Product Viewed", "count": {"op": "gte", "value": 2}},
        {"field": "profile.stage", "op": "in", "value": ["interested", "cart"]},
        {"not": {"performed": "Order Completed", "within": "30d"}},
    ]
}

PASSING = (("new", 0), ("interested", 60_000_000), ("cart", 300_000_000), ("customer", 900_000_000))


def run() -> list[Line]:
    """Each figure on each database."""
    return [*(line for dialect in DIALECTS for line in _on(dialect)), *_processor()]


def _on(dialect: str) -> Iterator[Line]:
    with stage(dialect) as rt:
        started = time.perf_counter()
        site, ids, count = _filled(rt)
        told = f"{len(ids):,} visitors, {count:,} events, filled in {time.perf_counter() - started:.0f} s"
        if dialect == "sqlite":
            rt.db.checkpoint()
        headers = {"Authorization": f"Bearer {rt.settings.admin_token}"}
        client = create_app(rt.settings, runtime=rt).test_client()
        random = Random(1)
        here = f"/api/v1/sites/{site.id}"

        def asked(path: str, **more: Any) -> Any:
            answer = client.open(here + path, headers=headers, **more)
            if not 200 <= answer.status_code < 300:
                raise RuntimeError(answer.text)
            return answer

        def looks(path: Callable[[str, str], str]) -> float:
            chosen = [random.choice(ids) for _ in range(LOOKS)]
            return statistics.median(_timed(lambda one=one: asked(path(*one))) for one in chosen) * 1_000

        def line(name: str, figure: float, unit: str, wanted: str, remark: str = "") -> Line:
            return Line(f"{name}, {dialect}", figure, unit, "", None, wanted, remark)

        yield line("one visitor by id", looks(lambda key, _: f"/visitors/{key}"), "ms", "below 20", told)
        yield line("a search by e-mail", looks(lambda _, email: f"/visitors?email={email}"), "ms", "below 20")
        body: dict[str, Any] = {}
        took = _timed(
            lambda: body.update(asked("/segments/preview", method="POST", json={"condition": CONDITION}).json)
        )
        yield line(
            "counting a segment of three conditions", took, "s", "below 5 at a million", f"{body['size']:,} in it"
        )
        took = _timed(lambda: body.update(asked("/funnel?by=device").json))
        yield line("the funnel of all time by device", took, "s", "", f"{body['persons']:,} persons")
        took = _timed(lambda: sum(len(part) for part in asked("/segments/list/export").iter_encoded()))
        yield line("a file of all members", len(ids) / took, "rows/s", "")
        one, other, gone = (key for key, _ in random.sample(ids, 3))
        for key in (one, other, gone):
            _busy(rt, site.id, key)
        told = f"{BUSY:,} events each"
        took = _timed(lambda: asked(f"/visitors/{one}/merge", method="POST", json={"with": other}))
        yield line("merging two visitors", took, "s", "below 1", told)
        took = _timed(lambda: asked(f"/visitors/{gone}", method="DELETE"))
        yield line("erasing a visitor", took, "s", "below 1", told)
        yield line("stages found out anew", _restaging(rt, site), "events/s", "")


def _filled(rt: Runtime) -> tuple[Any, list[tuple[str, str]], int]:
    """A site with its visitors as (id, email), and how many events it has."""
    site = sites.new_site("large")
    with rt.db.begin() as connection:
        sites.create_site(connection, rt.sites.vault, site, rt.clock())
        spec = parse_segment({"name": "list", "manual": True})
        segment = segments.create_segment(connection, site.id, spec, rt.clock()).id
    profiles, told = stored._turn(site.id)
    copies = max(1, round(EVENTS * len(profiles) / len(told)))
    found: list[tuple[str, str]] = []
    count = 0
    for turn in range(-(-VISITORS // len(profiles))):
        ids = {who: anonymous_visitor(site.id, f"{who}-{turn}") for who in profiles}
        rows = list(_visitor_rows(site.id, profiles, ids, turn))
        with rt.db.begin() as connection:
            bulk.insert_rows(connection, visitors_table, rows)
            bulk.insert_rows(connection, segment_members, [(row[0], segment, row[6]) for row in rows])
            bulk.insert_rows(connection, stage_entries, [each for row in rows for each in _entries(site.id, row)])
            for copy in range(copies):
                made = [(ids[who], f"{row[1]}-{turn}-{copy}", *row[2:8], row[8]) for who, row in told]
                bulk.insert_rows(connection, events_table, made)
                count += len(made)
        found.extend((row[0], row[4]) for row in rows)
    return site, found, count


def _busy(rt: Runtime, site_id: str, visitor_id: str) -> None:
    """Gives a visitor a long history."""
    row = stored._turn(site_id)[1][0][1]
    rows = [(visitor_id, f"busy-{number}", *row[2:8], row[8]) for number in range(BUSY)]
    with rt.db.begin() as connection:
        bulk.insert_rows(connection, events_table, rows)


def _visitor_rows(
    site_id: str, profiles: dict[str, Profile], ids: dict[str, str], turn: int
) -> Iterator[tuple[Any, ...]]:
    for who, profile in profiles.items():
        text = encode_profile(profile).replace("@" * 32, ids[who]).replace(f"{who}-@", f"{who}-{turn}")
        seen = to_micros(profile.last_seen) if profile.last_seen is not None else 0
        yield ids[who], site_id, None, None, f"{who}-{turn}@shop.example", profile.stage, seen, text, None


def _entries(site_id: str, row: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for stage_name, later in PASSING[: 1 + int(row[0][0], 16) % 4]:
        yield row[0], row[6] + later, site_id, 0, stage_name, "direct", ("mobile", "desktop")[int(row[0][1], 16) % 2]


def _restaging(rt: Runtime, site: Any) -> float:
    """Events a second that another definition of the funnel is applied to."""
    own = {"name": "trial", "enter": {"performed": "Product Viewed", "within": "30d"}}
    with rt.db.begin() as connection:
        stored_site = sites.get_site(connection, rt.sites.vault, site.id)
        assert stored_site is not None
        funnel = redefine(connection, stored_site.site, ["new", "interested", own, "customer"], rt.clock())
        sites.update_site(connection, rt.sites.vault, replace(stored_site.site, funnel=funnel))
        rulesets = Rulesets(rt)
        rulesets.refresh(connection)
        sweep = sweeps.restaging(connection, site.id)
    rt.sites.forget()
    ruleset = rulesets.of(site.id)
    assert ruleset is not None
    assert sweep is not None
    took = _timed(lambda: Restager(rt, ruleset, rt.clock()).run(sweep))
    with rt.db.read() as connection:
        after = sweeps.restaging(connection, site.id)
    return (after.done if after is not None else VISITORS) * EVENTS / took


def _processor() -> Iterator[Line]:
    """Events a second of the processor's usual mix and rules, with many segments and without."""
    spare_collector()  # as the processor itself does
    for dialect in DIALECTS:
        (new, again), (least, lesser) = (_rates(dialect, count) for count in (SEGMENTS, 0))
        for whose, rate, without in (("new visitors", new, least), ("visitors who come again", again, lesser)):
            name = f"process with {SEGMENTS} segments, {dialect}"
            yield Line(name, rate, "events/s", "without", without, "", f"{LIVE_EVENTS:,} events of {whose}")


def _rates(dialect: str, count: int) -> list[float]:
    """Events a second with so many segments: of new visitors, and then of the same ones."""
    with stage(dialect) as rt:
        site = process.open_shop(rt)
        with rt.db.begin() as connection:
            for number in range(count):
                spec = parse_segment({"name": f"s{number}", "condition": _segment(number)})
                segments.create_segment(connection, site.id, spec, rt.clock())
        process.put(rt, site, process.WARM)
        processor = Processor(rt)
        processor.drain()
        rates = []
        for _ in range(2):
            process.put(rt, site, LIVE_EVENTS)
            rates.append(LIVE_EVENTS / _timed(processor.drain))
        processor.leave()
        return rates


def _segment(number: int) -> dict[str, Any]:
    """Segments as a shop has them: by what was viewed, bought, put into the cart, searched, and by traits."""
    kinds: tuple[dict[str, Any], ...] = (
        {"performed": "Order Completed", "within": f"{number + 1}d"},
        {"field": "profile.cart.total", "op": "gte", "value": 10 * number + 10},
        {"field": f"profile.traits.t{number}", "op": "eq", "value": "yes"},
        {"performed": "Products Searched", "count": {"op": "gte", "value": number % 7 + 2}},
        {"all": [{"performed": "Checkout Started", "within": "7d"}, {"not": {"performed": "Order Completed"}}]},
        {"field": "profile.source.first.campaign.name", "op": "eq", "value": f"c{number}"},
        {"field": "profile.orders.count", "op": "gte", "value": number % 9 + 1},
        {"performed": f"Event {number}", "within": "30d"},
        {"field": "profile.device.type", "op": "eq", "value": ("mobile", "tablet", "desktop")[number % 3]},
        {"field": "profile.last_seen", "op": "before", "value": {"ago": f"{number + 1}d"}},
    )
    return kinds[number % len(kinds)]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
