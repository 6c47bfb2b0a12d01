"""`/api/v1/sites/{site}/rules`: what is said, to whom, and when."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from backend.domain.rule import RuleSpec, Status
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import edit, write_down
from backend.pipeline.edit import Edited
from backend.pipeline.explain import explain
from backend.pipeline.write_down import STATUSES
from backend.schemas.enrolment import enrolment_view
from backend.schemas.explanation import ExplanationOut, ExplanationQuery
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.rule import RuleIn, RuleOut, SavedRuleOut
from backend.schemas.rule_example import EXAMPLE
from backend.storage import rules as stored_rules
from backend.storage.rules import StoredRule
from backend.web.api.blueprint import Blueprint, body_doc, object_body
from backend.web.api.paging import page
from backend.web.api.rule_templates import from_template
from backend.web.api.visitors import visitor_of
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("rules", __name__, "What is said, to whom, and when.")

_BODY = body_doc(
    RuleIn,
    "A rule. What GET answers can be sent back as it is; a `version` that is not the current one is refused. Beside it "
    "may stand `enrolled`: what becomes of those who are in the rule, `keep` (the default) or `move`.",
    EXAMPLE,
)


class RuleQuery(PageQuery):
    """Which rules to list."""

    status = fields.String(validate=validate.OneOf(STATUSES))


@blueprint.route("/sites/<site>/rules", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(RuleQuery, location="query")
@blueprint.response(200, page_of(RuleOut))
def list_all_rules(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List rules

    Oldest first.
    """
    after = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = stored_rules.list_rules(
            conn, site.id, status=query.get("status"), limit=query["limit"] + 1, after=after
        )
    return page(found, query["limit"], view, stored_rules.place)


@blueprint.route("/sites/<site>/rules", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(201, SavedRuleOut)
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def create_a_rule(*, site: Site) -> dict[str, Any]:
    """Create a rule

    It is a draft until it is activated, unless it says `"status": "active"`. A rule that cannot work is refused, with
    the path of each mistake: `errors.audience.all.1.op`; so is an active one that would start others, and they it,
    without end: where the circle may come round in under 30 s, or none of its rules caps its entries.
    `{"template": "cart-left", "parameters": {"delay": "1h"}}` takes a ready one; what else is said replaces its parts.

    `warnings` tell what is no mistake, and hardly meant: names of events, properties and traits that the site has not
    seen, in conditions and in texts, with the nearest that it has; stages that there are not; conditions that can
    never hold; circles that are slow, capped, or end.
    """
    spec, envelope = read_rule(site, from_template(object_body()))
    return _warned(edit.create(runtime(), site, spec, envelope.get("status", "draft"), principal().name))


@blueprint.route("/sites/<site>/rules/<rule_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, RuleOut)
def get_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Get a rule"""
    return view(rule_of(site, rule_id))


@blueprint.route("/sites/<site>/rules/<rule_id>", methods=["PUT"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(200, SavedRuleOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def replace_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Replace a rule

    Its `version` grows by one; its status stays unless the body says another. `enrolled` says what becomes of those
    who are in the rule, and `enrolments` in the answer how many they are.

    `keep`, the default: they go on by the version that they are in, to their end; so nobody is caught between two
    plans, and whoever is counted for a version got that version. Whether the rule is active, and the site's caps and
    quiet hours, are asked of the present in any case.

    `move`: they go on with the new version from the step at which they stand. A step is the same one by its `name`,
    else by what it says and where it stands among its neighbours. A delay or a wait that has begun ends when it would
    have. Where the step is gone, they go on with the nearest step behind it that is still there, on the way that they
    took; where that way or its fork is gone, behind the fork; where nothing follows, they end as `rule_changed`. Nobody
    gets onto a way that they did not take, and no message is said again that has the name or the words of one that
    was sent: it is passed over as `already_sent`. Messages that wait to be sent are held against the new audience.
    """
    spec, envelope = read_rule(site, object_body())
    edited = edit.replace(
        runtime(),
        site,
        rule_id,
        spec,
        status=envelope.get("status"),
        enrolled=envelope.get("enrolled", "keep"),
        expected=envelope.get("version"),
        author=principal().name,
    )
    return saved(edited)


@blueprint.route("/sites/<site>/rules/<rule_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
def delete_a_rule(rule_id: str, *, site: Site) -> None:
    """Delete a rule

    What waits to be sent in its name is not sent any more; what was sent stays on record.
    """
    with runtime().db.begin() as conn:
        if not stored_rules.delete_rule(conn, site.id, rule_id):
            raise NotFound("There is no such rule.")


@blueprint.route("/sites/<site>/rules/<rule_id>/activate", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(200, SavedRuleOut)
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def activate_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Activate a rule

    From now on its trigger starts enrolments. Checked as when it is created, beside the rules that are active now.
    """
    return _warned(edit.activate(runtime(), site, rule_id))


@blueprint.route("/sites/<site>/rules/<rule_id>/pause", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(200, RuleOut)
def pause_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Pause a rule

    Nothing more is sent in its name, also nothing that waits already, until it is activated again.
    """
    return _set_status(site, rule_id, "paused")


@blueprint.route("/sites/<site>/rules/<rule_id>/archive", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(200, RuleOut)
def archive_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Archive a rule

    As pausing it; it is out of the way and stays on record.
    """
    return _set_status(site, rule_id, "archived")


@blueprint.route("/sites/<site>/rules/<rule_id>/explain", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ExplanationQuery, location="query")
@blueprint.response(200, ExplanationOut)
def explain_a_rule(query: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, Any]:
    """Explain a rule

    Every gate of the rule for this visitor now, each with its verdict and the values that it read: why would it be
    sent, or why not? Whoever is in the rule is told of the version that they are in, of the step at which they stand,
    what they wait for, and until when; a last trigger that started nothing is told of at `denied`.
    """
    rt = runtime()
    stored = rule_of(site, rule_id)
    profile = visitor_of(site, query["visitor"])
    told = explain(rt, site, stored.rule(), profile)
    denied = told.denied
    return {
        "rule_id": stored.id,
        "rule_version": told.rule_version,
        "visitor_id": profile.id,
        "at": rt.clock(),
        "enrolment": enrolment_view(told.enrolment, told.standing) if told.enrolment is not None else None,
        "denied": {"event_id": denied[0].message_id, "at": denied[0].timestamp, "reason": denied[1]}
        if denied
        else None,
        "gates": [
            {"gate": each.name, "open": each.open, "reason": each.reason, "detail": each.detail} for each in told.gates
        ],
    }


def rule_of(site: Site, rule_id: str) -> StoredRule:
    """The site's rule with this id; NotFound where there is none."""
    with runtime().db.read() as conn:
        return edit.present(stored_rules.get_rule(conn, site.id, rule_id))


def _set_status(site: Site, rule_id: str, status: Status) -> dict[str, Any]:
    rt = runtime()
    with rt.db.begin() as conn:
        return view(edit.present(stored_rules.set_status(conn, site.id, rule_id, status, now=rt.clock())))


def read_rule(site: Site, body: dict[str, Any]) -> tuple[RuleSpec, dict[str, Any]]:
    """The rule, and apart from it what only says where it stands; the rest of what GET adds is passed over."""
    return write_down.read_rule(runtime(), site, body)


def _warned(edited: Edited) -> dict[str, Any]:
    """As GET answers it, and the warnings where there are any."""
    return {**view(edited.stored), **({"warnings": edited.warnings} if edited.warnings else {})}


def saved(edited: Edited) -> dict[str, Any]:
    """A rule that was edited, as `SavedRuleOut` dumps it."""
    inside = {name: getattr(edited, name) for name in ("kept", "moved", "ended", "moving")}
    return {**view(edited.stored), "warnings": edited.warnings, "enrolments": inside}


def view(stored: StoredRule) -> dict[str, Any]:
    """A rule as `RuleOut` dumps it."""
    own = {name: getattr(stored, name) for name in ("id", "version", "status", "created_at", "updated_at")}
    return {**stored.document, **own}
