"""How a mail is read: any bytes, however broken, become an `IncomingMail`, or are refused as too large a thing."""

import re
from email import message_from_bytes
from email.errors import HeaderParseError, MessageError
from email.message import Message
from email.policy import compat32
from email.utils import getaddresses
from typing import cast

from backend.domain.attachment import plain_name
from backend.domain.incoming_mail import Attached, Failure, IncomingMail
from backend.errors import TooLarge
from backend.schemas.mail_failure import failure_of, is_report, reported_failure
from backend.schemas.mail_headers import LONGEST_HEADER, clean, decoded, decoded_header, header
from backend.schemas.mail_text import text_of_html

LARGEST = 25 * 2**20
"""Bytes of a mail, as sent."""

HEADER_BYTES = 256 * 1024
HEADERS = 1_000
LINES = 600_000
"""A mail of the largest size has 350,000 where all of it is attachments."""

MOST_BOUNDARIES = 2_000
MOST_NESTED = 60
"""Of what may hold further parts; with the boundaries they bound what a reader has to do."""

BODY_BYTES = 300_000
"""Of the text that is looked at; what is longer is cut."""

MOST_ATTACHED = 20
MOST_NAMED = 50
"""Files of which the name is read; the content only of the first `MOST_ATTACHED`."""

_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"})
"""Parts that no person attached."""

_NESTING = re.compile(rb"(?i)(?:multipart/|message/)")
_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_AUTOMATIC = (
    ("auto-submitted", re.compile(r"(?i)\s*(?!no\b)\S")),
    ("precedence", re.compile(r"(?i)\s*(bulk|junk|list|auto_reply|auto-reply)")),
    *((name, re.compile(r"\S")) for name in ("x-autoreply", "x-autorespond", "list-id", "list-unsubscribe")),
    ("x-auto-response-suppress", re.compile(r"(?i).*\b(all|oof|autoreply)\b")),
    ("x-ms-exchange-inbox-rules-loop", re.compile(r"\S")),
)


def read_mail(raw: bytes) -> IncomingMail:
    """The mail; raises `TooLarge` for one with too many bytes, headers or parts, and nothing else whatever it holds."""
    _bounded(raw)
    try:
        mail = message_from_bytes(raw, policy=compat32)
        return _read(mail)
    except (
        RecursionError,
        MessageError,
        HeaderParseError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        IndexError,
    ):
        # The library's own way to say that it cannot be read; who sent it may still be told apart.
        return _bare(raw)


def _bounded(raw: bytes) -> None:
    if len(raw) > LARGEST:
        raise TooLarge(f"A mail may have {LARGEST // 2**20} MB.")
    head = re.split(rb"\r?\n\r?\n", raw[: HEADER_BYTES + 4], maxsplit=1)[0]
    if len(head) > HEADER_BYTES or head.count(b"\n") > HEADERS:
        raise TooLarge("A mail may have 1,000 lines of headers.")
    if raw.count(b"\n") > LINES or raw.count(b"\n--") > MOST_BOUNDARIES or len(_NESTING.findall(raw)) > MOST_NESTED:
        raise TooLarge("This mail has too many parts.")


def _read(mail: Message) -> IncomingMail:
    plain: list[str] = []
    html: list[str] = []
    attached: list[Attached] = []
    room = BODY_BYTES
    failure: Failure | None = None
    returned: list[str] = []
    unnamed = 0
    for part in _parts(mail):
        kind = part.get_content_type()
        if kind == "message/delivery-status":
            failure = failure or reported_failure(part)
        elif kind in ("message/rfc822", "text/rfc822-headers"):
            returned += _returned(part)
            if not is_report(mail) and len(attached) < MOST_NAMED:
                attached.append(_forwarded(part))
        elif kind in ("text/plain", "text/html") and not _is_file(part):
            if room > 0:
                text = _text(part)[:room]
                room -= len(text)
                (plain if kind == "text/plain" else html).append(text)
        elif not part.is_multipart() and kind not in _SIGNATURES:
            unnamed += len(attached) >= MOST_NAMED
            if len(attached) < MOST_NAMED:
                attached.append(_attached(part, kept=len(attached) < MOST_ATTACHED))
    body = "\n".join(plain) if any(each.strip() for each in plain) else "\n".join(map(text_of_html, html))
    name, sender = _from(mail)
    return IncomingMail(
        id=_message_id(mail),
        sender=sender,
        sender_name=name,
        subject=header(mail, "subject")[:300],
        recipients=_recipients(mail),
        text=clean(body),
        automatic=_automatic(mail),
        failure=failure_of(mail, failure, sender, body),
        returned=tuple(returned),
        attached=tuple(attached),
        unnamed=unnamed,
    )


def _bare(raw: bytes) -> IncomingMail:
    """What a mail that cannot be parsed tells at its head."""
    head, _, body = raw[:BODY_BYTES].replace(b"\r\n", b"\n").partition(b"\n\n")
    found = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode("utf-8", "replace").split("\n"))
    }
    sender = re.search(r"[^\s<>,;:\"]{1,64}@[^\s<>,;:\"]{1,255}", found.get("from", "")[:LONGEST_HEADER])
    told = _ID.search(found.get("message-id", ""))
    return IncomingMail(
        id=told[0] if told else "",
        sender=clean(sender[0]) if sender else "",
        sender_name="",
        subject=clean(found.get("subject", ""))[:300],
        recipients=tuple(clean(found[name])[:LONGEST_HEADER] for name in ("to", "cc", "delivered-to") if name in found),
        text=clean(body.decode("utf-8", "replace")),
        automatic="auto-submitted" if "auto-submitted" in found else None,
    )


def _parts(mail: Message) -> list[Message]:
    """The parts in order, those of a returned or forwarded mail left out."""
    found: list[Message] = []
    waiting: list[Message] = [mail]
    while waiting:
        part = waiting.pop()
        payload = part.get_payload()
        found.append(part)
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting.extend(reversed([each for each in payload if isinstance(each, Message)]))
    return found


def _is_file(part: Message) -> bool:
    return (part.get_content_disposition() or "") == "attachment" or bool(part.get_filename())


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload[: BODY_BYTES * 2] if isinstance(payload, bytes) else b""
    charset = part.get_content_charset() or ""
    return decoded(data, charset)


def _from(mail: Message) -> tuple[str, str]:
    """Name and address of whoever it says it is from."""
    raw = str(mail.get("from", "") or mail.get("sender", ""))[:LONGEST_HEADER]
    for name, address in getaddresses([raw]):
        if "@" in address:
            return decoded_header(name)[:100], clean(decoded_header(address))[:320]
    return "", ""


def _recipients(mail: Message) -> tuple[str, ...]:
    names = ("to", "cc", "delivered-to", "x-original-to", "x-envelope-to", "envelope-to", "x-forwarded-to")
    return tuple(clean(str(each))[:LONGEST_HEADER] for name in names for each in (mail.get_all(name) or [])[:5])


def _message_id(mail: Message) -> str:
    found = _ID.search(str(mail.get("message-id", ""))[:LONGEST_HEADER])
    return found[0] if found else ""


def _automatic(mail: Message) -> str | None:
    for name, pattern in _AUTOMATIC:
        told = mail.get(name)
        if told is not None and pattern.match(str(told)[:200]):
            return name
    return None


def _attached(part: Message, *, kept: bool) -> Attached:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    unnamed = "image" if part.get_content_maintype() == "image" else "attachment"
    return Attached(
        name=_file_name(part) or unnamed,
        type=part.get_content_type()[:100],
        size=len(data),
        data=data if kept else None,
    )


def _forwarded(part: Message) -> Attached:
    """A mail within the mail: named, not kept."""
    return Attached(name=_file_name(part) or "message.eml", type=part.get_content_type(), size=0)


def _file_name(part: Message) -> str:
    name = part.get_filename()
    return plain_name(decoded_header(name))[:200] if name else ""


def _returned(part: Message) -> list[str]:
    """The addresses in the head of a mail that came back."""
    payload = part.get_payload()
    inner: Message | None = None
    if isinstance(payload, list) and payload and isinstance(payload[0], Message):
        inner = cast(Message, payload[0])
    elif isinstance(payload, str):
        data = part.get_payload(decode=True)
        inner = message_from_bytes(data[:HEADER_BYTES], policy=compat32) if isinstance(data, bytes) else None
    if inner is None:
        return []
    return [
        clean(str(each))[:LONGEST_HEADER] for name in ("reply-to", "return-path") for each in inner.get_all(name) or []
    ]
