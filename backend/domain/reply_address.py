"""Where does an answer by mail go? To `reply+TOKEN@…`, an address that names one conversation and one correspondent."""

import hmac
import re
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.domain.sealed import seal_text, unseal_text
from backend.domain.unsubscribe import normalised_email

PREFIX = "reply+"

LINK_LIFETIME = timedelta(days=30)
"""So long a private link leads to its conversation."""

_PURPOSE = b"chimein reply address 1"
_LINK_PURPOSE = b"chimein conversation link 1"
_MAILS_PURPOSE = b"chimein conversation mails 1"
_BYTES = 20
_TOKEN = re.compile(r"(?<![a-z0-9+._-])reply\+([a-z2-7]{32})@", re.ASCII | re.IGNORECASE)


def reply_token(secret: str, site_id: str, conversation_id: str, address: str) -> str:
    """The token of a correspondent in a conversation: 32 letters and digits that only this installation can make."""
    key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    told = "\n".join((site_id, conversation_id, normalised_email(address)))
    return b32encode(hmac.digest(key, told.encode("utf-8", "surrogatepass"), "sha256")[:_BYTES]).decode().lower()


def is_token(token: str, secret: str, site_id: str, conversation_id: str, address: str) -> bool:
    """Whether this is that token; compared in constant time."""
    made = reply_token(secret, site_id, conversation_id, address)
    return hmac.compare_digest(token.encode("utf-8", "replace"), made.encode())


def reply_address(token: str, domain: str) -> str:
    """The address that carries a token."""
    return f"{PREFIX}{token}@{domain}"


def tokens_in(texts: Iterable[str], most: int = 10) -> list[str]:
    """What may be tokens in these addresses, each once, in order; mail servers may have changed their case."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _TOKEN.finditer(text[:10_000]):
            found.setdefault(match[1].lower())
            if len(found) >= most:
                return list(found)
    return list(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A private link to a conversation; it leads nowhere after `expires_at`."""

    site_id: str
    conversation_id: str
    expires_at: datetime


def seal_link(secret: str, link: Link) -> str:
    """The token of a private link."""
    moment = str(int(link.expires_at.timestamp()))
    return seal_text(secret, _LINK_PURPOSE, "\n".join((link.site_id, link.conversation_id, moment)))


def unseal_link(secret: str, token: str) -> Link | None:
    """Where a token leads; None for whatever this installation did not make."""
    plain = unseal_text(secret, _LINK_PURPOSE, token)
    if plain is None:
        return None
    site_id, conversation_id, moment = plain.split("\n", 2)
    expires_at = datetime.fromtimestamp(int(moment), UTC)
    return Link(site_id=site_id, conversation_id=conversation_id, expires_at=expires_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mails:
    """The mails of a conversation, which whoever gets them can turn off and on: without an end, and without reading."""

    site_id: str
    conversation_id: str


def seal_mails(secret: str, mails: Mails) -> str:
    """The token by which these mails are turned off; it opens no conversation."""
    return seal_text(secret, _MAILS_PURPOSE, "\n".join((mails.site_id, mails.conversation_id)))


def unseal_mails(secret: str, token: str) -> Mails | None:
    """What a token turns off; None for whatever this installation did not make."""
    plain = unseal_text(secret, _MAILS_PURPOSE, token)
    if plain is None:
        return None
    site_id, conversation_id = plain.split("\n", 1)
    return Mails(site_id=site_id, conversation_id=conversation_id)
