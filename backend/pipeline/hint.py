"""The step `hint`: the other side learns that somebody is typing; nothing of it is kept."""

from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.show import Viewer
from backend.pipeline.tell import tell_typing
from backend.pipeline.threads import visible
from backend.runtime import Runtime
from backend.storage import conversations, visitors


def visitor_types(rt: Runtime, who: Viewer, conversation_id: str) -> None:
    """Tells the operators that this viewer is typing; NotFound where the conversation is none of theirs."""
    with rt.db.read() as connection:
        found = next((each for each in visible(connection, who) if each.id == conversation_id), None)
    if found is None:
        raise NotFound("There is no such conversation.")
    tell_typing(rt, found, None, None)


def operator_types(rt: Runtime, site: Site, conversation_id: str, name: str | None) -> None:
    """Tells the visitor's pages that the operator of this name (None: somebody) is typing; NotFound."""
    with rt.db.read() as connection:
        found = conversations.find(connection, site.id, conversation_id)
        if found is None:
            raise NotFound("There is no such conversation.")
        person_id = visitors.person_of(connection, found.visitor_id)
    tell_typing(rt, found, person_id, name)
