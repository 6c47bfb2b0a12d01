"""What is an unsubscribe link? A sealed name of one subscription, which only this installation can make and read."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

LONGEST_TOKEN = 1_000
"""Characters; an address has at most 254."""

_SEPARATOR = "\n"
_PURPOSE = b"chimein unsubscribe link 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What someone can turn off: being reached by a site through one kind of address."""

    site_id: str
    kind: str
    value: str

    @classmethod
    def email(cls, site_id: str, address: str) -> Self:
        """The mails of a site to an address, however it is written."""
        return cls(site_id=site_id, kind="email", value=normalised_email(address))


def normalised_email(address: str) -> str:
    """The one spelling under which an address is remembered: mail servers tell no case apart."""
    return address.strip().lower()


def seal(secret: str, subscription: Subscription) -> str:
    """The token of a link: opaque, without an address in it that logs could leak, the same each time."""
    plain = _SEPARATOR.join((subscription.site_id, subscription.kind, subscription.value)).encode()
    return urlsafe_b64encode(_cipher(secret).encrypt(plain, [_PURPOSE])).rstrip(b"=").decode()


def unseal(secret: str, token: str) -> Subscription | None:
    """What a token names; None for whatever this installation did not make."""
    if len(token) > LONGEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        return None
    try:
        plain = _cipher(secret).decrypt(urlsafe_b64decode(token + "=" * (-len(token) % 4)), [_PURPOSE])
    except (InvalidTag, ValueError):
        return None
    site_id, kind, value = plain.decode().split(_SEPARATOR, 2)
    return Subscription(site_id=site_id, kind=kind, value=value)


def _cipher(secret: str) -> AESSIV:
    # SIV needs no nonce, so a link stays the same and short; it is encrypted and authenticated at once.
    return AESSIV(hmac.digest(secret.encode(), _PURPOSE, hashlib.sha512))
