"""What is in a link that a mail carries? Text that only this installation can make and read, each for one purpose."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

LONGEST_TOKEN = 1_000
"""Characters; an address has at most 254."""


def seal_text(secret: str, purpose: bytes, text: str) -> str:
    """The text as a token: opaque, encrypted and authenticated, the same each time."""
    return urlsafe_b64encode(_cipher(secret, purpose).encrypt(text.encode(), [purpose])).rstrip(b"=").decode()


def unseal_text(secret: str, purpose: bytes, token: str) -> str | None:
    """The text of a token; None for whatever this installation did not make for this purpose."""
    if len(token) > LONGEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        return None
    try:
        plain = _cipher(secret, purpose).decrypt(urlsafe_b64decode(token + "=" * (-len(token) % 4)), [purpose])
    except (InvalidTag, ValueError):
        return None
    return plain.decode()


def _cipher(secret: str, purpose: bytes) -> AESSIV:
    # SIV needs no nonce, so a link stays the same and short; it is encrypted and authenticated at once.
    return AESSIV(hmac.digest(secret.encode(), purpose, hashlib.sha512))
