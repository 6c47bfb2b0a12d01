"""`/api/v1/sites/{site}/rules`: what is said, to whom, and when."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from backend.domain.mistakes import RuleErrors
from backend.domain.rule import RuleSpec, Status, parse_rule
from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.pipeline.explain import explain
from backend.pipeline.import_rules import MOST_RULES, Plan, import_rules
from backend.schemas.explanation import ExplanationOut, ExplanationQuery
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.rule import EXAMPLE, RuleIn, RuleOut
from backend.schemas.rule_import import EXAMPLE as IMPORT_EXAMPLE
from backend.schemas.rule_import import RuleImportIn, RulePlanOut
from backend.storage import rules as stored_rules
from backend.storage.rules import StoredRule
from backend.web.api.blueprint import Blueprint, body_doc, object_body
from backend.web.api.paging import page
from backend.web.api.rule_templates import from_template
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("rules", __name__, "What is said, to whom, and when.")

STATUSES = ("draft", "active", "paused", "archived")
_BODY = body_doc(
    RuleIn,
    "A rule. What GET answers can be sent back as it is; a `version` that is not the current one is refused.",
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
    return page(found, query["limit"], _view, stored_rules.place)


@blueprint.route("/sites/<site>/rules", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(201, RuleOut)
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def create_a_rule(*, site: Site) -> dict[str, Any]:
    """Create a rule

    It is a draft until it is activated, unless it says `"status": "active"`. A rule that cannot work is refused, with
    the path of each mistake: `errors.audience.all.1.op`. A `goal` is checked and kept, but not measured yet.
    `{"template": "cart-left", "parameters": {"delay": "1h"}}` takes a ready one; what else is said replaces its parts.
    """
    rt = runtime()
    spec, envelope = _read(from_template(object_body()))
    with rt.db.begin() as conn:
        stored = stored_rules.create_rule(conn, site.id, spec, status=envelope.get("status", "draft"), now=rt.clock())
    return _view(stored)


@blueprint.route("/sites/<site>/rules/import", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(RuleImportIn, example=IMPORT_EXAMPLE)
@blueprint.response(200, RulePlanOut)
@blueprint.alt_response(409, "CONFLICT")
def import_all_rules(body: Mapping[str, Any], *, site: Site) -> Plan:
    """Import rules

    The site's rules become those that are sent, all or none: what `chimein rules import` does. A rule is found by its
    `key`, else by its `id`, else by its name. What is the same already is not touched, so that a second time changes
    nothing. Rules that are not among these stay, or are archived with `prune`. Mistakes: `errors.rules.3.audience…`.
    """
    if len(body["rules"]) > MOST_RULES:
        raise RuleErrors({"rules": [f"At most {MOST_RULES} rules at a time."]})
    options = {name: body[name] for name in ("prune", "keep_status", "dry_run")}
    rt = runtime()
    return import_rules(rt.db, site.id, body["rules"], now=rt.clock(), **options)


@blueprint.route("/sites/<site>/rules/<rule_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, RuleOut)
def get_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Get a rule"""
    return _view(rule_of(site, rule_id))


@blueprint.route("/sites/<site>/rules/<rule_id>", methods=["PUT"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(200, RuleOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def replace_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Replace a rule

    Its `version` grows by one; its status stays unless the body says another.
    """
    rt = runtime()
    spec, envelope = _read(object_body())
    with rt.db.begin() as conn:
        current = _present(stored_rules.get_rule(conn, site.id, rule_id))
        if envelope.get("version", current.version) != current.version:
            raise Conflict(f"The rule has changed in the meantime: its version is {current.version}.")
        stored = stored_rules.replace_rule(conn, site.id, rule_id, spec, status=envelope.get("status"), now=rt.clock())
    return _view(_present(stored))


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
@blueprint.response(200, RuleOut)
def activate_a_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Activate a rule

    From now on its trigger starts enrolments.
    """
    return _set_status(site, rule_id, "active")


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

    Every gate of the rule for this visitor now, each with its verdict: why would it be sent, or why not?
    """
    rt = runtime()
    stored = rule_of(site, rule_id)
    profile = visitor_of(site, query["visitor"])
    gates = explain(rt, site, stored.rule(), profile)
    return {"rule_id": stored.id, "visitor_id": profile.id, "at": rt.clock(), "gates": gates}


def rule_of(site: Site, rule_id: str) -> StoredRule:
    """The site's rule with this id; NotFound where there is none."""
    with runtime().db.read() as conn:
        return _present(stored_rules.get_rule(conn, site.id, rule_id))


def _present(stored: StoredRule | None) -> StoredRule:
    if stored is None:
        raise NotFound("There is no such rule.")
    return stored


def _set_status(site: Site, rule_id: str, status: Status) -> dict[str, Any]:
    rt = runtime()
    with rt.db.begin() as conn:
        stored = _present(stored_rules.get_rule(conn, site.id, rule_id))
        if status == "active":
            stored.rule()  # a rule that this version cannot read must not look active
        return _view(_present(stored_rules.set_status(conn, site.id, rule_id, status, now=rt.clock())))


def _read(body: dict[str, Any]) -> tuple[RuleSpec, dict[str, Any]]:
    """The rule, and apart from it what only says where it stands; the rest of what GET adds is passed over."""
    mistakes: dict[str, Any] = {}
    if body.get("status", "draft") not in STATUSES:
        mistakes["status"] = [f"Must be one of {', '.join(STATUSES)}."]
    if type(body.get("version", 1)) is not int:
        mistakes["version"] = ["Must be a whole number."]
    try:
        spec = parse_rule(body)
    except RuleErrors as error:
        mistakes.update(error.errors)
    if mistakes:
        raise RuleErrors(mistakes)
    return spec, {name: body[name] for name in ("status", "version") if name in body}


def _view(stored: StoredRule) -> dict[str, Any]:
    own = {name: getattr(stored, name) for name in ("id", "version", "status", "created_at", "updated_at")}
    return {**stored.document, **own}
