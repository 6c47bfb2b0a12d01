"""The page on which a rule is tried out on what is stored: who would have entered, been told, or held back, and why."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import copy_current_request_context, g, jsonify, request
from werkzeug.wrappers import Response

from backend.domain.calendar import zone_of
from backend.domain.rule import Rule
from backend.domain.site import Site
from backend.errors import TooManyRequests
from backend.pipeline import access
from backend.pipeline.simulate import simulating
from backend.pipeline.simulated import SimulationResult
from backend.pipeline.try_out import open_to_all
from backend.storage import visitors
from backend.web.console import guard
from backend.web.console.rules import rule_of
from backend.web.console.site_pages import Answer, fragment, page, reader, show
from backend.web.context import runtime
from backend.web.trial import Slot, lines

SPANS = (7, 30, 90)
SHOWN = 50
"""Enrolments that are listed; the figures are of all."""


@page("/rules/<rule_id>/simulate", right="rules")
def rule_simulate(rule_id: str, *, site: Site) -> Answer:
    """Asks for the span that a rule is to be tried out on."""
    stored = rule_of(site, rule_id)
    today = runtime().clock().astimezone(zone_of(site.timezone)).date()
    spans = {days: (today - timedelta(days=days - 1)).isoformat() for days in SPANS}
    return show("rules", "rule_simulate", rule=stored, spans=spans, today=today.isoformat(), chosen=30)


@page("/rules/<rule_id>/simulate", right="rules", methods=("POST",), name="simulate_rule")
def simulate_rule(rule_id: str, *, site: Site) -> Response:
    """Tries the rule out: lines that tell how far it is, and last a piece of the page with what would have been."""
    rt, rule = runtime(), rule_of(site, rule_id).rule()
    now = rt.clock()
    span, mistake = _span(site, now)
    if span is None:
        return jsonify({"message": mistake}), 422  # type: ignore[return-value]
    here, rules = site, [rule]
    if request.form.get("open") == "on":
        here, rules = open_to_all(site, rules)
    try:
        slot = Slot()
    except TooManyRequests as error:
        return jsonify({"message": error.message}), 429  # type: ignore[return-value]
    steps = simulating(rt, here, rules, span[0], span[1], limit=SHOWN)
    return lines(steps, slot, _telling(site, rule, span))


def _telling(site: Site, rule: Rule, span: tuple[datetime, datetime]) -> Any:
    """What draws the result when it comes, after the request is gone; whoever is shown is noted before."""
    who, seat, asks = reader(), guard.seat(), g.principal

    @copy_current_request_context
    def told(result: SimulationResult) -> Mapping[str, Any]:
        g.operator, g.principal, g.site = seat, asks, site
        ids = [each.visitor_id for each in result.items]
        rt = runtime()
        access.note_list(rt, site.id, who, "list", len(ids), {"rule": rule.id}, "rule_simulate")
        access.note(rt, site.id, who, "list", dict.fromkeys(ids), "rule_simulate")
        with rt.db.read() as connection:
            people = {each: kept.profile for each, kept in visitors.load(connection, ids).items()}
        return {"html": fragment("_simulated", told=result.summary, items=result.items, people=people, span=span)}

    return told


def _span(site: Site, now: datetime) -> tuple[tuple[datetime, datetime] | None, str]:
    """From when until when, by the site's clock: whole days; None and a sentence where that cannot be."""
    days: list[date] = []
    for name in ("since", "until"):
        try:
            days.append(date.fromisoformat(request.form.get(name, "").strip()[:10]))
        except ValueError:
            return None, "Choose from which day until which, such as 2026-03-01."
    zone = zone_of(site.timezone)
    try:
        since = datetime.combine(days[0], time(), zone).astimezone(UTC)
        until = min(datetime.combine(days[1] + timedelta(days=1), time(), zone).astimezone(UTC), now)
    except OverflowError:
        return None, "Choose days that there are."
    if until <= since:
        return None, "The last day must not be before the first, nor the first after today."
    return (since, until), ""
