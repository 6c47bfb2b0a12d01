"""How a mail server's report of what it could not deliver is read: for machines, or in its own words."""

import re
from email.message import Message

from backend.domain.incoming_mail import Failure
from backend.schemas.mail_headers import decoded_header, header

_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_NAMED = re.compile(r"<([^<>\s@]{1,64}@[^<>\s@]{1,255})>")
_BOUNCED = re.compile(
    r"(?i)\b(?:failure notice|undeliver|returned mail|delivery (?:has |status notification )?\(?fail)"
)


def failure_of(mail: Message, reported: Failure | None, sender: str, body: str) -> Failure | None:
    """What this mail says could not be delivered; `reported` is what its part for machines says."""
    if reported is not None:
        return reported
    return _told_failure(mail, body) if is_report(mail) or _is_bounce(mail, sender) else None


def is_report(mail: Message) -> bool:
    """Whether it is a report of a mail server, in parts for people and for machines."""
    return mail.get_content_type() == "multipart/report" and str(mail.get_param("report-type", "")) == "delivery-status"


def _is_bounce(mail: Message, sender: str) -> bool:
    """Whether a mail server tells in its own words that something could not be delivered (Exim, qmail)."""
    if mail.get("x-failed-recipients") is not None:
        return True
    server = sender.lower().startswith(("mailer-daemon@", "postmaster@"))
    return server and _BOUNCED.search(header(mail, "subject")) is not None


def reported_failure(part: Message) -> Failure | None:
    """The first recipient of a delivery status that has failed, else the first."""
    payload = part.get_payload()
    blocks = [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []
    found: list[Failure] = []
    for block in blocks[:50]:
        action = str(block.get("action", "")).strip().lower()[:20]
        recipient = _typed(block.get("original-recipient")) or _typed(block.get("final-recipient"))
        if not action or not recipient:
            continue
        status = _STATUS.search(str(block.get("status", ""))[:100])
        told = _typed(block.get("diagnostic-code"))[:300]
        found.append(Failure(recipient=recipient, action=action, status=status[1] if status else "", told=told))
    return next((each for each in found if each.action == "failed"), next(iter(found), None))


def _told_failure(mail: Message, body: str) -> Failure:
    """A failure that is told to people only: that it failed is sure, for whom is not."""
    status = _STATUS.search(body[:20_000])
    recipient = decoded_header(mail.get("x-failed-recipients", ""))[:320]
    if not recipient and (named := _NAMED.search(body[:20_000])):
        recipient = named[1]
    return Failure(recipient=recipient, action="failed", status=status[1] if status else "", told="")


def _typed(raw: object) -> str:
    """The value behind the type of a field such as `rfc822; ada@shop.example`."""
    return decoded_header(raw or "").partition(";")[2].strip().strip("<>")[:320]
