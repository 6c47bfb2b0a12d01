"""`/api/v1/sites/{site}/messages`: what was said to whom, and how far it came."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.errors import NotFound
from backend.schemas.message import MessageOut, MessageQuery, message_view
from backend.schemas.page import page_of, read_cursor
from backend.storage.messages import cursor_of, list_messages
from backend.storage.visitors import members_of
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import listed
from backend.web.api.paging import page
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("messages", __name__, "What was said to whom, and how far it came.")


@blueprint.route("/sites/<site>/messages", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(MessageQuery, location="query")
@blueprint.response(200, page_of(MessageOut))
def list_all_messages(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List messages

    Newest first.
    """
    before = read_cursor(query.get("cursor"), int, str)
    try:
        members = members_of(visitor_of(site, query["visitor"])) if "visitor" in query else None
    except NotFound:  # a filter that nothing fits is no mistake
        return {"items": [], "next_cursor": None}
    with runtime().db.read() as conn:
        found = list_messages(
            conn,
            site.id,
            rule=query.get("rule"),
            visitor_ids=members,
            channel=query.get("channel"),
            status=query.get("status"),
            limit=query["limit"] + 1,
            before=before,
        )
    listed(site, [each.visitor_id for each in found[: query["limit"]]], query)
    return page(found, query["limit"], message_view, cursor_of)
