"""`/api/v1/sites/{site}/segments`: visitors under a name, kept up to date by what happens and as time passes."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from backend.domain.condition import read_condition
from backend.domain.engine.membership import ADDED, REMOVED
from backend.domain.funnel import Funnel, segments_of
from backend.domain.identity import derive
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.segment import MOST_SEGMENTS, Segment, SegmentSpec, asking_back, note_circle, parse_segment
from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.pipeline.check import doubts_of_segment
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
from backend.storage import rules, segments, sweeps, visitors
from backend.storage.database import Connection
from backend.storage.segments import StoredSegment
from backend.storage.sites import get_site
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
    rt, body = runtime(), object_body()
    with rt.db.begin() as conn:
        spec = parse_segment(body, segments.known(conn, site.id, lock=True))
        if len(segments.known(conn, site.id)) >= MOST_SEGMENTS:
            raise Conflict(f"A site has at most {MOST_SEGMENTS} segments.")
        stored = segments.create_segment(conn, site.id, spec, rt.clock())
        return _saved(conn, site, stored)


@blueprint.route("/sites/<site>/segments/<segment_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, SegmentOut)
def get_a_segment(segment_id: str, *, site: Site) -> dict[str, Any]:
    """Get a segment

    By its id or its name.
    """
    with runtime().db.read() as conn:
        stored = _present(segments.get_segment(conn, site.id, segment_id))
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
    rt, body = runtime(), object_body()
    if type(body.get("version", 1)) is not int:
        raise RuleErrors({"version": ["Must be a whole number."]})
    with rt.db.begin() as conn:
        stored = _present(segments.get_segment(conn, site.id, segment_id, lock=True))
        if body.get("version", stored.version) != stored.version:
            raise Conflict(f"The segment has changed in the meantime: its version is {stored.version}.")
        known = segments.known(conn, site.id)
        spec = parse_segment(body, {**known, stored.id: str(body.get("name"))})
        if spec.manual is not bool(stored.document["manual"]):
            raise RuleErrors({"manual": ["A list kept by hand stays one, and a condition stays one: make another."]})
        _refuse_circle(conn, site, stored, spec)
        if spec.name != stored.name:
            _refuse_use(conn, site, stored, {stored.name}, "renamed")
        _refuse_stage(conn, site, stored, spec)
        anew = spec.document["condition"] != stored.document["condition"]
        stored = segments.replace_segment(conn, site.id, stored.id, spec, anew=anew, now=rt.clock())
        return _saved(conn, site, stored)


@blueprint.route("/sites/<site>/segments/<segment_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
@blueprint.alt_response(409, "CONFLICT")
def delete_a_segment(segment_id: str, *, site: Site) -> None:
    """Delete a segment

    One that a rule or another segment refers to stays (409, which names them).
    """
    rt = runtime()
    with rt.db.begin() as conn:
        stored = _present(segments.get_segment(conn, site.id, segment_id, lock=True))
        _refuse_use(conn, site, stored, {stored.id, stored.name}, "deleted")
        segments.delete_segment(conn, stored.id, rt.clock())


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
        stored = _present(segments.get_segment(conn, site.id, segment_id))
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
        stored = _present(segments.get_segment(conn, site.id, segment_id))
        if not stored.document["manual"]:
            raise Conflict("This segment is not kept by hand: its members follow from its condition.")
        profiles = {each: visitors.load_profile(conn, each) for each in dict.fromkeys(ids)}
    found = [each for each in profiles.values() if each is not None and each.site_id == site.id]
    request = uuid4().hex
    told = [(each, derive(name, stored.id, each.id, request), {"segment_id": stored.id}) for each in found]
    accepted = send_signals(rt, site.id, name, None, told)
    missing = [key for key, each in profiles.items() if each is None or each.site_id != site.id]
    return {"accepted": accepted, "not_found": missing}


def _present(stored: StoredSegment | None) -> StoredSegment:
    if stored is None:
        raise NotFound("There is no such segment.")
    return stored


def _refuse_use(conn: Connection, site: Site, stored: StoredSegment, names: set[str], done: str) -> None:
    """Conflict where a rule or a segment refers to it by one of these names."""
    users = _stages(conn, site, stored) if done == "deleted" else []
    users += [f'the rule "{rule.document["name"]}"' for rule in rules.referring(conn, site.id, names)]
    users += [
        f'the segment "{other.name}"'
        for other in segments.list_segments(conn, site.id)
        if other.id != stored.id and names & parse_segment(dict(other.document)).referred.keys()
    ]
    if users:
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        raise Conflict(
            f"It cannot be {done}: {', '.join(users[:5])}{more} refer{'s' if len(users) == 1 else ''} to it.",
            {"used_by": users},
        )


def _stages(conn: Connection, site: Site, stored: StoredSegment) -> list[str]:
    """The stages that ask for it."""
    return [f'the stage "{each.name}"' for each in _funnel(conn, site).stages if stored.id in segments_of([each])]


def _funnel(conn: Connection, site: Site) -> Funnel:
    """The site's funnel as it is now."""
    present = get_site(conn, runtime().sites.vault, site.id)
    return present.site.funnel if present is not None else site.funnel


def _refuse_stage(conn: Connection, site: Site, stored: StoredSegment, spec: SegmentSpec) -> None:
    """A mistake where a stage of the site's funnel asks for it, and it would ask for the stage."""
    others = [each.segment() for each in segments.list_segments(conn, site.id) if each.id != stored.id]
    edited = Segment(id=stored.id, site_id=site.id, spec=spec)
    if asking_back(segments_of(_funnel(conn, site).stages), [*others, edited]) is not None:
        told = "The site's stages ask for this segment, so that it cannot ask in which stage somebody is."
        raise RuleErrors({"condition": [told]})


def _refuse_circle(conn: Connection, site: Site, stored: StoredSegment, spec: SegmentSpec) -> None:
    """A mistake with its place where the segment would ask for itself."""
    every, mistakes = segments.list_segments(conn, site.id), Mistakes()
    note_circle([each.segment() for each in every if each.id != stored.id], stored.id, spec, stored.known, mistakes)
    mistakes.raise_if_any()


def _saved(conn: Connection, site: Site, stored: StoredSegment) -> dict[str, Any]:
    """The segment as it stands now, and what speaks against it where anything does."""
    warnings = doubts_of_segment(conn, site, stored.document)
    return _views(conn, site, [stored])[stored.id] | ({"warnings": warnings} if warnings else {})


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
