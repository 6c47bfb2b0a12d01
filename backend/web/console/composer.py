"""What an operator says in a conversation: text with files and products of the catalogue, notes with mentions."""

import json
from typing import Any

from flask import jsonify, make_response, request
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.attachment import LARGEST, MOST_IN_A_PART, told_of
from backend.domain.canned_reply import filled_in
from backend.domain.conversation import Conversation
from backend.domain.site import Site
from backend.domain.template import template_context
from backend.errors import Invalid, NotFound, TooLarge, TooManyRequests
from backend.pipeline import converse
from backend.pipeline.attach import attach
from backend.pipeline.hint import operator_types
from backend.pipeline.suggest import suggest
from backend.storage import canned_replies, conversations, visitors
from backend.storage.database import Connection
from backend.web.console import guard, held, people
from backend.web.console.shell import blueprint, page
from backend.web.context import runtime
from backend.web.throttle import Throttle

ACCEPTED = "image/png,image/jpeg,image/gif,image/webp,.pdf,.txt,.csv,.md,.log,.docx,.xlsx,.pptx,.odt,.ods,.odp"
"""What the picker of files offers; what is taken is decided by content."""

_typing = Throttle(1)
"""What one operator tells of their typing."""


@blueprint.post("/<site>/inbox/<conversation_id>/say")
@guard.allow("record")
def say(conversation_id: str, *, site: Site) -> BaseResponse:
    """Adds an answer or a note; sent again under the same id it is one."""
    told = request.form
    kind = "note" if told.get("kind") == "note" else "message"
    part_id = told.get("id") or None
    if part_id is not None and not (8 <= len(part_id) <= 64 and part_id.replace("-", "").isalnum()):
        raise Invalid("The id is none.")
    attached = list(dict.fromkeys(told.getlist("files")))
    if len(attached) > MOST_IN_A_PART:
        raise Invalid(f"At most {MOST_IN_A_PART} files in one message.")
    converse.say(
        runtime(),
        site,
        conversation_id,
        told.get("body", ""),
        guard.speaker(),
        kind=kind,
        part_id=part_id,
        attached=attached,
        products=list(dict.fromkeys(told.getlist("products"))),
    )
    return make_response("", 204)


@blueprint.post("/<site>/inbox/<conversation_id>/files")
@guard.allow("record")
def send_file(conversation_id: str, *, site: Site) -> BaseResponse:
    """Takes a file (the body, as it is; `name` in the query), to be said with the next answer or note."""
    request.max_content_length = LARGEST + 1
    if (request.content_length or 0) > LARGEST:
        raise TooLarge(f"A file may have {LARGEST // 2**20} MB.")
    rt = runtime()
    with rt.db.read() as connection:
        talk = _found(connection, site, conversation_id)
    made = attach(rt, site.id, talk.visitor_id, request.args.get("name", "")[:500], request.get_data(cache=False))
    told = told_of(made) | {"address": held.address(made.id, made.name), "shown": held.size(made.size)}
    return make_response(jsonify(told), 201)


@blueprint.post("/<site>/inbox/<conversation_id>/typing")
@guard.allow("record")
def typing(conversation_id: str, *, site: Site) -> BaseResponse:
    """Tells the visitor, and colleagues, that the operator is typing an answer; nothing is kept."""
    if seconds := _typing.wait(f"{site.id} {guard.seat().id}"):
        raise TooManyRequests("Once in a few seconds is enough.", retry_after=seconds)
    operator_types(runtime(), site, conversation_id, guard.seat().name)
    return make_response("", 204)


@blueprint.get("/<site>/inbox/<conversation_id>/products")
@guard.allow("read")
def products(conversation_id: str, *, site: Site) -> str:
    """Products of the catalogue that may be of use here, or (`q`) those that have all these words."""
    words = " ".join(request.args.get("q", "").split())[:100]
    with runtime().db.read() as connection:
        talk = _found(connection, site, conversation_id)
        profile = visitors.load_profile(connection, talk.visitor_id)
        found = [] if profile is None else suggest(connection, site, profile, words)
    people.looked(site, [talk.visitor_id], "card")
    listed = [(each["product_id"], held.shown(each)) for each in found]
    return page("console/_products.html", listed=listed, words=words)


@blueprint.get("/<site>/inbox/<conversation_id>/canned")
@guard.allow("read")
def canned(conversation_id: str, *, site: Site) -> BaseResponse:
    """The canned replies whose shortcut begins with `q`, filled in for this visitor."""
    rt = runtime()
    with rt.db.read() as connection:
        talk = _found(connection, site, conversation_id)
        found = canned_replies.list_replies(connection, site.id, request.args.get("q", "")[:40], 8)
        profile = visitors.load_profile(connection, talk.visitor_id) if found else None
    context: dict[str, Any] = {}
    if profile is not None:
        context = template_context(profile, None, site.name, site.currency)
    context |= {"operator": {"name": guard.seat().name}}
    told = []
    for each in found:
        text, problem = filled_in(each.text, context)
        told.append({"shortcut": each.shortcut, "text": text, "problem": problem})
    return make_response(jsonify(told))


def limits(connection: Connection, site: Site) -> dict[str, Any]:
    """What the composer knows: the colleagues who can be mentioned here (as JSON), and which files are taken."""
    me = guard.seat().id
    listed = [{"id": each.id, "name": each.name} for each in people.colleagues(connection, site) if each.id != me]
    return {
        "mentionable": json.dumps(listed, ensure_ascii=False),
        "largest": LARGEST,
        "most_files": MOST_IN_A_PART,
        "accepted": ACCEPTED,
    }


def _found(connection: Connection, site: Site, conversation_id: str) -> Conversation:
    found = conversations.find(connection, site.id, conversation_id)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found
