"""The step `mail in`: a mail to `reply+TOKEN@…` becomes an answer in the conversation of its token, once.

Whose it is the token tells, never `From`. An answer goes through the log like everything that visitors say, under an id
that follows from the token and its Message-ID; when `take` returns, the log has it. What machines send (automatic
replies, our own mails coming back, failures) is noted for the operators instead.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from backend.domain.conversation import LONGEST_TEXT, SENT
from backend.domain.identity import derive
from backend.domain.incoming_mail import IncomingMail, nature_of
from backend.domain.quoted import new_text
from backend.domain.reply_address import is_token, tokens_in
from backend.domain.unsubscribe import normalised_email
from backend.errors import NotFound, TooManyRequests
from backend.pipeline.faults import point
from backend.pipeline.mail_files import keep_files, with_whole_text
from backend.pipeline.mail_out import forget_address
from backend.pipeline.mail_talk import Postbox, own_addresses
from backend.pipeline.note import note
from backend.pipeline.signals import send_signals
from backend.runtime import Runtime
from backend.schemas.incoming_mail import read_mail
from backend.storage import conversations, mail_counts, mails, visitors
from backend.storage.mails import Correspondent

log = structlog.get_logger(__name__)

MOST_AN_HOUR = 30
"""Mails that one conversation takes in an hour: nobody writes more, two machines that answer each other do."""

FLOOD = 2 * MOST_AN_HOUR
"""From then on they are to come again later: they are not even read."""

HOUR = timedelta(hours=1)

NOTED_TEXT = 2_000
"""Characters of an automatic reply that are kept."""


def addressee(rt: Runtime, addresses: Sequence[str]) -> tuple[str, Correspondent] | None:
    """The first token in these addresses that we gave out, and whose it is; None where there is none."""
    for token in tokens_in(addresses):
        with rt.db.read() as connection:
            who = mails.correspondent(connection, rt.sites.vault.digest(token))
        secret = rt.settings.secret_key
        if who is not None and is_token(token, secret, who.site_id, who.conversation_id, who.address):
            return token, who
    return None


def is_flooded(rt: Runtime, conversation_id: str) -> bool:
    """Whether a conversation got so many mails in this hour that further ones have to wait."""
    return mail_counts.count(rt.redis, conversation_id) >= FLOOD


def take(
    rt: Runtime, raw: bytes, recipients: Sequence[str], sender: str | None, *, only: str | None = None
) -> Mapping[str, str]:
    """Takes a mail in; says what it was taken for, and into which conversation.

    `recipients` and `sender` are of the envelope, None where it is not known; then the headers tell. With `only`, the
    id of a site, no other's are looked at. Raises `NotFound` for what is addressed to no conversation, `TooLarge`, and
    `TooManyRequests`, `Unavailable` or the database's own errors where it should be sent again.
    """
    mail = read_mail(raw)
    found = addressee(rt, recipients) or addressee(rt, (*mail.recipients, *mail.returned))
    if found is None or (only is not None and found[1].site_id != only):
        raise NotFound("There is no such address.")
    token, who = found
    with rt.db.read() as connection:
        conversation = conversations.find(connection, who.site_id, who.conversation_id)
        own = {each for each, _ in mails.ids_of(connection, conversation)} if conversation is not None else set()
    if conversation is None:
        raise NotFound("This conversation is gone.")
    nature = nature_of(mail, sender, own, own_addresses(Postbox.of(rt.settings)))
    part_id = derive("mail", token, mail.id or hashlib.sha256(raw).hexdigest())
    written = mail_counts.add(rt.redis, conversation.id, part_id, HOUR)
    if written > FLOOD:
        raise TooManyRequests("Too many mails for this conversation in an hour.", retry_after=3600)
    if written > MOST_AN_HOUR:
        nature = "loop"
    log.info("mail_in", conversation=conversation.id, nature=nature)
    if nature == "answer":
        _answer(rt, who, mail, part_id)
    elif nature in ("failure", "delay"):
        _failed(rt, who, mail, part_id, nature)
    else:
        content = {"event": f"mail_{nature}", **_from(mail), "subject": mail.subject}
        note(rt, who.site_id, who.conversation_id, part_id, content, new_text(mail.text)[:NOTED_TEXT])
    return {"taken": nature, "conversation": conversation.id}


def _answer(rt: Runtime, who: Correspondent, mail: IncomingMail, part_id: str) -> None:
    with rt.db.read() as connection:
        profile = visitors.load_profile(connection, who.visitor_id)
    if profile is None:
        raise NotFound("Whoever this was is gone.")
    told = new_text(mail.text, empty=bool(mail.attached))
    kept, refused = keep_files(rt, who, with_whole_text(mail, told), part_id)
    point("after_mail_files")
    properties: dict[str, Any] = {
        "message_body": told[:LONGEST_TEXT],
        "conversation_id": who.conversation_id,
        "channel": "email",
        "mail_id": mail.id,
        "attachments": kept,
    }
    if not told and not kept:
        properties["message_body"] = mail.subject or ", ".join(each["name"] for each in refused)
    if mail.unnamed:
        refused.append({"name": f"+{mail.unnamed}", "size": 0, "why": "number"})
    if refused:
        properties["refused"] = refused
    if normalised_email(mail.sender) != who.address:
        properties["from"] = _from(mail)["from"]
    if not properties["message_body"] and not kept:
        note(rt, who.site_id, who.conversation_id, part_id, {"event": "mail_empty", **_from(mail)})
    elif not send_signals(rt, who.site_id, SENT, None, [(profile, part_id, properties)]):
        raise NotFound("Whoever this was has no name any more.")
    point("after_mail_taken")


def _failed(rt: Runtime, who: Correspondent, mail: IncomingMail, part_id: str, nature: str) -> None:
    """Tells of a mail that did not arrive; an address at which none ever will is written to no more."""
    assert mail.failure is not None
    failure = mail.failure
    mine = not failure.recipient or normalised_email(failure.recipient) == who.address
    lasts = nature == "failure" and failure.lasts and mine
    content = {"event": "mail_bounced" if nature == "failure" else "mail_delayed", "to": who.address, "lasts": lasts}
    reason = " ".join(filter(None, (failure.status, failure.told)))
    note(rt, who.site_id, who.conversation_id, part_id, content | ({"reason": reason} if reason else {}))
    if lasts:
        forget_address(rt, who.site_id, who.visitor_id, who.conversation_id, who.address)


def _from(mail: IncomingMail) -> dict[str, Any]:
    """Who it says it is from: nobody has looked whether that is true."""
    return {"from": {"name": mail.sender_name, "address": mail.sender}}
