"""`/api/v1/sites/{site}/segments`: visitors under a name, kept up to date by what happens and as time passes."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from backend.domain.condition import read_condition
from backend.domain.engine.membership import ADDED, REMOVED
from backend.domain.identity import derive
from backend.domain.mistakes import Mistakes
from backend.domain.site import Site
from backend.errors import Conflict
from backend.pipeline import define
from backend.pipeline.measure import measure
from backend.pipeline.signals import send_signals
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.segment import (
    EXAMPLE,
    MemberOut,
    MembersIn,
    MembersOut,
    PreviewIn,
    PreviewOut,
    SegmentIn,
    SegmentOut,
)
from backend.storage import segments, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.segments import StoredSegment
from backend.web.api.blueprint import Blueprint, body_doc, object_body
from backend.web.api.looks import listed
from backend.web.api.paging import page
from backend.web.context import runtime
from backend.web.shown import views

blueprint = Blueprint("segments", __name__, "Visitors under a name, kept up to date.")

_BODY = body_doc(
    SegmentIn,
    "A segment. What GET answers can be sent back as it is; a `version` that is not the current one is refused.",
    EXAMPLE,
)


@blueprint.route("/sites/<site>/segments", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(SegmentOut))
def list_all_segments(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List segments

    Oldest first, each with its size.
    """
    after = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = segments.list_segments(conn, site.id, limit=query["limit"] + 1, after=after)
        views = _views(conn, site, found)
    return page(found, query["limit"], lambda each: views[each.id], segments.place)


@blueprint.route("/sites/<site>/segments", methods=["POST"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(201, SegmentOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def create_a_segment(*, site: Site) -> dict[str, Any]:
    """Create a segment

    Its condition is in the language of rules, about `profile.` fields, `performed`, and other segments. Visitors come
    into it and leave it with the event, or at the moment, that changes the answer: leaving "bought within 30 days"
    needs no event. Who was here before it existed is asked about what they did then: `building` tells until that is
    done, and nobody enters by it, so that no rule starts. With `"manual": true` it is a list kept by hand.

    Rules use it as a condition `{"segment": ID}`, as a trigger `{"segment": ID}` (entered) or
    `{"segment": ID, "change": "left"}`, and in `{"broadcast": {"segment": ID}}`. ID is its id or its name.
    """
    return _saved(site, define.create(runtime(), site, object_body()))


@blueprint.route("/sites/<site>/segments/<segment_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, SegmentOut)
def get_a_segment(segment_id: str, *, site: Site) -> dict[str, Any]:
    """Get a segment

    By its id or its name.
    """
    with runtime().db.read() as conn:
        stored = define.present(segments.get_segment(conn, site.id, segment_id))
        return _views(conn, site, [stored])[stored.id]


@blueprint.route("/sites/<site>/segments/<segment_id>", methods=["PUT"])
@blueprint.allow("rules")
@blueprint.described(requestBody=_BODY)
@blueprint.response(200, SegmentOut)
@blueprint.alt_response(409, "CONFLICT")
@blueprint.alt_response(422, "UNPROCESSABLE_ENTITY")
def replace_a_segment(segment_id: str, *, site: Site) -> dict[str, Any]:
    """Replace a segment

    Another condition is asked of everybody anew (`building`); who belongs to it by both stays a member since when they
    were, and no rule starts by the change. A name that rules or other segments refer to cannot be changed (409).
    """
    return _saved(site, define.replace(runtime(), site, segment_id, object_body()))


@blueprint.route("/sites/<site>/segments/<segment_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
@blueprint.alt_response(409, "CONFLICT")
def delete_a_segment(segment_id: str, *, site: Site) -> None:
    """Delete a segment

    One that a rule or another segment refers to stays (409, which names them).
    """
    define.remove(runtime(), site, segment_id)


@blueprint.route("/sites/<site>/segments/<segment_id>/visitors", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(MemberOut))
def list_members_of_a_segment(query: Mapping[str, Any], segment_id: str, *, site: Site) -> dict[str, Any]:
    """List a segment's visitors

    Who came last first.
    """
    after = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        stored = define.present(segments.get_segment(conn, site.id, segment_id))
        found = segments.list_members(conn, stored.id, query["limit"] + 1, after)
        profiles = visitors.load(conn, [visitor_id for visitor_id, _ in found])
        found = [each for each in found if each[0] in profiles]  # without who was erased between the two
    listed(site, [visitor_id for visitor_id, _ in found[: query["limit"]]], {"segment": stored.id})
    shown = views(runtime(), site)

    def view(member: tuple[str, Any]) -> dict[str, Any]:
        profile = profiles[member[0]].profile
        standing = profile.segments.get(stored.id)
        left_at = standing.left_at if standing is not None else None
        return {**shown(profile), "entered_at": member[1], "left_at": left_at}

    return page(found, query["limit"], view, segments.member_place)


@blueprint.route("/sites/<site>/segments/preview", methods=["POST"])
@blueprint.allow("read")
@blueprint.arguments(PreviewIn, example={"condition": EXAMPLE["condition"]})
@blueprint.response(200, PreviewOut)
def preview_a_segment(body: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Count before saving

    For how many visitors does this condition hold now? Every visitor is asked, so that with a million it takes a while.
    """
    rt = runtime()
    with rt.db.read() as conn:
        mistakes = Mistakes(segments.known(conn, site.id))
    condition = read_condition(body["condition"], ("condition",), mistakes, entered=False, lasting=True)
    mistakes.raise_if_any()
    assert condition is not None
    now = rt.clock()
    size, total = measure(rt, site, condition, now)
    return {"size": size, "visitors": total, "at": now}


@blueprint.route("/sites/<site>/segments/<segment_id>/members", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(MembersIn, example={"visitors": ["VISITOR_ID"]})
@blueprint.response(202, MembersOut)
@blueprint.alt_response(409, "CONFLICT")
def add_members(body: Mapping[str, Any], segment_id: str, *, site: Site) -> dict[str, Any]:
    """Put visitors on a list

    Only where the segment is kept by hand. Each takes effect in its turn, like an event, and starts the rules that wait
    for it; who is a member already stays one.
    """
    return _tell(site, segment_id, ADDED, body["visitors"])


@blueprint.route("/sites/<site>/segments/<segment_id>/members", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.arguments(MembersIn, example={"visitors": ["VISITOR_ID"]})
@blueprint.response(202, MembersOut)
@blueprint.alt_response(409, "CONFLICT")
def remove_members(body: Mapping[str, Any], segment_id: str, *, site: Site) -> dict[str, Any]:
    """Take visitors off a list

    As putting them on it.
    """
    return _tell(site, segment_id, REMOVED, body["visitors"])


def _tell(site: Site, segment_id: str, name: str, ids: list[str]) -> dict[str, Any]:
    rt = runtime()
    with rt.db.read() as conn:
        stored = define.present(segments.get_segment(conn, site.id, segment_id))
        if not stored.document["manual"]:
            raise Conflict("This segment is not kept by hand: its members follow from its condition.")
        profiles = {each: visitors.load_profile(conn, each) for each in dict.fromkeys(ids)}
    found = [each for each in profiles.values() if each is not None and each.site_id == site.id]
    request = uuid4().hex
    told = [(each, derive(name, stored.id, each.id, request), {"segment_id": stored.id}) for each in found]
    accepted = send_signals(rt, site.id, name, None, told)
    missing = [key for key, each in profiles.items() if each is None or each.site_id != site.id]
    return {"accepted": accepted, "not_found": missing}


def _saved(site: Site, done: define.Defined) -> dict[str, Any]:
    """The segment as it stands now, and what speaks against it where anything does."""
    with runtime().db.read() as conn:
        view = _views(conn, site, [done.stored])[done.stored.id]
    return view | ({"warnings": done.warnings} if done.warnings else {})


def _views(conn: Connection, site: Site, found: list[StoredSegment]) -> dict[str, dict[str, Any]]:
    """Each segment as `SegmentOut` dumps it, by id."""
    sizes, built = segments.sizes(conn, [each.id for each in found]), sweeps.built(conn, site.id)
    return {
        each.id: {
            **each.document,
            "id": each.id,
            "version": each.version,
            "size": sizes[each.id],
            "building": not each.document["manual"] and each.revision > built,
            "created_at": each.created_at,
            "updated_at": each.updated_at,
        }
        for each in found
    }
