"""`/api/v1/operators`: who uses the console, on which sites, and in what role."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.domain.operator import EVERY_SITE, Membership, Operator
from backend.errors import Forbidden, Invalid, NotFound
from backend.pipeline import log_in
from backend.pipeline.transfer import release
from backend.schemas.operator import InvitedOut, OperatorIn, OperatorOut, OperatorPatch, operator_view
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.storage import console_sessions, departments, operators
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.auth import found_site, principal
from backend.web.context import runtime

blueprint = Blueprint("operators", __name__, "Who uses the console, on which sites, and in what role.")

EXAMPLE = {
    "email": "bert@shop.example",
    "name": "Bert",
    "memberships": [{"site": "shop", "role": "operator", "departments": []}],
}


@blueprint.route("/operators", methods=["GET"])
@blueprint.allow("administer")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(OperatorOut))
def list_all_operators(query: Mapping[str, Any]) -> dict[str, Any]:
    """List operators

    Oldest first. An administrator of one site sees who is something on that site.
    """
    after = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = operators.list_operators(conn, site_id=principal().site_id, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], lambda each: operator_view(_seen(each)), operators.place)


@blueprint.route("/operators", methods=["POST"])
@blueprint.allow("administer")
@blueprint.arguments(OperatorIn, example=EXAMPLE)
@blueprint.response(201, InvitedOut)
@blueprint.alt_response(409, "CONFLICT")
def invite_an_operator(body: Mapping[str, Any]) -> dict[str, Any]:
    """Invite an operator

    The answer's `link` is shown this once: by it they choose a password. It works once, and for a week.
    """
    made, text = log_in.invite(runtime(), body["email"], body["name"], _memberships(body["memberships"]))
    return operator_view(made) | {"link": log_in.link_to(runtime(), text)}


@blueprint.route("/operators/<operator_id>", methods=["GET"])
@blueprint.allow("administer")
@blueprint.response(200, OperatorOut)
def show_an_operator(operator_id: str) -> dict[str, Any]:
    """Show an operator"""
    return operator_view(_seen(_found(operator_id)))


@blueprint.route("/operators/<operator_id>", methods=["PATCH"])
@blueprint.allow("administer")
@blueprint.arguments(OperatorPatch, example={"disabled": True})
@blueprint.response(200, InvitedOut)
def change_an_operator(body: Mapping[str, Any], operator_id: str) -> dict[str, Any]:
    """Change an operator

    `memberships` replace those there are. Whoever is disabled, or whose password is reset, is out at once. An
    administrator of one site changes only what operators are on that site.
    """
    rt, found = runtime(), _found(operator_id)
    if set(body) - {"memberships"} and not _mine(found):
        raise Forbidden("They are something on other sites too: only an administrator of every site may change that.")
    with rt.db.begin() as conn:
        if "name" in body:
            operators.rename(conn, found.id, body["name"], rt.clock())
        if "memberships" in body:
            given = _memberships(body["memberships"])
            own = principal().site_id
            kept = [each for each in found.memberships if own is not None and each.site_id != own]
            operators.join(conn, found.id, [*kept, *given])
    if "memberships" in body:
        release(rt, found.id)
    if "disabled" in body:
        log_in.disable(rt, found.id, off=body["disabled"])
    link = log_in.link_to(rt, log_in.reset(rt, found.id)) if body.get("reset") else None
    with rt.db.read() as conn:
        after = operators.find(conn, operator_id)
    assert after is not None
    return operator_view(_seen(after)) | {"link": link}


@blueprint.route("/operators/<operator_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
@blueprint.alt_response(409, "CONFLICT")
def remove_an_operator(operator_id: str) -> None:
    """Remove an operator

    They are disabled for good and lose all memberships; what they said keeps their name. An administrator of one site
    takes away what they are on that site.
    """
    rt, found = runtime(), _found(operator_id)
    own = principal().site_id
    with rt.db.begin() as conn:
        kept = [each for each in found.memberships if own is not None and each.site_id != own]
        operators.join(conn, found.id, kept)
        console_sessions.end_all(conn, found.id)
    if kept:
        release(rt, found.id)
    else:
        log_in.disable(rt, found.id)


def _found(operator_id: str) -> Operator:
    with runtime().db.read() as conn:
        found = operators.find(conn, operator_id)
    own = principal().site_id
    # Whoever is something on every site is nothing that an administrator of one may touch, but they see them listed.
    if found is None or (own is not None and own not in {each.site_id for each in found.memberships}):
        raise NotFound("There is no such operator.")
    return found


def _mine(operator: Operator) -> bool:
    own = principal().site_id
    return own is None or {each.site_id for each in operator.memberships} == {own}


def _seen(operator: Operator) -> Operator:
    """The operator as far as whoever asks may know: what they are on other sites is nobody's business here."""
    own = principal().site_id
    if own is None:
        return operator
    shown = tuple(each for each in operator.memberships if each.site_id in (own, EVERY_SITE))
    return Operator(
        id=operator.id,
        email=operator.email,
        name=operator.name,
        chosen=operator.chosen,
        created_at=operator.created_at,
        disabled_at=operator.disabled_at,
        memberships=shown,
    )


def _memberships(told: Sequence[Mapping[str, Any]]) -> list[Membership]:
    given: dict[str, Membership] = {}
    for place, each in enumerate(told):
        site_id = EVERY_SITE if each["site"] is None else found_site(each["site"]).site.id
        if not principal().reaches(site_id or None):
            raise Forbidden("What holds on every site can be given only by an administrator of every site.")
        if site_id in given:
            raise Invalid("One role a site.", {"memberships": {place: {"site": ["Stands here twice."]}}})
        _check_departments(site_id, each["departments"], place)
        given[site_id] = Membership(site_id=site_id, role=each["role"], departments=tuple(each["departments"]))
    return list(given.values())


def _check_departments(site_id: str, told: Sequence[str], place: int) -> None:
    if not told:
        return
    with runtime().db.read() as conn:
        known = {each.id for each in departments.list_departments(conn, site_id)}
    if set(told) - known:
        raise Invalid("There is no such department.", {"memberships": {place: {"departments": ["Not of this site."]}}})
