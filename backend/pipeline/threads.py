"""The step `threads`: which conversations a browser may see, and how far its visitor has read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.domain.conversation import Conversation, Part
from backend.domain.photo import Face
from backend.errors import NotFound
from backend.pipeline.portray import for_pages
from backend.pipeline.show import Viewer
from backend.pipeline.tell import tell_changed
from backend.runtime import Runtime
from backend.storage import conversations, operators, parts, visitors
from backend.storage.database import Connection

MOST = 20
"""Conversations that a page is told of, the latest ones."""

PARTS = 50
"""Parts of each that it is told at first."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation with its latest parts, and the faces of the operators who speak in it, by id."""

    conversation: Conversation
    parts: Sequence[Part]
    faces: dict[str, Face]

    @property
    def unread(self) -> int:
        """How many of these parts the visitor has not seen."""
        seen = self.conversation.seen
        return sum(1 for each in self.parts if each.number > seen and each.author != "visitor")


def threads(rt: Runtime, who: Viewer) -> list[Thread]:
    """The conversations that this viewer may see, the latest first."""
    with rt.db.read() as connection:
        found = visible(connection, who)[:MOST]
        told = [(each, parts.list_parts(connection, each, limit=PARTS, kinds=["message"])) for each in found]
        speakers = {each.author_id for _, group in told for each in group if each.author == "operator"}
        speakers |= {each.assignee_id for each, _ in told}
        found_faces = operators.faces(connection, {each for each in speakers if each is not None})
    faces = {operator_id: for_pages(rt, each) for operator_id, each in found_faces.items()}
    return [Thread(conversation, group, faces) for conversation, group in told]


def see(rt: Runtime, who: Viewer, conversation_id: str, number: int) -> Conversation:
    """Notes how far this viewer has read; NotFound where it is none of theirs."""
    with rt.db.begin() as connection:
        found = next((each for each in visible(connection, who) if each.id == conversation_id), None)
        if found is None:
            raise NotFound("There is no such conversation.")
        changed = conversations.see(connection, found, number)
        person_id = visitors.person_of(connection, found.visitor_id)
    found = replace(found, seen=max(found.seen, min(number, found.last)))
    if changed:
        tell_changed(rt, found, person_id)
    return found


def standing(rt: Runtime, who: Viewer) -> list[dict[str, Any]]:
    """Where this viewer's conversations stand, the latest first: what a page needs to see that it missed something."""
    with rt.db.read() as connection:
        found = visible(connection, who)[:MOST]
        numbers = parts.told(connection, found)
    return [
        {
            "id": each.id,
            "state": "closed" if each.state == "closed" else "open",
            "last": numbers[each.id][0],
            "unread": numbers[each.id][1],
            "seen": each.seen,
            "read": each.read,
        }
        for each in found
        if each.id in numbers
    ]


def visible(connection: Connection, who: Viewer) -> list[Conversation]:
    """The conversations that this viewer may see, the latest first."""
    found = [
        each
        for profile in who.profiles(connection)
        for each in conversations.of_visitors(connection, visitors.members_of(profile), MOST)
        if who.may_see(each.anonymous_id) and who.may_read(profile, each.visitor_id)
    ]
    return sorted(found, key=lambda each: (each.last_at, each.id), reverse=True)
