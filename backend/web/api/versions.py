"""`/api/v1/sites/{site}/rules/{id}/versions`: what a rule said before, who wrote it, and putting it back."""

from collections.abc import Mapping
from typing import Any

from flask import request
from marshmallow import fields, validate

from backend.domain.enrolment import COMPLETED, SENT, SKIPPED
from backend.domain.rule import RuleSpec, parse_rule
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import edit
from backend.pipeline.standing import Standings
from backend.pipeline.write_down import warnings_of
from backend.schemas.enrolment import EnrolmentOut, enrolment_view
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.rule import CheckOut, RestoreIn, RuleIn, SavedRuleOut, VersionOut
from backend.schemas.rule_example import EXAMPLE
from backend.storage import enrolments, rule_versions, visitors
from backend.storage.rule_versions import StoredVersion
from backend.web.api.blueprint import Blueprint, body_doc, object_body
from backend.web.api.looks import listed
from backend.web.api.paging import page
from backend.web.api.rules import read_rule, rule_of, saved
from backend.web.api.visitors import visitor_of
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("versions", __name__, "What a rule said before, who wrote it, and putting it back.")


@blueprint.route("/sites/<site>/rules/validate", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody=body_doc(RuleIn, "A rule as for POST; with its `id`, as for PUT.", EXAMPLE))
@blueprint.response(200, CheckOut)
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def validate_a_rule(*, site: Site) -> dict[str, Any]:
    """Check a rule without saving it

    The same mistakes and warnings as when it is saved. One that says `"status": "active"` is checked for endless
    circles as an active one; of a draft they are only told.
    """
    body = object_body()
    spec, envelope = read_rule(site, body)
    rule_id = body.get("id")
    return _checked(site, spec, rule_id if isinstance(rule_id, str) else "", envelope.get("status", "draft"))


@blueprint.route("/sites/<site>/rules/<rule_id>/validate", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, CheckOut)
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def validate_a_saved_rule(rule_id: str, *, site: Site) -> dict[str, Any]:
    """Check a saved rule

    As it stands, beside the other rules and what the site has seen by now.
    """
    stored = rule_of(site, rule_id)
    return _checked(site, stored.rule().spec, stored.id, stored.status)


@blueprint.route("/sites/<site>/rules/<rule_id>/versions", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(VersionOut))
def list_versions_of_a_rule(query: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, Any]:
    """List a rule's versions

    Newest first.
    """
    rule_of(site, rule_id)
    before = read_cursor(query.get("cursor"), int)
    with runtime().db.read() as conn:
        found = rule_versions.list_versions(
            conn, site.id, rule_id, limit=query["limit"] + 1, before=before[0] if before else None
        )
    return page(found, query["limit"], _view, lambda each: (each.version,))


@blueprint.route("/sites/<site>/rules/<rule_id>/versions/<version>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, VersionOut)
def get_a_version_of_a_rule(rule_id: str, version: str, *, site: Site) -> dict[str, Any]:
    """Get one version of a rule"""
    return _view(_version(site, rule_id, version))


@blueprint.route("/sites/<site>/rules/<rule_id>/versions/<version>/restore", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody={**body_doc(RestoreIn, "May be left out.", {"enrolled": "move"}), "required": False})
@blueprint.response(200, SavedRuleOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def restore_a_version_of_a_rule(rule_id: str, version: str, *, site: Site) -> dict[str, Any]:
    """Put a version of a rule back

    What it said becomes the next version, as if it had been sent by PUT; the rule's status stays.
    """
    told = RestoreIn().load(object_body() if request.get_data(cache=True) else {})
    kept = _version(site, rule_id, version)
    edited = edit.replace(
        runtime(),
        site,
        rule_id,
        parse_rule(dict(kept.document), stored=True),
        status=None,
        enrolled=told["enrolled"],
        expected=told.get("version"),
        author=principal().name,
    )
    return saved(edited)


class EnrolmentQuery(PageQuery):
    """Which enrolments to list."""

    outcome = fields.String(
        validate=validate.OneOf(["waiting", "deferred", SENT, SKIPPED, COMPLETED]),
        metadata={"description": "How they ended; `waiting`: they did not yet, `deferred`: a message must wait."},
    )
    reason = fields.String(metadata={"example": "not_matching"})
    visitor = fields.String(metadata={"description": "The id of a visitor."})
    version = fields.Integer(
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "The version of the rule that they are in, or were in at their end."},
    )


@blueprint.route("/sites/<site>/rules/<rule_id>/enrolments", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(EnrolmentQuery, location="query")
@blueprint.response(200, page_of(EnrolmentOut))
def list_enrolments_of_a_rule(query: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, Any]:
    """List a rule's enrolments

    Newest first: who got it, who did not and why, and where those stand who are in it.
    """
    rule_of(site, rule_id)
    members = visitors.members_of(visitor_of(site, query["visitor"])) if "visitor" in query else None
    filters = {name: query.get(name) for name in ("outcome", "reason", "version")}
    before = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = enrolments.list_of_rule(conn, rule_id, query["limit"] + 1, before, members=members, **filters)
        standings = Standings(conn)
        told = page(found, query["limit"], lambda each: enrolment_view(each, standings.of(each)), enrolments.cursor_of)
    listed(site, [each.visitor_id for each in found[: query["limit"]]], {"rule": rule_id, **query})
    return told


def _checked(site: Site, spec: RuleSpec, rule_id: str, status: Any) -> dict[str, Any]:
    return {"valid": True, "warnings": warnings_of(runtime(), site, spec, rule_id, status), "rule": spec.document}


def _version(site: Site, rule_id: str, text: str) -> StoredVersion:
    rule_of(site, rule_id)
    if text.isascii() and text.isdecimal() and len(text) < 10:
        with runtime().db.read() as conn:
            found = rule_versions.get_version(conn, site.id, rule_id, int(text))
        if found is not None:
            return found
    raise NotFound("The rule has no such version.")


def _view(kept: StoredVersion) -> dict[str, Any]:
    own = {name: getattr(kept, name) for name in ("version", "enrolled", "author", "created_at")}
    return {**own, "rule": kept.document}
