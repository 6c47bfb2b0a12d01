"""`/api/v1/sites/{site}/canned-replies`: texts that operators call up by a slash and a shortcut."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline import can
from backend.schemas.operator import CannedRepliesOut, CannedReplyIn, CannedReplyOut, CannedReplyPatch
from backend.storage import canned_replies
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("canned_replies", __name__, "Texts that operators call up by a slash and a shortcut.")


@blueprint.route("/sites/<site>/canned-replies", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, CannedRepliesOut)
def list_all_canned_replies(*, site: Site) -> dict[str, Any]:
    """List canned replies"""
    with runtime().db.read() as conn:
        return {"items": canned_replies.list_replies(conn, site.id)}


@blueprint.route("/sites/<site>/canned-replies", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(CannedReplyIn)
@blueprint.response(201, CannedReplyOut)
@blueprint.alt_response(409, "CONFLICT")
def create_a_canned_reply(body: Mapping[str, Any], *, site: Site) -> Any:
    """Create a canned reply

    Its text is Liquid: `{{ first_name | default: "there" }}` is filled in when an operator takes it.
    """
    return can.can(runtime(), site, body["shortcut"], body["text"])


@blueprint.route("/sites/<site>/canned-replies/<reply_id>", methods=["PATCH"])
@blueprint.allow("record")
@blueprint.arguments(CannedReplyPatch, example={"text": "It is in stock again."})
@blueprint.response(200, CannedReplyOut)
@blueprint.alt_response(409, "CONFLICT")
def change_a_canned_reply(body: Mapping[str, Any], reply_id: str, *, site: Site) -> Any:
    """Change a canned reply"""
    return can.change(runtime(), site, reply_id, body)


@blueprint.route("/sites/<site>/canned-replies/<reply_id>", methods=["DELETE"])
@blueprint.allow("record")
@blueprint.response(204)
def remove_a_canned_reply(reply_id: str, *, site: Site) -> None:
    """Remove a canned reply"""
    can.throw_away(runtime(), site, reply_id)
