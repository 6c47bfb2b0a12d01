"""How does a page prove who its visitor is? With a hash or a token that only the shop's backend can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any, Union
from uuid import UUID

Id = Union[str, int, UUID]


def user_hash(secret_key: str, user_id: Id) -> str:
    """Hex HMAC-SHA256 of the user's id, which the page passes to `identify` as `userHash`; valid as long as the key."""
    return hmac.new(secret_key.encode(), str(user_id).encode(), hashlib.sha256).hexdigest()


def identity_token(secret_key: str, user_id: Id, site_id: str, *, lifetime: float = 3600.0) -> str:
    """A JWT (HS256) that says the same as `user_hash`, for this site only and for `lifetime` seconds only."""
    claims = {"sub": str(user_id), "aud": site_id, "exp": int(time.time() + lifetime)}
    signed = _segment({"alg": "HS256", "typ": "JWT"}) + b"." + _segment(claims)
    signature = hmac.new(secret_key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + _base64(signature)).decode()


def _segment(value: dict[str, Any]) -> bytes:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
