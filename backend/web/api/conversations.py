"""`/api/v1/sites/{site}/conversations`: what visitors and the site say to each other."""

from collections.abc import Mapping
from typing import Any

from flask import request

from backend.domain.attachment import LARGEST, told_of
from backend.domain.conversation import Conversation
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline import converse
from backend.pipeline.attach import address_of, addressed, attach
from backend.pipeline.converse import Speaker
from backend.pipeline.hint import operator_types
from backend.pipeline.transfer import transfer
from backend.schemas.conversation import (
    AttachmentOut,
    AttachmentQuery,
    ConversationIn,
    ConversationOut,
    ConversationPatch,
    ConversationQuery,
    PartIn,
    PartOut,
    PartPatch,
    PartQuery,
    PartsOut,
    ReadIn,
    SpokenOut,
    conversation_view,
    part_view,
)
from backend.schemas.page import page_of, read_cursor
from backend.storage import conversations, parts
from backend.storage.visitors import members_of
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import listed, looked
from backend.web.api.paging import page
from backend.web.api.visitors import visitor_of
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("conversations", __name__, "What visitors and the site say to each other.")


@blueprint.route("/sites/<site>/conversations", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(ConversationQuery, location="query")
@blueprint.response(200, page_of(ConversationOut))
def list_all_conversations(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List conversations

    Those first where something was said last. `q` finds words in whatever was said or noted.
    """
    before = read_cursor(query.get("cursor"), int, str)
    try:
        members = members_of(visitor_of(site, query["visitor"])) if "visitor" in query else None
    except NotFound:  # a filter that nothing fits is no mistake
        return {"items": [], "next_cursor": None}
    assignee = query.get("assignee")
    with runtime().db.read() as conn:
        found = conversations.list_conversations(
            conn,
            site.id,
            state=query.get("state"),
            assignee_id=None if assignee == "none" else assignee,
            unassigned=assignee == "none",
            department_ids=[query["department"]] if "department" in query else None,
            tag=query.get("tag"),
            visitor_ids=members,
            words=query.get("q"),
            limit=query["limit"] + 1,
            before=before,
        )
    listed(site, [each.visitor_id for each in found[: query["limit"]]], query)
    return page(found, query["limit"], conversation_view, conversations.place)


@blueprint.route("/sites/<site>/conversations", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(ConversationIn, example={"visitor": "VISITOR_ID", "body": "May I help you to find something?"})
@blueprint.response(201, SpokenOut)
def begin_a_conversation(body: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """Begin a conversation

    The visitor's page shows it at once.
    """
    begun = converse.start(runtime(), site, body["visitor"], body["body"], _speaker(), body.get("id"))
    return {"conversation": conversation_view(begun[0]), "part": part_view(begun[1])}


@blueprint.route("/sites/<site>/conversations/<conversation_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, ConversationOut)
def show_a_conversation(conversation_id: str, *, site: Site) -> dict[str, Any]:
    """Show a conversation"""
    return conversation_view(_conversation(site, conversation_id))


@blueprint.route("/sites/<site>/conversations/<conversation_id>", methods=["PATCH"])
@blueprint.allow("record")
@blueprint.arguments(ConversationPatch, example={"state": "snoozed", "snoozed_until": "2030-01-01T09:00:00Z"})
@blueprint.response(200, ConversationOut)
def change_a_conversation(body: Mapping[str, Any], conversation_id: str, *, site: Site) -> dict[str, Any]:
    """Change a conversation

    Its state, assignee, department, priority or tags. What somebody says opens it again. Whom it is given to must be
    an operator of the site who may answer.
    """
    return conversation_view(transfer(runtime(), site, conversation_id, body, _speaker()))


@blueprint.route("/sites/<site>/conversations/<conversation_id>/parts", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PartQuery, location="query")
@blueprint.response(200, PartsOut)
def list_parts_of_a_conversation(query: Mapping[str, Any], conversation_id: str, *, site: Site) -> dict[str, Any]:
    """List the parts of a conversation

    The latest ones, in order; `before` the number of the first of them come the ones before.
    """
    conversation = _conversation(site, conversation_id)
    limit, after = query["limit"], query.get("after", 0)
    with runtime().db.read() as conn:
        found = parts.list_parts(conn, conversation, after=after, before=query.get("before"), limit=limit + 1)
    looked(site, "read", [conversation.visitor_id])
    told = [addressed(runtime(), part_view(each)) for each in found[-limit:]]
    return {"items": told, "more": len(found) > limit}


@blueprint.route("/sites/<site>/conversations/<conversation_id>/parts", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(PartIn, example={"body": "It is in stock again."})
@blueprint.response(201, SpokenOut)
def answer_in_a_conversation(body: Mapping[str, Any], conversation_id: str, *, site: Site) -> dict[str, Any]:
    """Answer, or note something

    The same `id` again adds nothing: so an answer whose reply got lost can be sent again.
    """
    conversation, part = converse.say(
        runtime(),
        site,
        conversation_id,
        body["body"],
        _speaker(),
        kind=body["kind"],
        part_id=body.get("id"),
        attached=body["attachments"],
        products=body["products"],
    )
    return {"conversation": conversation_view(conversation), "part": part_view(part)}


@blueprint.route("/sites/<site>/conversations/<conversation_id>/parts/<int:number>", methods=["PATCH"])
@blueprint.allow("record")
@blueprint.arguments(PartPatch, example={"body": "It is in stock again, in red too."})
@blueprint.response(200, PartOut)
@blueprint.alt_response(409, "CONFLICT")
def edit_a_part(body: Mapping[str, Any], conversation_id: str, number: int, *, site: Site) -> dict[str, Any]:
    """Edit a part

    Its author may, within 15 minutes.
    """
    return part_view(converse.edit(runtime(), site, conversation_id, number, body["body"], _speaker()))


@blueprint.route("/sites/<site>/conversations/<conversation_id>/parts/<int:number>", methods=["DELETE"])
@blueprint.allow("record")
@blueprint.response(204)
@blueprint.alt_response(409, "CONFLICT")
def take_a_part_back(conversation_id: str, number: int, *, site: Site) -> None:
    """Take a part back

    Its author may, within 15 minutes: its place stays, its text is gone.
    """
    converse.take_back(runtime(), site, conversation_id, number, _speaker())


@blueprint.route("/sites/<site>/conversations/<conversation_id>/read", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(ReadIn, example={"number": 3})
@blueprint.response(200, ConversationOut)
def mark_a_conversation_read(body: Mapping[str, Any], conversation_id: str, *, site: Site) -> dict[str, Any]:
    """Mark a conversation as read

    Up to the part of this number.
    """
    return conversation_view(converse.mark_read(runtime(), site, conversation_id, body["number"]))


@blueprint.route("/sites/<site>/conversations/<conversation_id>/attachments", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(AttachmentQuery, location="query")
@blueprint.described(
    requestBody={
        "description": "The file itself: an image, a PDF, plain text, or an office document without macros; 10 MB.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
)
@blueprint.response(201, AttachmentOut)
def send_a_file(query: Mapping[str, Any], conversation_id: str, *, site: Site) -> dict[str, Any]:
    """Send a file

    It is known by its content, and said with the answer that names its id among its `attachments`, within a day.
    """
    conversation = _conversation(site, conversation_id)
    request.max_content_length = LARGEST + 1
    made = attach(runtime(), site.id, conversation.visitor_id, query["name"], request.get_data(cache=False))
    return told_of(made) | {"url": address_of(runtime(), made.id, made.name)}


@blueprint.route("/sites/<site>/conversations/<conversation_id>/typing", methods=["POST"])
@blueprint.allow("record")
@blueprint.response(204)
def tell_that_somebody_is_typing(conversation_id: str, *, site: Site) -> None:
    """Tell that somebody is typing

    The visitor's page shows it for some seconds; nothing is kept.
    """
    speaker = _speaker()
    operator_types(runtime(), site, conversation_id, None if speaker.id is None else speaker.name)


def _conversation(site: Site, conversation_id: str) -> Conversation:
    with runtime().db.read() as conn:
        found = conversations.find(conn, site.id, conversation_id)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


def _speaker() -> Speaker:
    return Speaker(None, principal().name)
