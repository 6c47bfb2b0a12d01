"""Is this user who the page says? A signature that only the site's own backend can make."""

import hmac
from datetime import datetime
from hashlib import sha256

import jwt


def user_hash(secret_key: str, user_id: str) -> str:
    """Hex HMAC-SHA256 of the user id, as the site's backend makes it."""
    return hmac.new(secret_key.encode(), user_id.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def is_signed(secret_key: str, site_id: str, user_id: str, signature: str, at: datetime | None = None) -> bool:
    """Whether `signature` is the user's hash, or a JWT (HS256) with the user as `sub`, the site as `aud`, and `exp`.

    With `at` a JWT need only have been good then.
    """
    if signature.count(".") == 2:
        try:
            claims = jwt.decode(
                signature,
                secret_key,
                algorithms=["HS256"],
                audience=site_id,
                options={"require": ["exp", "sub", "aud"], "verify_exp": at is None},
            )
            if at is not None and float(claims["exp"]) <= at.timestamp():
                return False
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return False
        return hmac.compare_digest(str(claims["sub"]).encode(), user_id.encode("utf-8", "surrogatepass"))
    return hmac.compare_digest(user_hash(secret_key, user_id).encode(), signature.lower().encode("utf-8", "replace"))
