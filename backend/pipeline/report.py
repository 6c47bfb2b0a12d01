"""The step `report`: what each message of a rule changed: numbers by day, step, variant and channel, and the lift."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from backend.domain.attention import GLOBALLY_HELD_OUT, HELD_OUT
from backend.domain.lift import Arm, best, lift, means, wilson
from backend.domain.message import ON_SITE
from backend.domain.mistakes import RuleErrors
from backend.domain.rule import CompiledRule, compile_rule
from backend.domain.rule.compiled import SayOp
from backend.domain.site import Site
from backend.domain.tally import MILLIONTHS, squares
from backend.domain.welch import Sample
from backend.domain.winner import MOST_LOOKS, next_look
from backend.pipeline.choose import arms_of
from backend.runtime import Runtime
from backend.storage import contests, rules, tallies
from backend.storage.contests import Contest
from backend.storage.database import Connection
from backend.storage.tallies import Tally

METRICS = (
    *("persons", "sent", "delivered", "failed", "withheld", "expired", "uncertain"),
    *("shown", "clicked", "replied", "dismissed", "unsubscribed", "converted"),
)
CONTROLS = (HELD_OUT, GLOBALLY_HELD_OUT)
DIMENSIONS = ("day", "step", "variant", "channel")
MOST_RULES = 10_000

Numbers = dict[str, Any]


def report_on_rule(
    rt: Runtime, site: Site, rule_id: str, since: date | None, until: date | None, by: Sequence[str] = ()
) -> Numbers:
    """Everything that is counted of one rule, of the decisions made on the days from `since` up to and with `until`.

    `by` are the dimensions of `rows`, which give the numbers of each combination of them that there is.
    """
    with rt.db.read() as connection:
        found = tallies.of_site(connection, site.id, rule_id, since, until)
        stored = rules.get_rule(connection, site.id, rule_id)
        compiled = _compiled(stored)
        winners = _winners(connection, compiled, contests.of_rule(connection, rule_id))
    said = _said(found)
    return {
        "rule_id": rule_id,
        "currency": site.currency,
        "enrolments": _enrolments(found),
        "totals": _numbers(said),
        "variants": [_variant(name, group) for name, group in _by(said, "variant")],
        "steps": [{"step": name, **_numbers(_said(group)), **_not_said(group)} for name, group in _steps(found)],
        "channels": [{"channel": name, **_numbers(group)} for name, group in _by(said, "channel")],
        "days": [{"day": name, **_numbers(_said(group)), "entered": _entered(group)} for name, group in _days(found)],
        "rows": _rows(found, by),
        "lift": _lifts(found, goal=compiled is None or compiled.goal is not None),
        "leading": best({name: _arm(group) for name, group in _by(said, "variant")}),
        "winners": winners,
    }


def report_on_site(rt: Runtime, site: Site, since: date | None, until: date | None) -> Numbers:
    """The totals of every rule that has any, and of all together."""
    with rt.db.read() as connection:
        found = tallies.of_site(connection, site.id, None, since, until)
        known = {each.id: each for each in rules.list_rules(connection, site.id, limit=MOST_RULES)}
    by_rule = []
    for rule_id, group in _by(found, "rule_id"):
        document = known[rule_id].document if rule_id in known else {}
        told = {
            "rule_id": rule_id,
            "name": document.get("name"),
            "enrolments": _enrolments(group),
            "totals": _numbers(_said(group)),
            "lift": _lifts(group, goal=not document or document.get("goal") is not None),
        }
        by_rule.append(told)
    totals = _numbers(_said(found))
    totals.pop("persons")  # people meet several rules
    return {"currency": site.currency, "totals": totals, "rules": by_rule}


def _compiled(stored: rules.StoredRule | None) -> CompiledRule | None:
    try:
        return None if stored is None else compile_rule(stored.rule())
    except RuleErrors:
        return None  # written for another version of chimein


def _said(found: Iterable[Tally]) -> list[Tally]:
    """Of what was said, without those held out and without what enrolments say."""
    return [each for each in found if each.variant and each.variant not in CONTROLS]


def _by(found: Iterable[Tally], name: str) -> list[tuple[Any, list[Tally]]]:
    groups: dict[Any, list[Tally]] = defaultdict(list)
    for each in found:
        groups[getattr(each, name)].append(each)
    return sorted(groups.items())


def _steps(found: Iterable[Tally]) -> list[tuple[Any, list[Tally]]]:
    return _by((each for each in found if each.variant or each.metric.startswith("skipped:")), "step")


def _days(found: Iterable[Tally]) -> list[tuple[Any, list[Tally]]]:
    return _by((each for each in found if each.variant not in CONTROLS and not each.metric.startswith("sk")), "day")


def _rows(found: Iterable[Tally], by: Sequence[str]) -> list[Numbers]:
    """The numbers of each combination, those held out among the variants; entries where no step tells them apart."""
    if not by:
        return []
    groups: dict[tuple[Any, ...], list[Tally]] = defaultdict(list)
    for each in found:
        if each.variant or not set(by) - {"day"}:
            groups[tuple(getattr(each, name) for name in by)].append(each)
    return [
        {**dict(zip(by, place, strict=True)), **_numbers(group), "held_out": _sums(group).get("held_out", 0)}
        | ({"entered": _entered(group)} if not set(by) - {"day"} else {})
        for place, group in sorted(groups.items())
    ]


def _sums(found: Iterable[Tally]) -> Mapping[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for each in found:
        sums[each.metric] += each.number
    return sums


def _numbers(found: Sequence[Tally]) -> Numbers:
    """What was counted; a message on the site is delivered when it is shown."""
    sums = _sums(found)
    counted = {name: sums.get(name, 0) for name in METRICS}
    on_site = sum(each.number for each in found if each.metric == "shown" and each.channel in ON_SITE)
    counted["delivered"] += on_site
    ended = sum(counted[name] for name in ("delivered", "failed", "withheld", "expired", "uncertain"))
    return {**counted, "waiting": max(0, counted["sent"] - ended), "revenue": _money(sums.get("revenue", 0))}


def _entered(found: Iterable[Tally]) -> int:
    return sum(each.number for each in found if each.metric == "entered")


def _not_said(found: Sequence[Tally]) -> Numbers:
    """Who came to the step and was not told anything there."""
    skipped: dict[str, int] = defaultdict(int)
    held_out = 0
    for each in found:
        if each.metric.startswith("skipped:"):
            skipped[each.metric.removeprefix("skipped:")] += each.number
        held_out += each.number if each.metric == "held_out" else 0
    sent = sum(each.number for each in found if each.metric == "sent")
    return {"entered": sent + held_out + sum(skipped.values()), "held_out": held_out, "skipped": dict(skipped)}


def _variant(name: str, group: list[Tally]) -> Numbers:
    arm = _arm(group)
    return {
        "variant": name,
        **_numbers(group),
        "goal_persons": arm.reached,
        "share": arm.share,
        "interval": wilson(arm),
    }


def _arm(group: Iterable[Tally], reached: str = "goal_persons", of: str = "persons") -> Arm:
    sums = _sums(group)
    return Arm(persons=sums.get(of, 0), reached=sums.get(reached, 0))


def _lifts(found: Iterable[Tally], *, goal: bool) -> list[Numbers]:
    """Each step's people who were told against those held out at that step, by the rule or on the whole site.

    Step by step, since at different steps there are different people: put together they would not be alike.
    """
    told: list[Numbers] = []
    for step, group in _by((each for each in found if each.variant), "step"):
        treated = _said(group)
        for control in CONTROLS:
            held = [each for each in group if each.variant == control]
            if held:
                told.append({"step": step, "control": control, **_lift(treated, held, goal=goal)})
    return told


def _lift(treated: list[Tally], held: list[Tally], *, goal: bool) -> Numbers:
    one, other = _arm(treated), _arm(held)
    reached = asdict(lift(one, other))
    worth = asdict(means(_revenue(treated), _revenue(held)))
    if not goal:
        reached["sentence"] = worth["sentence"] = "The rule has no goal."
    return {
        "treated_arm": asdict(one),
        "control_arm": asdict(other),
        **reached,
        "revenue": worth | {"treated_mean": _revenue(treated).mean, "control_mean": _revenue(held).mean},
        "guard_rails": {
            "unsubscribes": _shares(treated, held, "unsubscribed_persons", "persons"),
            "sessions_ended": _shares(treated, held, "sessions_ended", "sessions"),
            "session_length": _lengths(treated, held),
        },
    }


def _shares(treated: list[Tally], held: list[Tally], reached: str, of: str) -> Numbers:
    one, other = _arm(treated, reached, of), _arm(held, reached, of)
    return {"treated_arm": asdict(one), "control_arm": asdict(other), **asdict(lift(one, other, wanted=False))}


def _lengths(treated: list[Tally], held: list[Tally]) -> Numbers:
    one, other = _stay(treated), _stay(held)
    return {"treated_mean": one.mean, "control_mean": other.mean, **asdict(means(one, other))}


def _stay(group: Iterable[Tally]) -> Sample:
    sums = _sums(group)
    return Sample(
        count=sums.get("sessions", 0),
        total=sums.get("session_seconds", 0),
        squares=squares(sums, "session_seconds_squares"),
    )


def _revenue(group: Iterable[Tally]) -> Sample:
    sums = _sums(group)
    return Sample(
        count=sums.get("persons", 0),
        total=sums.get("goal_value", 0),
        squares=squares(sums, "goal_value_squares"),
        unit=int(MILLIONTHS),
    )


def _winners(connection: Connection, rule: CompiledRule | None, known: list[Contest]) -> list[Numbers]:
    """The contests between variants, running, decided and of earlier wordings."""
    told: list[Numbers] = []
    asked = {op.test: op for op in rule.program if isinstance(op, SayOp) and op.test} if rule is not None else {}
    for contest in known:
        op = asked.get(contest.test)
        running = contest.variant is None and contest.looks < MOST_LOOKS and op is not None
        status = "decided" if contest.variant is not None else "running" if running else "undecided"
        item: Numbers = {
            "step": contest.step,
            "status": status,
            "current": op is not None,
            "began_at": contest.began_at,
            "looks": contest.looks,
            "looked_at": contest.looked_at,
            "variant": contest.variant,
            "since": contest.since,
            **{name: contest.numbers.get(name) for name in ("by", "confidence", "sentence", "variants")},
        }
        if rule is not None and op is not None and op.message.winner is not None and running:
            following = next_look(op.message.winner, contest.looks, contest.began_at)
            item["next_look_at" if not isinstance(following, int) else "next_look_persons"] = following
            arms = arms_of(connection, rule, op, op.message.winner)
            item["persons"] = sum(arm.persons for arm in arms.values())
        told.append(item)
    return told


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
    # What ended otherwise after all was taken back, and is not worth a line.
    told = ({name: number for name, number in counts.items() if number} for counts in (outcomes, reasons))
    return {"entered": entered, "outcomes": next(told), "reasons": next(told)}


def _money(parts: int) -> Decimal:
    return Decimal(parts) / MILLIONTHS
