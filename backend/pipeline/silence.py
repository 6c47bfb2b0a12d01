"""The verb `silence`: whoever gets the mails of a conversation turns them off, and on again; operators are told."""

from backend.domain.conversation import Conversation
from backend.domain.identity import derive
from backend.domain.profile import Profile
from backend.domain.reply_address import unseal_mails
from backend.domain.site import Site
from backend.errors import NotFound
from backend.pipeline.note import note
from backend.runtime import Runtime
from backend.storage import conversations, mails, visitors


def silenced(rt: Runtime, token: str) -> tuple[Site, Profile, bool]:
    """Whose mails a link turns off, and whether they are off. NotFound for one that leads nowhere."""
    site, conversation, profile = _found(rt, token)
    with rt.db.read() as connection:
        return site, profile, mails.off_since(connection, conversation) is not None


def silence(rt: Runtime, token: str, *, off: bool = True) -> tuple[Site, Profile]:
    """From now on no mails of the conversation leave, those that wait neither; `off` false takes it back. NotFound.

    Doing it again changes nothing. Nothing that is said turns them on again. Returns whose mails they are.
    """
    site, conversation, profile = _found(rt, token)
    now = rt.clock()
    with rt.db.begin() as connection:
        changed = mails.turn(connection, conversation, now if off else None)
    if changed:
        event = "mails_off" if off else "mails_on"
        content = {"event": event}
        note(rt, conversation.site_id, conversation.id, derive(event, conversation.id, now.isoformat()), content)
    return site, profile


def _found(rt: Runtime, token: str) -> tuple[Site, Conversation, Profile]:
    told = unseal_mails(rt.settings.secret_key, token)
    site = None if told is None else rt.sites.by_id(told.site_id)
    if told is None or site is None:
        raise NotFound("This link leads nowhere.")
    with rt.db.read() as connection:
        conversation = conversations.find(connection, told.site_id, told.conversation_id)
        profile = None if conversation is None else visitors.load_profile(connection, conversation.visitor_id)
    if conversation is None or profile is None:
        raise NotFound("This link leads nowhere.")
    return site, conversation, profile
