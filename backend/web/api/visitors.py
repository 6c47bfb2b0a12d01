"""`/api/v1/sites/{site}/visitors`: who was here, and everything that is known of them."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Response, request
from marshmallow import ValidationError, fields

from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import access
from backend.pipeline.erase import erase
from backend.pipeline.standing import Standings
from backend.schemas.enrolment import EnrolmentOut, enrolment_view
from backend.schemas.export import ExportOut
from backend.schemas.message import MessageOut, message_view
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.stored_event import EventOut, event_view
from backend.schemas.visitor import VisitorOut
from backend.storage import enrolments, events, messages, segments, visitor_lists, visitors
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import listed, looked, reader
from backend.web.api.paging import page
from backend.web.context import runtime
from backend.web.exported import export_lines, export_whole
from backend.web.shown import view_of, views

blueprint = Blueprint("visitors", __name__, "Who was here, and everything that is known of them.")

LINES = "application/x-ndjson"


class VisitorQuery(PageQuery):
    """Which visitors to list."""

    anonymous_id = fields.String(metadata={"description": "The id that the page made."})
    user_id = fields.String(metadata={"description": "The id that identify gave."})
    email = fields.String(metadata={"example": "ada@example.com"})
    stage = fields.String(metadata={"example": "cart", "description": "One of the site's stages."})
    segment = fields.String(metadata={"description": "The id or the name of a segment: its members."})


@blueprint.route("/sites/<site>/visitors", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(VisitorQuery, location="query")
@blueprint.response(200, page_of(VisitorOut))
def list_all_visitors(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List visitors

    Last seen first. `anonymous_id` and `user_id` find the one visitor that they belong to. Without them or `email`,
    favourite categories and brands are null: they are found among the events of each, which are not read for so many.
    """
    after = read_cursor(query.get("cursor"), int, str)
    filters = {name: query.get(name) for name in ("anonymous_id", "user_id", "email", "stage")}
    stage, stages = query.get("stage"), site.funnel.names
    if stage is not None and stage not in stages:
        known_ones = ", ".join(stages)
        told = f"There is no stage {quoted(stage)}; there are {known_ones}.{nearest(stage, stages)}"
        raise ValidationError({"stage": [told]})
    with runtime().db.read() as conn:
        if "segment" in query:
            filters["segment"] = _segment(query["segment"], segments.known(conn, site.id))
        found = visitor_lists.find(conn, site.id, **filters, limit=query["limit"] + 1, after=after)
    listed(site, [profile.id for profile in found[: query["limit"]]], query)
    if any(query.get(name) for name in ("anonymous_id", "user_id", "email")):
        return page(found, query["limit"], partial(view_of, runtime(), site), visitor_lists.cursor_of)
    return page(found, query["limit"], views(runtime(), site), visitor_lists.cursor_of)


def _segment(reference: str, known: Mapping[str, str]) -> str:
    mistakes = Mistakes(known)
    found = mistakes.segment(reference, ("segment",))
    mistakes.raise_if_any()
    assert found is not None
    return found[0]


@blueprint.route("/sites/<site>/visitors/<visitor_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, VisitorOut)
def get_a_visitor(visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Get a visitor

    An id that was merged into another finds the visitor that it belongs to now.
    """
    return view_of(runtime(), site, visitor_of(site, visitor_id))


@blueprint.route("/sites/<site>/visitors/<visitor_id>/events", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(EventOut))
def list_events_of_a_visitor(query: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """List a visitor's events

    Newest first, by their timestamp.
    """
    members = visitors.members_of(visitor_of(site, visitor_id))
    before = read_cursor(query.get("cursor"), int, int)
    with runtime().db.read() as conn:
        found = events.list_events(conn, members, query["limit"] + 1, before)
    return page(found, query["limit"], event_view, events.cursor_of)


@blueprint.route("/sites/<site>/visitors/<visitor_id>/messages", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(MessageOut))
def list_messages_of_a_visitor(query: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """List a visitor's messages

    Newest first.
    """
    members = visitors.members_of(visitor_of(site, visitor_id))
    before = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = messages.list_messages(conn, site.id, visitor_ids=members, limit=query["limit"] + 1, before=before)
    return page(found, query["limit"], message_view, messages.cursor_of)


@blueprint.route("/sites/<site>/visitors/<visitor_id>/enrolments", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(EnrolmentOut))
def list_enrolments_of_a_visitor(query: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """List a visitor's enrolments

    Newest first: which rules they entered, in which version, where they stand in them, and how that ended.
    """
    members = visitors.members_of(visitor_of(site, visitor_id))
    before = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = enrolments.list_enrolments(conn, members, query["limit"] + 1, before)
        standings = Standings(conn)
        return page(found, query["limit"], lambda each: enrolment_view(each, standings.of(each)), enrolments.cursor_of)


@blueprint.route("/sites/<site>/visitors/<visitor_id>/export", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, ExportOut)
def export_a_visitor(visitor_id: str, *, site: Site) -> Response:
    """Export a visitor

    Everything that is kept of them, as one file: the profile with its identifiers, events, messages, webhooks,
    enrolments, what was merged, their answers about consent, the segments they are and were in, and who looked at them.
    With `Accept: application/x-ndjson` one line each, as `{"kind": "event", …}`.
    """
    rt = runtime()
    profile = visitor_of(site, visitor_id, "export")
    access.bring_in(rt)
    lines = request.accept_mimetypes.best == LINES
    name = f"visitor-{profile.id}.{'jsonl' if lines else 'json'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    told = export_lines(rt, site, profile) if lines else export_whole(rt, site, profile)
    return Response(told, mimetype=LINES if lines else "application/json", headers=headers)


@blueprint.route("/sites/<site>/visitors/<visitor_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def erase_a_visitor(visitor_id: str, *, site: Site) -> None:
    """Erase a visitor

    With everything that is kept of them. There is no way back; an export can be made before. They stay erased: of
    their ids and addresses a keyed hash is kept, by which late events and retries are known and dropped. What happened
    later under the same ids is dropped too, until they come back of their own accord: an `identify` with a user id that
    happened after the erasure begins somebody new.
    """
    if not _is_id(visitor_id) or not erase(runtime(), site.id, visitor_id, reader()):
        raise NotFound("There is no such visitor.")


def visitor_of(site: Site, visitor_id: str, action: str = "read") -> Profile:
    """The site's visitor with this id, or the one it was merged into; NotFound where there is none.

    Whoever asks is about to see them, and that is noted.
    """
    profile = None
    if _is_id(visitor_id):
        with runtime().db.read() as conn:
            profile = visitors.load_profile(conn, visitor_id)
    if profile is None or profile.site_id != site.id:
        raise NotFound("There is no such visitor.")
    looked(site, action, [profile.id])
    return profile


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None
