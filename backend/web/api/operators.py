"""`/api/v1/operators`: who uses the console, on which sites, and in what role."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request

from backend.domain.operator import EVERY_SITE, Membership, Operator
from backend.domain.photo import LARGEST
from backend.pipeline import log_in, portray, staff
from backend.schemas.operator import InvitedOut, OperatorIn, OperatorOut, OperatorPatch, PhotoOut, operator_view
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.storage import operators
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.auth import found_site, principal
from backend.web.context import runtime

blueprint = Blueprint("operators", __name__, "Who uses the console, on which sites, and in what role.")

EXAMPLE = {
    "email": "bert@shop.example",
    "name": "Bert",
    "memberships": [{"site": "shop", "role": "operator", "departments": [], "capacity": 10}],
}


@blueprint.route("/operators", methods=["GET"])
@blueprint.allow("administer")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(OperatorOut))
def list_all_operators(query: Mapping[str, Any]) -> dict[str, Any]:
    """List operators

    Oldest first. An administrator of one site sees who is something on that site.
    """
    own, after = principal().site_id, read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = operators.list_operators(conn, site_id=own, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], lambda each: _view(staff.seen(own, each)), operators.place)


@blueprint.route("/operators", methods=["POST"])
@blueprint.allow("administer")
@blueprint.arguments(OperatorIn, example=EXAMPLE)
@blueprint.response(201, InvitedOut)
@blueprint.alt_response(409, "CONFLICT")
def invite_an_operator(body: Mapping[str, Any]) -> dict[str, Any]:
    """Invite an operator

    The answer's `link` is shown this once: by it they choose a password. It works once, and for a week.
    """
    given = _memberships(body["memberships"])
    made, text = staff.invite(runtime(), principal().site_id, body["email"], body["name"], given)
    return _view(made) | {"link": log_in.link_to(runtime(), text)}


@blueprint.route("/operators/<operator_id>", methods=["GET"])
@blueprint.allow("administer")
@blueprint.response(200, OperatorOut)
def show_an_operator(operator_id: str) -> dict[str, Any]:
    """Show an operator"""
    return _view(staff.find(runtime(), principal().site_id, operator_id))


@blueprint.route("/operators/<operator_id>", methods=["PATCH"])
@blueprint.allow("administer")
@blueprint.arguments(OperatorPatch, example={"disabled": True})
@blueprint.response(200, InvitedOut)
def change_an_operator(body: Mapping[str, Any], operator_id: str) -> dict[str, Any]:
    """Change an operator

    `memberships` replace those there are. Whoever is disabled, or whose password is reset, is out at once. An
    administrator of one site changes only what operators are on that site.
    """
    rt = runtime()
    after, text = staff.change(
        rt,
        principal().site_id,
        operator_id,
        name=body.get("name"),
        given=_memberships(body["memberships"]) if "memberships" in body else None,
        disabled=body.get("disabled"),
        reset=bool(body.get("reset")),
    )
    return _view(after) | {"link": None if text is None else log_in.link_to(rt, text)}


@blueprint.route("/operators/<operator_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
@blueprint.alt_response(409, "CONFLICT")
def remove_an_operator(operator_id: str) -> None:
    """Remove an operator

    They are shut out and lose all memberships, until they are invited again; what they said keeps their name. An
    administrator of one site takes away what they are on that site.
    """
    staff.remove(runtime(), principal().site_id, operator_id)


@blueprint.route("/operators/<operator_id>/photo", methods=["PUT"])
@blueprint.allow("administer")
@blueprint.described(
    requestBody={
        "description": "The picture itself: JPEG, PNG or WebP, 200 kB, 1024 pixels a side; square ones look best.",
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
)
@blueprint.response(200, PhotoOut)
def give_an_operator_a_photo(operator_id: str) -> dict[str, Any]:
    """Give an operator a photo

    Visitors and colleagues see it beside their name, and it lies open to everybody who knows its address. Where they
    are something on other sites too, only an administrator of every site may.
    """
    rt = runtime()
    found = staff.wholly(rt, principal().site_id, operator_id)
    request.max_content_length = LARGEST + 1
    return {"photo": portray.address_of(rt, portray.portray(rt, found.id, request.get_data(cache=False)))}


@blueprint.route("/operators/<operator_id>/photo", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def take_an_operators_photo_away(operator_id: str) -> None:
    """Take an operator's photo away

    Its address leads nowhere at once; browsers that have seen it may keep it.
    """
    rt = runtime()
    portray.hide(rt, staff.wholly(rt, principal().site_id, operator_id).id)


def _view(operator: Operator) -> dict[str, Any]:
    return operator_view(operator, portray.address_of(runtime(), operator.photo))


def _memberships(told: Sequence[Mapping[str, Any]]) -> list[Membership]:
    return [
        Membership(
            site_id=EVERY_SITE if each["site"] is None else found_site(each["site"]).site.id,
            role=each["role"],
            departments=tuple(each["departments"]),
            capacity=each["capacity"],
        )
        for each in told
    ]
