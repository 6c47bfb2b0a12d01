"""The step `tell`: who looks on learns of a new part at once: the visitor's pages, and the site's operators.

What is told is in SQL already: where Redis is gone, a page and a console find it when they ask again.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from backend.domain.conversation import Conversation, Part, for_visitors
from backend.domain.photo import Face
from backend.pipeline.attach import addressed
from backend.pipeline.hear import Heard
from backend.pipeline.portray import for_pages
from backend.runtime import Runtime
from backend.schemas.conversation import desk_note, page_part
from backend.storage import conversations, operators, parts, visitors

LATELY = timedelta(minutes=1)
MOST_AGAIN = 500
"""Parts that are told once more."""

log = structlog.get_logger(__name__)


def desk_of(site_id: str) -> str:
    """The name under which a site's operators listen."""
    return f"desk:{site_id}"


def seat_of(operator_id: str) -> str:
    """The name under which all consoles of one operator listen."""
    return f"seat:{operator_id}"


def tell(
    rt: Runtime, conversation: Conversation, part: Part, person_id: str, face: Face | None, *, again: bool = False
) -> None:
    """Tells of a part that the operator with this face added, or (`again`) changed."""
    publish(rt, _notes(rt, conversation, part, person_id, face, again=again))


def tell_heard(rt: Runtime, heard: Iterable[Heard]) -> None:
    """Tells of parts that visitors added."""
    publish(rt, [note for each in heard for note in _notes(rt, each.conversation, each.part, each.person_id, None)])


def tell_again(rt: Runtime) -> int:
    """Tells what was said just now once more, where whoever wrote it may have died before it told; returns how much.

    Pages and consoles know parts by their numbers: what they were told already changes nothing.
    """
    with rt.db.read() as connection:
        found = parts.said_since(connection, rt.clock() - LATELY, MOST_AGAIN)
        whose = sorted({each.visitor_id for each in found})
        talks = {each.id: each for each in conversations.of_visitors(connection, whose, 10 * MOST_AGAIN)}
        profiles = visitors.load(connection, whose)
        faces = operators.faces(connection, {each.author_id for each in found if each.author_id is not None})
    notes: list[tuple[str, Mapping[str, Any]]] = []
    for part in found:
        conversation, stored = talks.get(part.conversation_id), profiles.get(part.visitor_id)
        if conversation is not None and stored is not None:
            person_id, face = stored.merged_into or part.visitor_id, faces.get(part.author_id or "")
            notes += _notes(rt, conversation, part, person_id, face)
    publish(rt, notes)
    return len(found)


def tell_changed(rt: Runtime, conversation: Conversation, person_id: str) -> None:
    """Tells how far both sides have read."""
    notes = _marks(conversation, person_id)
    publish(rt, [(desk_of(conversation.site_id), {"event": "marks", "data": notes[0][1]["data"]}), *notes])


def _marks(conversation: Conversation, person_id: str) -> list[tuple[str, Mapping[str, Any]]]:
    """How far both sides have read, and whether it is over, for the pages of this person."""
    data = {
        "conversation_id": conversation.id,
        "read": conversation.read,
        "seen": conversation.seen,
        "state": "closed" if conversation.state == "closed" else "open",
    }
    note = {"event": "marks", "anonymous_id": conversation.anonymous_id, "data": data}
    return [(each, note) for each in {person_id, conversation.visitor_id}]


def tell_typing(rt: Runtime, conversation: Conversation, person_id: str | None, name: str | None) -> None:
    """Tells that somebody is typing: an operator (to the pages of this person), or (None) the visitor."""
    data = {"conversation_id": conversation.id, "by": "visitor" if person_id is None else "operator", "name": name}
    notes: list[tuple[str, Mapping[str, Any]]] = [(desk_of(conversation.site_id), {"event": "typing", "data": data})]
    if person_id is not None:
        note = {"event": "typing", "anonymous_id": conversation.anonymous_id, "data": data}
        notes.extend((each, note) for each in {person_id, conversation.visitor_id})
    publish(rt, notes)


def _notes(
    rt: Runtime, conversation: Conversation, part: Part, person_id: str, face: Face | None, *, again: bool = False
) -> list[tuple[str, Mapping[str, Any]]]:
    data = desk_note(conversation, part) | {"again": again}
    data["part"] = addressed(rt, data["part"])
    notes: list[tuple[str, Mapping[str, Any]]] = [(desk_of(conversation.site_id), {"event": "part", "data": data})]
    if for_visitors(part):
        # A token has no name for visitors.
        shown = for_pages(rt, face) if face is not None and part.author_id is not None else None
        told = addressed(rt, page_part(part, shown))
        note = {"event": "part", "anonymous_id": conversation.anonymous_id, "data": told}
        notes.extend((each, note) for each in {person_id, conversation.visitor_id})
    elif part.content.get("event") == "state":
        notes.extend(_marks(conversation, person_id))
    return notes


def publish(rt: Runtime, notes: list[tuple[str, Mapping[str, Any]]]) -> None:
    """Publishes notes; where nobody can be told now, that is logged and nothing more."""
    try:
        rt.live.publish(notes)
    except Exception as error:
        log.warning("bell_failed", reason=str(error)[:200])
