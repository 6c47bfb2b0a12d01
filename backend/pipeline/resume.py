"""The verb `resume`: whoever holds a private link reads a conversation and goes on in it, without script or cookie."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.conversation import LONGEST_TEXT, SENT, Conversation, Part
from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.reply_address import unseal_link
from backend.domain.site import Site
from backend.errors import Invalid, NotFound, TooManyRequests
from backend.pipeline.mail_in import HOUR
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.storage import conversations, mail_counts, operators, parts, visitors

SHOWN = 100
"""Parts that the page shows, the latest ones."""

MOST_AN_HOUR = 60


@dataclass(frozen=True, slots=True)
class Resumed:
    """A conversation as its private page shows it; `names` are the operators' by id."""

    site: Site
    conversation: Conversation
    parts: Sequence[Part]
    names: dict[str, str]
    profile: Profile


def resume(rt: Runtime, token: str) -> Resumed:
    """What a private link leads to; NotFound for one that is made up, too old, or of somebody who was erased."""
    link = unseal_link(rt.settings.secret_key, token)
    site = None if link is None or link.expires_at <= rt.clock() else rt.sites.by_id(link.site_id)
    if link is None or site is None:
        raise NotFound("This link leads nowhere.")
    with rt.db.read() as connection:
        conversation = conversations.find(connection, link.site_id, link.conversation_id)
        profile = None if conversation is None else visitors.load_profile(connection, conversation.visitor_id)
        if conversation is None or profile is None:
            raise NotFound("This link leads nowhere.")
        told = parts.list_parts(connection, conversation, limit=SHOWN, kinds=["message"])
        speakers = {each.author_id for each in told if each.author == "operator" and each.author_id is not None}
        return Resumed(site, conversation, told, operators.names(connection, speakers), profile)


def answer(rt: Runtime, token: str, text: str, key: str) -> str:
    """Says something there, as the visitor; the same `key` again says nothing new. The id of the part that it becomes.

    Raises NotFound, Invalid for an empty text, TooManyRequests, and Unavailable.
    """
    found = resume(rt, token)
    told = text.replace("\r\n", "\n").replace("\0", "").strip()[:LONGEST_TEXT]
    if not told:
        raise Invalid("There is nothing in it.", {"body": ["Must not be empty."]})
    part_id = derive("link", token, key[:100])
    if mail_counts.add(rt.redis, f"link:{found.conversation.id}", part_id, HOUR) > MOST_AN_HOUR:
        raise TooManyRequests("Too many answers in one hour.", retry_after=600)
    properties = {"message_body": told, "conversation_id": found.conversation.id}
    if not send_signals(rt, found.site.id, SENT, None, [(found.profile, part_id, properties)]):
        raise NotFound("This link leads nowhere.")
    return part_id


def is_heard(rt: Runtime, token: str, part_id: str) -> bool:
    """Whether what was said has become a part."""
    conversation = resume(rt, token).conversation
    with rt.db.read() as connection:
        return bool(parts.known(connection, [conversation.visitor_id], [part_id]))
