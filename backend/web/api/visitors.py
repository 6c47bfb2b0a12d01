"""`/api/v1/sites/{site}/visitors`: who was here, and everything that is known of them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from flask import Response
from marshmallow import Schema, ValidationError, fields

from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.standing import Standings
from backend.runtime import Runtime
from backend.schemas.enrolment import EnrolmentOut, enrolment_view
from backend.schemas.export import ExportOut
from backend.schemas.message import MessageOut, message_view
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.stored_event import EventOut, event_view
from backend.schemas.visitor import VisitorOut, visitor_view
from backend.schemas.webhook import WebhookOut, webhook_view
from backend.storage import enrolments, events, messages, segments, visitors, webhooks
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.context import runtime

blueprint = Blueprint("visitors", __name__, "Who was here, and everything that is known of them.")

EXPORT_CHUNK = 500

Item = TypeVar("Item")


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

    Last seen first. `anonymous_id` and `user_id` find the one visitor that they belong to.
    """
    after = read_cursor(query.get("cursor"), int, str)
    filters = {name: query.get(name) for name in ("anonymous_id", "user_id", "email", "stage")}
    stage, stages = query.get("stage"), site.funnel.names
    if stage is not None and stage not in stages:
        known_ones = ", ".join(stages)
        told = f"There is no stage {quoted(stage)}; there are {known_ones}.{nearest(stage, stages)}"
        raise ValidationError({"stage": [told]})
    with runtime().db.read() as conn:
        known = segments.known(conn, site.id)
        if "segment" in query:
            filters["segment"] = _segment(query["segment"], known)
        found = visitors.find(conn, site.id, **filters, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], lambda profile: visitor_view(profile, site.currency, known), visitors.cursor_of)


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
    profile = visitor_of(site, visitor_id)
    return visitor_view(profile, site.currency, _names(runtime(), site))


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

    Everything that is kept of them, as one file.
    """
    profile = visitor_of(site, visitor_id)
    headers = {"Content-Disposition": f'attachment; filename="visitor-{profile.id}.json"'}
    return Response(_export(runtime(), site, profile), mimetype="application/json", headers=headers)


@blueprint.route("/sites/<site>/visitors/<visitor_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def erase_a_visitor(visitor_id: str, *, site: Site) -> None:
    """Erase a visitor

    With their events, messages, webhooks and enrolments. There is no way back; an export can be made before.
    """
    with runtime().db.begin() as conn:
        if not _is_id(visitor_id) or not visitors.erase(conn, site.id, visitor_id):
            raise NotFound("There is no such visitor.")


def visitor_of(site: Site, visitor_id: str) -> Profile:
    """The site's visitor with this id, or the one it was merged into; NotFound where there is none."""
    profile = None
    if _is_id(visitor_id):
        with runtime().db.read() as conn:
            profile = visitors.load_profile(conn, visitor_id)
    if profile is None or profile.site_id != site.id:
        raise NotFound("There is no such visitor.")
    return profile


def _names(rt: Runtime, site: Site) -> Mapping[str, str]:
    """The names of the site's segments by id."""
    with rt.db.read() as conn:
        return segments.known(conn, site.id)


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def _export(rt: Runtime, site: Site, profile: Profile) -> Iterator[str]:
    """The export in pieces: a long history need not be in memory twice."""
    members = visitors.members_of(profile)
    yield '{"visitor": ' + _json(VisitorOut().dump(visitor_view(profile, site.currency, _names(rt, site))))

    def _events(before: Any) -> Sequence[Any]:
        with rt.db.read() as conn:
            return events.list_events(conn, members, EXPORT_CHUNK, before)

    def _messages(before: Any) -> Sequence[Any]:
        with rt.db.read() as conn:
            return messages.list_messages(conn, site.id, visitor_ids=members, limit=EXPORT_CHUNK, before=before)

    def _enrolments(before: Any) -> Sequence[Any]:
        with rt.db.read() as conn:
            return enrolments.list_enrolments(conn, members, EXPORT_CHUNK, before)

    yield from _list("events", _events, events.cursor_of, event_view, EventOut())
    yield from _list("messages", _messages, messages.cursor_of, message_view, MessageOut())

    def _webhooks(before: Any) -> Sequence[Any]:
        with rt.db.read() as conn:
            return webhooks.list_webhooks(conn, site.id, visitor_ids=members, limit=EXPORT_CHUNK, before=before)

    yield from _list("webhooks", _webhooks, webhooks.cursor_of, webhook_view, WebhookOut())
    yield from _list("enrolments", _enrolments, enrolments.cursor_of, enrolment_view, EnrolmentOut())
    yield "}"


def _list(
    name: str,
    read: Callable[[Any], Sequence[Item]],
    place: Callable[[Item], Any],
    view: Callable[[Item], Mapping[str, Any]],
    schema: Schema,
) -> Iterator[str]:
    yield f', "{name}": ['
    before, first = None, True
    while found := read(before):
        for item in found:
            yield ("" if first else ", ") + _json(schema.dump(view(item)))
            first = False
        before = place(found[-1])
    yield "]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
