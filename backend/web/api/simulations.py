"""`/api/v1/sites/{site}/simulations`: a rule tried out on what is stored."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request
from marshmallow import ValidationError, fields

from backend.domain.mistakes import RuleErrors
from backend.domain.rule import Rule, parse_rule
from backend.domain.segment import Segment
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.rehearse import rehearse
from backend.pipeline.simulate import read_place, simulating
from backend.pipeline.simulated import SimulationResult
from backend.pipeline.simulated_rules import asked_for
from backend.pipeline.try_out import open_to_all, rule_id_of, written
from backend.schemas.error import ErrorOut
from backend.schemas.fields import StrictSchema
from backend.schemas.page import Limit, read_cursor, write_cursor
from backend.schemas.simulation import ProgressOut, SimulationIn, SimulationOut
from backend.storage import segments
from backend.storage.times import from_micros, to_micros
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import Notes, noting
from backend.web.api.rules import rule_of
from backend.web.context import runtime
from backend.web.trial import AT_ONCE, LINES, Slot, lines

LINES_DOC = {
    "schema": {"oneOf": [ProgressOut, SimulationOut, ErrorOut], "description": "Each line; the last is no progress."},
    "example": '{"progress": 0.42, "visitors": 42, "events": 912}\n{"items": [], "summary": {}, "next_cursor": null}\n',
}
BUSY_DOC = {
    "description": f"{AT_ONCE} simulations are running; this one must wait for them.",
    "headers": {"Retry-After": {"description": "In so many seconds.", "schema": {"type": "integer"}}},
    "content": {"application/json": {"schema": ErrorOut}},
}

blueprint = Blueprint("simulations", __name__, "A rule tried out on what is stored.")


class SimulationQuery(StrictSchema):
    """Which part of the answer; the body may say it too."""

    limit = Limit(metadata={"description": "How many items at most."})
    cursor = fields.String(metadata={"description": "`next_cursor` of the page before."})


@blueprint.route("/sites/<site>/simulations", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(SimulationQuery, location="query")
@blueprint.arguments(SimulationIn, example={"rule": "RULE_ID", "since": "2026-11-01T00:00:00Z"})
@blueprint.response(200, SimulationOut)
@blueprint.described(responses={200: {"content": {LINES: LINES_DOC}}, 429: BUSY_DOC})
def simulate_a_rule(query: Mapping[str, Any], body: Mapping[str, Any], *, site: Site) -> dict[str, Any] | Response:
    """Simulate a rule

    Stored events are replayed for each visitor in the order of their timestamps, and timers fire in event time. Nothing
    is sent and nothing is stored. `items` are the enrolments entered from `since` on and before `until`; `sent` means:
    would have been sent, `pending`: its moment is after `until`. The live engine decides the same.

    With `events` these calls (each with its `timestamp`) are the history, instead of the stored one: whose they are is
    found as it is live. `yaml` takes rules as they stand in files, and the segments that
    stand there with them.

    With `Accept: application/x-ndjson` the answer is made of lines: `{"progress": 0.42, "visitors": n, "events": n}` as
    it goes on, and last what would have been answered otherwise. Whoever hangs up ends it. Two run at a time; the third
    is answered 429 with `Retry-After`.
    """
    rt = runtime()
    # "Now" must be the same moment on every page, so the cursor carries it.
    place, now = read_cursor(query.get("cursor") or body["cursor"], str, int) or (None, to_micros(rt.clock()))
    try:
        read_place(place)
    except ValueError:
        raise ValidationError({"cursor": ["Is no cursor of this list."]}) from None
    until = body["until"] or from_micros(now)
    limit = query.get("limit") or body["limit"]
    rules, given = _rules(site, body)
    if not body["holdout"]:
        site, rules = open_to_all(site, rules)
    if body["events"] is not None:
        with rt.db.read() as conn:
            asked = asked_for(conn, site, rules, given)
        calls, since = body["events"], body["since"]
        return _page(rehearse(site, rules, calls, until, since=since, limit=limit, cursor=place, segments=asked), now)
    slot, notes = Slot(), noting(site, "list", {"rule": ", ".join(each.id for each in rules)})
    steps = simulating(rt, site, rules, body["since"], until, limit=limit, cursor=place, segments=given)
    if request.accept_mimetypes.best_match(("application/json", LINES), default="application/json") == LINES:
        return lines(steps, slot, lambda result: SimulationOut().dump(_page(_noted(result, notes), now)))
    try:
        return _page(_noted(next(step for step in steps if isinstance(step, SimulationResult)), notes), now)
    finally:
        slot.release()


def _noted(result: SimulationResult, notes: Notes) -> SimulationResult:
    """The result, which tells of these visitors."""
    ids = [each.visitor_id for each in result.items]
    notes[1](len(ids))
    notes[0](ids)
    return result


def _page(result: SimulationResult, now: int) -> dict[str, Any]:
    cursor = None if result.next_cursor is None else write_cursor((result.next_cursor, now))
    return {"items": result.items, "summary": result.summary, "next_cursor": cursor}


def _rules(site: Site, body: Mapping[str, Any]) -> tuple[list[Rule], list[Segment]]:
    """The rules that are asked for, and the segments that came with them."""
    with runtime().db.read() as conn:
        known = segments.known(conn, site.id)
    if "yaml" in body:
        return written(site, body["yaml"], known)
    if "rule" in body:
        return [_rule(site, body["rule"], ("rule",), known)], []
    return [_rule(site, given, ("rules", str(place)), known) for place, given in enumerate(body["rules"])], []


def _rule(site: Site, given: dict[str, Any] | str, path: tuple[str, ...], known: Mapping[str, str]) -> Rule:
    if isinstance(given, str):
        try:
            return rule_of(site, given).rule()
        except NotFound:
            raise ValidationError(_at(path, ["There is no rule with this id."])) from None
    try:
        spec = parse_rule(given, simulated=True, segments=known, stages=site.funnel.names)
    except RuleErrors as error:
        raise RuleErrors(_at(path, error.errors)) from None
    # The same rule, asked again, must deal out the same variants: so its id follows from what it says.
    return Rule(id=rule_id_of(site, given), site_id=site.id, spec=spec, status="active")


def _at(path: tuple[str, ...], below: Any) -> dict[str, Any]:
    """These mistakes, at their place in the body."""
    for name in reversed(path):
        below = {name: below}
    return dict(below)
