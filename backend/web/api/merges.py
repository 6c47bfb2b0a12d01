"""`/api/v1/sites/{site}/visitors/{id}/merge…`: two visitors who are one person, and back."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline.merge import merge_visitors, preview
from backend.pipeline.unmerge import unmerge
from backend.schemas.merge import (
    MergeIn,
    MergeOut,
    MergeQuery,
    MergeRecordOut,
    UnmergeOut,
    merge_view,
)
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.storage import merges, visitors
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.api.visitors import visitor_of
from backend.web.auth import principal
from backend.web.context import runtime
from backend.web.shown import view_of

blueprint = Blueprint("merges", __name__, "Visitors who are one person, and who turn out not to be.")


@blueprint.route("/sites/<site>/visitors/<visitor_id>/merge", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(MergeQuery, location="query")
@blueprint.arguments(MergeIn)
@blueprint.response(200, MergeOut)
@blueprint.alt_response(409, "CONFLICT")
def merge_a_visitor(query: Mapping[str, Any], body: Mapping[str, str], visitor_id: str, *, site: Site) -> Any:
    """Merge two visitors

    With `?preview=true` it only tells what the person would be and on what the two do not agree. Two who are known by a
    user id become one in no other way. The known one stays, of two alike the one in the address; the other's id leads
    to them from then on, and so do the other's later events. What one of them is in already is not begun again for the
    other: a rule that waits for both ends for one of them (`merged`). It can be undone.
    """
    rt, other = runtime(), body["with_"]
    visitor_of(site, visitor_id)
    asked = query.get("preview") == "true"
    done = preview(rt, site, visitor_id, other) if asked else merge_visitors(rt, site, visitor_id, other, _author())
    return {
        "preview": asked,
        "visitor": view_of(rt, site, done.profile),
        "conflicts": done.differences,
        "merge": None if done.merge is None else merge_view(done.merge),
    }


@blueprint.route("/sites/<site>/visitors/<visitor_id>/merges", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(MergeRecordOut))
def list_merges_of_a_visitor(query: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """List a visitor's merges

    Newest first: who was found to be this person, by what, and what of it was undone.
    """
    members = visitors.members_of(visitor_of(site, visitor_id))
    before = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = merges.list_merges(conn, members, query["limit"] + 1, before)
    return page(found, query["limit"], merge_view, merges.cursor_of)


@blueprint.route("/sites/<site>/visitors/<visitor_id>/merges/<merge_id>/undo", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(200, UnmergeOut)
@blueprint.alt_response(409, "CONFLICT")
def undo_a_merge(visitor_id: str, merge_id: str, *, site: Site) -> dict[str, Any]:
    """Undo a merge

    Also after further events: both are folded again, each from the events that name them, and each gets back what
    waits for them and what was said to them. The browser's next identify does not merge them again, unless it is signed
    anew; a merge by this API does.
    """
    rt = runtime()
    visitor_of(site, visitor_id)
    done = unmerge(rt, site, visitor_id, merge_id, _author())
    return {
        "merge": merge_view(done.merge),
        "visitor": view_of(rt, site, done.kept),
        "freed": None if done.freed is None else view_of(rt, site, done.freed),
    }


def _author() -> str:
    return principal().name
