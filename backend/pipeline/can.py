"""The verb `can`: replies are put by for operators to call up, changed and thrown away."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from backend.domain.canned_reply import MOST, CannedReply
from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.runtime import Runtime
from backend.storage import canned_replies


def can(rt: Runtime, site: Site, shortcut: str, text: str) -> CannedReply:
    """A new reply, of what `CannedReplyIn` loaded; Conflict where its shortcut is taken, or there are too many."""
    with rt.db.begin() as connection:
        if len(canned_replies.list_replies(connection, site.id, limit=MOST)) >= MOST:
            raise Conflict(f"A site has at most {MOST:,} canned replies.")
        return canned_replies.create(connection, site.id, shortcut, text, rt.clock())


def change(rt: Runtime, site: Site, reply_id: str, changes: Mapping[str, Any]) -> CannedReply:
    """The reply with its new shortcut or text. NotFound, Conflict."""
    with rt.db.begin() as connection:
        found = canned_replies.find(connection, site.id, reply_id)
        if found is None:
            raise NotFound("There is no such canned reply.")
        changed = replace(found, **changes)
        canned_replies.change(connection, changed, rt.clock())
    return replace(changed, shortcut=changed.shortcut.lower())


def throw_away(rt: Runtime, site: Site, reply_id: str) -> None:
    """Removes the reply. NotFound."""
    with rt.db.begin() as connection:
        if not canned_replies.remove(connection, site.id, reply_id):
            raise NotFound("There is no such canned reply.")
