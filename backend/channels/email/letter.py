"""From a message to a letter: headers that nobody can inject into, a text part, an HTML part."""

import ipaddress
import unicodedata
from dataclasses import dataclass
from email.header import Header
from email.headerregistry import Address, HeaderRegistry, UniqueSingleAddressHeader, UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy, Policy
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urljoin, urlsplit

import jinja2
from email_validator import EmailNotValidError, validate_email

from backend.channels.base import Delivery
from backend.errors import DeliveryError, SettingsError

LONGEST_SUBJECT = 200
LONGEST_NAME = 80
"""Characters; what is longer is cut."""

DEFAULT_NAME = "chimein"

pages = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """What goes over the wire: `data` has CRLF line ends; `utf8` when the server must know SMTPUTF8."""

    id: str
    sender: str
    recipient: str
    data: bytes
    utf8: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Whom mails come from; `name` None: each site under its own name."""

    name: str | None
    address: str
    domain: str

    @classmethod
    def of(cls, mail_from: str, public_url: str) -> Self:
        """Reads `Shop <shop@example.com>`; an address at localhost, the default, moves to the host of `public_url`."""
        try:
            probe = EmailMessage()
            probe["From"] = mail_from
            (found,) = probe["From"].addresses
            local, domain = found.username, found.domain
            if not local or not domain or not found.addr_spec.isascii():
                raise ValueError("no address")
        except (ValueError, IndexError, AttributeError):
            raise SettingsError(
                "CHIMEIN_MAIL_FROM must be one address such as 'Shop <shop@example.com>' in ASCII letters."
            ) from None
        name = found.display_name
        if domain == "localhost":
            domain = _mail_domain(public_url) or domain
        return cls(name=None if name in ("", DEFAULT_NAME) else name, address=f"{local}@{domain}", domain=domain)


def write(delivery: Delivery, sender: Sender) -> Letter:
    """The letter of a delivery; DeliveryError (permanent) where its address is none."""
    message, content = delivery.message, delivery.message.content
    recipient, utf8 = recipient_of(message.address or "")
    title = one_line(content.get("title"))
    parts: dict[str, Any] = {
        "title": title,
        "paragraphs": _paragraphs(content.get("body")),
        "button": _button(content.get("button"), delivery.page_url),
        "image": absolute(content.get("image"), delivery.page_url),
        "site": delivery.site.called,
        "unsubscribe_url": delivery.unsubscribe_url,
    }
    # 7bit: not every server takes 8-bit text, and one that rewrites a mail breaks its signature.
    mail = EmailMessage(EmailPolicy(linesep="\r\n", cte_type="7bit", utf8=utf8, header_factory=header_factory))
    mail["From"] = Address(sender.name or one_line(delivery.site.called)[:LONGEST_NAME], addr_spec=sender.address)
    mail["To"] = Address(one_line(delivery.name)[:LONGEST_NAME], *recipient.rsplit("@", 1))
    mail["Subject"] = (
        one_line(content.get("subject"))[:LONGEST_SUBJECT] or title[:LONGEST_SUBJECT] or delivery.site.called
    )
    mail["Date"] = format_datetime(delivery.now)
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    if delivery.unsubscribe_url is not None:
        mail["List-Unsubscribe"] = f"<{delivery.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(parts))
    mail.add_alternative(pages.get_template("letter.html").render(parts), subtype="html")
    return Letter(id=message.id, sender=sender.address, recipient=recipient, data=mail.as_bytes(), utf8=utf8)


def one_line(text: object) -> str:
    """The text as one line: white space and line ends become single spaces, control characters go."""
    if not isinstance(text, str):
        return ""
    words = " ".join(text.split())
    return "".join(each for each in words if unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp"))


def absolute(url: object, base: str) -> str | None:
    """The address as a mail program needs it; None for what is no web address, such as `javascript:`."""
    if not isinstance(url, str) or not url.strip():
        return None
    try:
        joined = urljoin(base, one_line(url))
        parsed = urlsplit(joined)
    except ValueError:
        return None
    return joined if parsed.scheme in ("http", "https") and parsed.hostname else None


def recipient_of(address: str) -> tuple[str, bool]:
    """The address on the envelope, and whether it needs SMTPUTF8."""
    try:
        # Whether the address leads anywhere is for the mail server to say; localhost is fine within a company.
        valid = validate_email(address, check_deliverability=False, globally_deliverable=False, strict=True)
    except EmailNotValidError as error:
        raise DeliveryError(f"This is no mail address: {error}", permanent=True, code="no_address") from None
    if valid.ascii_email is not None:
        return valid.ascii_email, False
    return f"{valid.local_part}@{valid.ascii_domain}", True


class _Mailbox(UniqueSingleAddressHeader):
    """One address with a name: folded by the library, a long quoted name loses its quotes, and a comma in it adds
    a recipient."""

    name: str

    def fold(self, *, policy: Policy) -> str:
        address = self.addresses[0]
        if address.display_name.isascii():
            return f"{self.name}: {address}{policy.linesep}"
        # Encoded words, each on a line of its own.
        name = Header(address.display_name, "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {name}{policy.linesep} <{address.addr_spec}>{policy.linesep}"


class _Verbatim(UnstructuredHeader):
    """A header that must not be folded: a long address would be torn into encoded words."""

    name: str

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


class _Listed(UnstructuredHeader):
    """Message-IDs, each on a line of its own and whole."""

    name: str

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {(policy.linesep + ' ').join(str(self).split())}{policy.linesep}"


header_factory = HeaderRegistry()
for _name, _kind in (
    *(("from", _Mailbox), ("to", _Mailbox), ("reply-to", _Mailbox)),
    *((name, _Verbatim) for name in ("list-unsubscribe", "message-id", "in-reply-to")),
    ("references", _Listed),
):
    header_factory.map_to_type(_name, cast(Any, _kind))


def _mail_domain(public_url: str) -> str | None:
    """The host of a URL if mail could come from there: a name with a dot, no number."""
    host = urlsplit(public_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host and host.isascii() else None
    return None


def _paragraphs(body: object) -> list[list[str]]:
    """The body's paragraphs, each as its lines; an empty line begins a new one."""
    text = body if isinstance(body, str) else ""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _button(button: object, base: str) -> dict[str, str] | None:
    if not isinstance(button, dict):
        return None
    text, url = one_line(button.get("text")), absolute(button.get("url"), base)
    return {"text": text, "url": url} if text and url else None


def _text(parts: dict[str, Any]) -> str:
    blocks = [parts["title"]] if parts["title"] else []
    blocks += ["\n".join(lines) for lines in parts["paragraphs"]]
    if parts["button"]:
        blocks.append(f"{parts['button']['text']}: {parts['button']['url']}")
    if parts["unsubscribe_url"]:
        blocks.append(f"-- \n{parts['site']}\nUnsubscribe: {parts['unsubscribe_url']}")
    return "\n\n".join(blocks) + "\n"
