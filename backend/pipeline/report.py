"""The step `report`: what each message of a rule changed: numbers by variant, step, channel and day, and the lift."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT
from backend.domain.lift import Arm, best, lift, wilson
from backend.domain.site import Site
from backend.domain.tally import MILLIONTHS
from backend.runtime import Runtime
from backend.storage import rules, tallies
from backend.storage.tallies import Tally

METRICS = ("persons", "sent", "shown", "clicked", "replied", "dismissed", "unsubscribed", "converted")
MONEY = ("revenue", "goal_value")
CONTROLS = (HELD_OUT, GLOBALLY_HELD_OUT)
MOST_RULES = 10_000

Numbers = dict[str, Any]


def report_on_rule(rt: Runtime, site: Site, rule_id: str, since: date | None, until: date | None) -> Numbers:
    """Everything that is counted of one rule, of the decisions made on the days from `since` up to and with `until`."""
    with rt.db.read() as connection:
        found = tallies.of_site(connection, site.id, rule_id, since, until)
    said = [each for each in found if each.variant and each.variant not in CONTROLS]
    return {
        "rule_id": rule_id,
        "currency": site.currency,
        "enrolments": _enrolments(found),
        "totals": _numbers(said),
        "variants": [_variant(name, group) for name, group in _by(said, "variant")],
        "steps": [{"step": name, **_numbers(group)} for name, group in _by(said, "step")],
        "channels": [{"channel": name, **_numbers(group)} for name, group in _by(said, "channel")],
        "days": [{"day": name, **_numbers(group)} for name, group in _by(said, "day")],
        "lift": [_lift(found, said, control) for control in CONTROLS if any(each.variant == control for each in found)],
        "winner": best({name: _arm(group) for name, group in _by(said, "variant")}),
    }


def report_on_site(rt: Runtime, site: Site, since: date | None, until: date | None) -> Numbers:
    """The totals of every rule that has any, and of all together."""
    with rt.db.read() as connection:
        found = tallies.of_site(connection, site.id, None, since, until)
        names = {each.id: each.document["name"] for each in rules.list_rules(connection, site.id, limit=MOST_RULES)}
    by_rule = [
        {
            "rule_id": rule_id,
            "name": names.get(rule_id),
            "enrolments": _enrolments(group),
            "totals": _numbers(each for each in group if each.variant and each.variant not in CONTROLS),
            "lift": [_lift(group, group, control) for control in CONTROLS if any(t.variant == control for t in group)],
        }
        for rule_id, group in _by(found, "rule_id")
    ]
    said = [each for each in found if each.variant and each.variant not in CONTROLS]
    totals = {name: number for name, number in _numbers(said).items() if name != "persons"}  # people meet several rules
    return {"currency": site.currency, "totals": totals, "rules": by_rule}


def _by(found: Iterable[Tally], name: str) -> list[tuple[Any, list[Tally]]]:
    groups: dict[Any, list[Tally]] = defaultdict(list)
    for each in found:
        groups[getattr(each, name)].append(each)
    return sorted(groups.items())


def _sums(found: Iterable[Tally]) -> Mapping[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for each in found:
        sums[each.metric] += each.number
    return sums


def _numbers(found: Iterable[Tally]) -> Numbers:
    sums = _sums(found)
    counted = {name: sums.get(name, 0) for name in METRICS}
    return {**counted, "revenue": _money(sums.get("revenue", 0))}


def _variant(name: str, group: list[Tally]) -> Numbers:
    arm = _arm(group)
    return {
        "variant": name,
        **_numbers(group),
        "goal_persons": arm.reached,
        "share": arm.share,
        "interval": wilson(arm),
    }


def _arm(group: Iterable[Tally]) -> Arm:
    sums = _sums(group)
    return Arm(persons=sums.get("persons", 0), reached=sums.get("goal_persons", 0))


def _lift(found: list[Tally], treated: Iterable[Tally], control: str) -> Numbers:
    one = _arm(each for each in treated if each.variant and each.variant not in CONTROLS)
    other = _arm(each for each in found if each.variant == control)
    told = asdict(lift(one, other))
    return {"control": control, "treated_arm": asdict(one), "control_arm": asdict(other), **told}


def _enrolments(found: Iterable[Tally]) -> Numbers:
    """How many entered, how they ended, and why those ended that were skipped."""
    entered, outcomes, reasons = 0, defaultdict[str, int](int), defaultdict[str, int](int)
    for each in found:
        metric, _, reason = each.metric.partition(":")
        if metric == "entered":
            entered += each.number
        elif metric.endswith("_enrolments"):
            outcomes[metric.removesuffix("_enrolments")] += each.number
            if reason:
                reasons[reason] += each.number
    return {"entered": entered, "outcomes": dict(outcomes), "reasons": dict(reasons)}


def _money(millionths: int) -> str:
    return f"{(Decimal(millionths) / MILLIONTHS).quantize(Decimal('0.01'))}"
