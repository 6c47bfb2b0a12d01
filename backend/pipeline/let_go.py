"""The step `let go`: conversations that a site no longer wants to keep go, with their files and mails."""

from datetime import datetime

import structlog

from backend.domain.site import Site
from backend.runtime import Runtime
from backend.storage import attachments, conversations, files, sites, visitors

log = structlog.get_logger(__name__)

AT_ONCE = 50
"""Conversations of a site in one turn, each in a transaction of its own: nobody who writes waits long."""


def let_go(rt: Runtime) -> int:
    """Removes some of what is too old; returns how many conversations."""
    now = rt.clock()
    with rt.db.read() as connection:
        found = sites.all_sites(connection, rt.sites.vault)
    removed = 0
    for site in found:
        if site.policy.conversation.keep is not None:
            removed += _let_go(rt, site, now - site.policy.conversation.keep)
    if removed:
        log.info("conversations_removed", count=removed)
    return removed


def _let_go(rt: Runtime, site: Site, before: datetime) -> int:
    with rt.db.read() as connection:
        found = conversations.silent_since(connection, site.id, before, AT_ONCE)
    removed = 0
    for each in found:
        with rt.db.begin() as connection:
            conversation = conversations.find(connection, site.id, each.id, lock=True)
            if conversation is None or conversation.last_at >= before:
                continue
            profile = visitors.load_profile(connection, conversation.visitor_id)
            members = {conversation.visitor_id, *(visitors.members_of(profile) if profile is not None else ())}
            for file in attachments.of_conversation(connection, members, conversation):
                if attachments.remove(connection, file.visitor_id, file.id):
                    files.drop(rt.settings.data_dir, file.site_id, file.visitor_id, file.digest)
            conversations.remove(connection, conversation)  # last: what cannot be removed from the disk keeps the rest
        removed += 1
    return removed
