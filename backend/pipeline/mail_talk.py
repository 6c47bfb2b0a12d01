"""The step `mail talk`: a conversation as it stands becomes the mail that carries it on, or none if none is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backend.channels.email.letter import Sender
from backend.channels.email.talk import Line, Talk
from backend.domain.calendar import zone_of
from backend.domain.conversation import Conversation, Part, files_of, stranger_of
from backend.domain.offer import lines
from backend.domain.profile import Profile
from backend.domain.reach import Reach, address_of, receiver_name
from backend.domain.reply_address import LINK_LIFETIME, Link, Mails, reply_address, reply_token, seal_link, seal_mails
from backend.domain.site import Site
from backend.domain.unsubscribe import Subscription, normalised_email
from backend.runtime import Runtime
from backend.settings import Settings
from backend.storage import conversations, mails, operators, parts, unsubscribes, visitors
from backend.storage.database import Connection
from backend.storage.mails import Correspondent, StoredMail

HISTORY = 10
"""Parts from before that a mail repeats."""

NEW = 20
"""Parts that it is about, the latest ones; who writes more of them in a row is read on the page."""


@dataclass(frozen=True, slots=True)
class Postbox:
    """Where this installation's mails come from, and where answers go to: None where nobody takes them in."""

    sender: Sender
    domain: str | None

    @classmethod
    def of(cls, settings: Settings) -> "Postbox":
        """Answers come to the domain of the settings; without one to the sender's, where the listener is on."""
        sender = Sender.of(settings.mail_from, settings.public_url)
        own = sender.domain if settings.mail_in and sender.domain != "localhost" else None
        return cls(sender, settings.mail_reply_domain or own)


def own_addresses(postbox: Postbox) -> set[str]:
    """Addresses that only we write from."""
    return {postbox.sender.address.lower()}


def token_of(rt: Runtime, who: Correspondent) -> str:
    """The token under which a correspondent answers."""
    return reply_token(rt.settings.secret_key, who.site_id, who.conversation_id, who.address)


def address_for(rt: Runtime, connection: Connection, conversation: Conversation, site: Site) -> str | None:
    """The address at which this person may be answered, if one is known and takes mails."""
    profile = visitors.load_profile(connection, conversation.visitor_id)
    if profile is None:
        return None
    found = address_of(profile, site.policy)
    if not isinstance(found, Reach) or found.address is None:
        return None
    address = normalised_email(found.address)
    why = unsubscribes.reason(connection, Subscription.email(site.id, address), rt.sites.vault)
    gone = why == unsubscribes.REFUSED or mails.refused(connection, visitors.members_of(profile), address)
    return None if gone else address


def compose(rt: Runtime, postbox: Postbox, connection: Connection, mail: StoredMail, now: datetime) -> Talk | None:
    """The mail as it is to be written now; None where the visitor has seen it, or it is gone."""
    conversation = conversations.find(connection, mail.site_id, mail.conversation_id)
    site = rt.sites.by_id(mail.site_id)
    if conversation is None or site is None or conversation.seen >= mail.number:
        return None
    if mails.off_since(connection, conversation) is not None:
        return None
    profile = visitors.load_profile(connection, conversation.visitor_id)
    if profile is None or address_for(rt, connection, conversation, site) != mail.address:
        return None
    told = parts.list_parts(connection, conversation, before=mail.number + 1, limit=HISTORY + NEW, kinds=["message"])
    new = [each for each in told if each.author == "operator" and each.number >= mail.first][-NEW:]
    if all(each.deleted_at is not None for each in new):
        return None
    before = [each for each in told if each.number < new[0].number][-HISTORY:]
    speakers = {each.author_id for each in told if each.author == "operator" and each.author_id is not None}
    names = operators.names(connection, speakers)
    domain, called = postbox.domain, site.title or postbox.sender.name or site.name
    link = Link(site_id=site.id, conversation_id=conversation.id, expires_at=mail.created_at + LINK_LIFETIME)
    who = Correspondent(
        site_id=site.id, visitor_id=mail.visitor_id, conversation_id=mail.conversation_id, address=mail.address
    )
    return Talk(
        id=mail.id,
        address=mail.address,
        receiver=receiver_name(profile.traits),
        site=called,
        operator=names.get(new[-1].author_id or "", ""),
        new=[_line(each, names, called) for each in new],
        before=[_line(each, names, called) for each in before],
        link=f"{rt.settings.public_url}/t/{seal_link(rt.settings.secret_key, link)}",
        off=f"{rt.settings.public_url}/m/{seal_mails(rt.settings.secret_key, _mails(conversation))}",
        reply_to=None if domain is None else reply_address(token_of(rt, who), domain),
        earlier=_thread(connection, conversation, mail),
        locale=_locale(profile),
        at=now,
        zone=zone_of(site.timezone),
    )


def _mails(conversation: Conversation) -> Mails:
    return Mails(site_id=conversation.site_id, conversation_id=conversation.id)


def _line(part: Part, names: dict[str, str], called: str) -> Line:
    stranger = stranger_of(part)
    mine = part.author == "visitor" and stranger is None
    files = [str(each.get("name")) for each in files_of(part)]
    title = str(part.content.get("title") or "") if part.author == "rule" else ""
    return Line(
        name=None if mine else stranger or names.get(part.author_id or "") or called,
        text="\n".join(filter(None, (title, part.text, *lines(part.content)))),
        at=part.at,
        files=files[:10],
        taken_back=part.deleted_at is not None,
    )


def _thread(connection: Connection, conversation: Conversation, mail: StoredMail) -> Sequence[str]:
    """The Message-IDs of the thread, in order of time: ours bare, and those of answers in angle brackets."""
    found = [(at, each) for each, at in mails.ids_of(connection, conversation) if each != mail.id]
    for part in parts.list_parts(connection, conversation, limit=50, kinds=["message"]):
        told = part.content.get("mail_id")
        if part.author == "visitor" and isinstance(told, str) and told.startswith("<"):
            found.append((part.at, told))
    ids = [each for _, each in sorted(found, key=lambda each: (each[0], each[1].startswith("<")))]
    return ids if len(ids) <= 20 else [ids[0], *ids[-19:]]


def _locale(profile: Profile) -> str | None:
    return profile.device.locale if profile.device is not None else None
