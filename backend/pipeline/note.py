"""The step `note`: what befell a conversation, as a part that operators read and visitors do not see."""

from collections.abc import Mapping
from typing import Any

from backend.domain.conversation import Conversation, Part, Said, having, numbered
from backend.pipeline.tell import tell
from backend.runtime import Runtime
from backend.storage import conversations, parts, visitors
from backend.storage.database import Connection


def add(connection: Connection, conversation: Conversation, said: Said) -> tuple[Conversation, Part]:
    """Writes what was said as the next part of a conversation, which begins with it where it has none yet."""
    part = numbered(conversation, said)
    after = having(conversation, part)
    if conversation.last:
        conversations.save(connection, after)
    else:
        conversations.insert(connection, [after])
    parts.insert(connection, part)
    return after, part


def note(
    rt: Runtime, site_id: str, conversation_id: str, part_id: str, content: Mapping[str, Any], text: str = ""
) -> bool:
    """Adds an event of this id, once, and tells the operators; False where the conversation is gone or knows it."""
    with rt.db.begin() as connection:
        conversation = conversations.find(connection, site_id, conversation_id, lock=True)
        if conversation is None or parts.find(connection, conversation.visitor_id, part_id) is not None:
            return False
        said = Said(
            id=part_id,
            author="system",
            kind="event",
            text=text,
            at=rt.clock(),
            channel="email",
            content=content,
        )
        conversation, part = add(connection, conversation, said)
        person_id = visitors.person_of(connection, conversation.visitor_id)
    tell(rt, conversation, part, person_id, None)
    return True
