"""The step `note`: what befell a conversation, as a part that operators read and visitors do not see."""

from collections.abc import Mapping
from typing import Any

from backend.domain.conversation import Said, having, numbered
from backend.pipeline.tell import tell
from backend.runtime import Runtime
from backend.storage import conversations, parts, visitors


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
        part = numbered(conversation, said)
        conversation = having(conversation, part)
        conversations.save(connection, conversation)
        parts.insert(connection, part)
        profile = visitors.load_profile(connection, conversation.visitor_id)
    tell(rt, conversation, part, conversation.visitor_id if profile is None else profile.id, None)
    return True
