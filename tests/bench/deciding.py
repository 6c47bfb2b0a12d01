"""Deciding alone: 1,000 rules against folded events, beside 10 rules, and beside other engines on the same."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable

from backend.domain.condition import Moment
from backend.domain.engine import Ruleset, advance
from backend.schemas.documents import encode_profile
from tests.bench import events, rules
from tests.bench.decisions import Case, cases, on_views, ruleset
from tests.bench.engines import ENGINES, others
from tests.bench.report import Line

EVENTS = 20_000
ROUNDS = 5
SAMPLE = 100
"""Events that the others decide on: at less than a thousand a second more would take minutes."""


def decide(ruleset: Ruleset, cases: Iterable[Case]) -> int:
    """How often a rule would start, over all of them."""
    started = 0
    for case in cases:
        event = case.event
        asked = ruleset.asked(event, case.profile, case.before.stage, case.before.traits, case.before.sessions)
        if asked:
            moment = Moment(profile=case.profile, at=event.timestamp, event=event, history=case.past)
            for _, tests in ruleset.dispatch.asked(asked, moment):
                for test in tests:
                    if not test(moment):
                        break
                else:
                    started += 1
    return started


def run() -> list[Line]:
    """Events per second with 1,000 rules, beside 10, and beside the others."""
    told = cases(EVENTS)
    few, many = ruleset(on_views(10)), ruleset(rules.thousand())
    chosen = told[:: len(told) // SAMPLE][:SAMPLE]
    given = others(chosen)
    ours = decide(many, chosen)
    speeds: dict[str, float] = {}
    for name, engine in ENGINES.items():
        matches, seconds = engine(given)
        if matches != ours:
            raise RuntimeError(f"{name} finds {matches} rules that start, we find {ours}: they do not do the same.")
        speeds[name] = len(chosen) / seconds
    gc.collect()
    gc.freeze()
    costs: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for label, rules_ in (("few", few), ("many", many)):
            costs.setdefault(f"deciding {label}", []).append(_cpu(lambda r=rules_: decide(r, told)) / len(told))
            costs.setdefault(f"engine {label}", []).append(_cpu(lambda r=rules_: _advance(r, told)) / len(told))
    cost = {name: statistics.median(values) * 1e6 for name, values in costs.items()}
    size = statistics.mean(len(encode_profile(case.profile)) for case in told[::100])
    remark = f"profiles of {size:,.0f} bytes; mix: {events.origin()}; an event starts {ours / len(chosen):.2f} rules"
    lines = [
        Line(
            f"deciding, CPU an event with {each}",
            cost["deciding many" if each == "1,000 rules" else "engine many"],
            "µs",
            "10 of them, all on views",
            cost["deciding few" if each == "1,000 rules" else "engine few"],
            "at most 3",
            remark,
        )
        for each in ("1,000 rules", "1,000 rules, folding and starting too")
    ]
    lines += [
        Line(
            "deciding alone, 1,000 rules",
            1e6 / cost["deciding many"],
            "events/s",
            name,
            speed,
            "",
            "target 50,000/s; all engines agree on how many rules start",
        )
        for name, speed in speeds.items()
    ]
    return lines


def _advance(ruleset: Ruleset, cases: Iterable[Case]) -> None:
    """Folds and decides each event anew, and what follows from it: the whole engine, without storage."""
    for case in cases:
        advance(ruleset, case.before, (), (case.event,), case.past, until=case.event.timestamp, now=None)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
