"""A conversation in the console: what was said in it, in which state it is, and who answers."""

from datetime import datetime
from typing import Any

from flask import make_response, request
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.conversation import EDITABLE_FOR, LONGEST_TAG, MOST_TAGS, PRIORITIES, STATES, Conversation, Part
from backend.domain.site import Site
from backend.errors import Invalid, NotFound
from backend.pipeline import converse
from backend.pipeline.transfer import transfer
from backend.storage import conversations, departments, parts
from backend.storage.database import Connection
from backend.web.console import composer, guard, held, people, shell
from backend.web.console.inbox import asked, whole
from backend.web.console.shell import blueprint, page
from backend.web.context import runtime

SHOWN = 60
"""Parts that are shown at first; the ones before come when they are asked for."""


@blueprint.get("/<site>/inbox/<conversation_id>")
@guard.allow("read")
def conversation(conversation_id: str, *, site: Site) -> BaseResponse:
    """The conversation; within the whole page, where htmx does not ask for a piece."""
    values = _whole(site, conversation_id)
    people.looked(site, [values["talk"].visitor_id], "conversation")
    if shell.partial():
        return make_response(page("console/_thread.html", look=asked(), **values))
    return whole(site, **values)


@blueprint.get("/<site>/inbox/<conversation_id>/parts")
@guard.allow("read")
def some_parts(conversation_id: str, *, site: Site) -> str:
    """The parts behind `after`, those before `before`, or the one of this `number`."""
    number = request.args.get("number", type=int)
    after, before = request.args.get("after", 0, type=int), request.args.get("before", type=int)
    if number is not None:
        after, before = number - 1, number + 1
    with runtime().db.read() as connection:
        talk = _found(connection, site, conversation_id)
        found = parts.list_parts(connection, talk, after=after, before=before, limit=SHOWN if before else 200)
        values = _naming(connection, site, talk, found)
    if before is not None:
        people.looked(site, [talk.visitor_id], "conversation")
    return page("console/_parts.html", talk=talk, parts=found, earlier=bool(found) and found[0].number > 1, **values)


@blueprint.get("/<site>/inbox/<conversation_id>/head")
@guard.allow("read")
def head(conversation_id: str, *, site: Site) -> str:
    """Whose it is, in which state, and what can be done with it."""
    return _head(site, conversation_id)


@blueprint.post("/<site>/inbox/<conversation_id>/change")
@guard.allow("record")
def change(conversation_id: str, *, site: Site) -> str:
    """Changes state, assignee, department, priority or tags, with a note why; answers the head as it is then."""
    transfer(runtime(), site, conversation_id, _changes(), guard.speaker(), request.form.get("note", ""))
    return _head(site, conversation_id)


@blueprint.post("/<site>/inbox/<conversation_id>/read")
@guard.allow("record")
def read(conversation_id: str, *, site: Site) -> BaseResponse:
    """Notes that it was read up to a part."""
    converse.mark_read(runtime(), site, conversation_id, request.form.get("number", 0, type=int))
    return make_response("", 204)


@blueprint.post("/<site>/inbox/<conversation_id>/parts/<int:number>")
@guard.allow("record")
def rewrite(conversation_id: str, number: int, *, site: Site) -> str:
    """Puts another text into one's own part, or takes it back where the field `back` says so."""
    if "back" in request.form:
        changed = converse.take_back(runtime(), site, conversation_id, number, guard.speaker())
    else:
        body = request.form.get("body", "")
        changed = converse.edit(runtime(), site, conversation_id, number, body, guard.speaker())
    with runtime().db.read() as connection:
        talk = _found(connection, site, conversation_id)
        values = _naming(connection, site, talk, [changed])
    return page("console/_parts.html", talk=talk, parts=[changed], earlier=False, **values)


def _changes() -> dict[str, Any]:
    told, changes = request.form, dict[str, Any]()
    if "state" in told:
        if told["state"] not in STATES:
            raise Invalid("There is no such state.")
        changes["state"] = told["state"]
    if "until" in told:
        try:
            until = datetime.fromisoformat(told["until"])
        except ValueError:
            raise Invalid("This is no time.") from None
        if until.tzinfo is None:
            raise Invalid("This time lacks its zone.")
        changes |= {"state": "snoozed", "snoozed_until": until}
    if "assignee" in told:
        changes["assignee_id"] = guard.seat().id if told["assignee"] == "me" else told["assignee"] or None
    if "department" in told:
        changes["department_id"] = told["department"] or None
    if "priority" in told:
        if told["priority"] not in PRIORITIES:
            raise Invalid("There is no such priority.")
        changes["priority"] = told["priority"]
    if "tags" in told:
        tags = [" ".join(each.split()) for each in told["tags"].split(",")]
        tags = [each for each in dict.fromkeys(tags) if each]
        if len(tags) > MOST_TAGS or any(len(each) > LONGEST_TAG or not each.isprintable() for each in tags):
            raise Invalid(f"At most {MOST_TAGS} tags of {LONGEST_TAG} characters.")
        changes["tags"] = tags
    return changes


def _head(site: Site, conversation_id: str) -> str:
    with runtime().db.read() as connection:
        talk = _found(connection, site, conversation_id)
        values = _beside(connection, site, talk)
    return page("console/_head.html", talk=talk, look=asked(), **values)


def _whole(site: Site, conversation_id: str) -> dict[str, Any]:
    with runtime().db.read() as connection:
        talk = _found(connection, site, conversation_id)
        found = parts.list_parts(connection, talk, limit=SHOWN)
        values = _naming(connection, site, talk, found) | _beside(connection, site, talk)
    return {"talk": talk, "parts": found, "earlier": bool(found) and found[0].number > 1, **values}


def _naming(connection: Connection, site: Site, talk: Conversation, found: list[Part]) -> dict[str, Any]:
    """What parts need to be shown: who spoke, what departments are called, which are one's own to change."""
    me, now = guard.seat().id, runtime().clock()
    faces = people.speakers(connection, talk, found)
    return {
        "names": {operator_id: each.name for operator_id, each in faces.items()},
        "photos": {operator_id: each.photo for operator_id, each in faces.items()},
        "groups": {each.id: each.name for each in departments.list_departments(connection, site.id)},
        "mine": {
            each.number
            for each in found
            if each.author == "operator"
            and each.author_id == me
            and each.kind != "event"
            and each.deleted_at is None
            and now - each.at <= EDITABLE_FOR
        },
        "person": people.persons(connection, [talk.visitor_id])[talk.visitor_id],
        "files": held.files,
        "offers": held.offers,
        "worded": lambda part: held.worded(part, me),
    }


def _beside(connection: Connection, site: Site, talk: Conversation) -> dict[str, Any]:
    return {
        "person": people.persons(connection, [talk.visitor_id])[talk.visitor_id],
        "colleagues": people.colleagues(connection, site),
        **composer.limits(connection, site),
        "departments": departments.list_departments(connection, site.id),
        "priorities": PRIORITIES,
    }


def _found(connection: Connection, site: Site, conversation_id: str) -> Conversation:
    found = conversations.find(connection, site.id, conversation_id)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found
