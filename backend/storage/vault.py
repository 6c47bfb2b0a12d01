"""Secrets at rest: what we must read again is encrypted, what we only compare is kept as a keyed hash."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

from backend.errors import SettingsError


class Vault:
    """Seals secrets with keys derived from `CHIMEIN_SECRET_KEY`; whoever steals the database alone reads nothing."""

    def __init__(self, secret_key: str) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive(secret_key, b"chimein.seal")))
        self._digest_key = _derive(secret_key, b"chimein.digest")
        self._tombstone_key = _derive(secret_key, b"chimein.tombstone")

    def seal(self, text: str) -> str:
        """The text, encrypted and authenticated (Fernet); each call answers something else."""
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def unseal(self, sealed: str) -> str:
        """What was sealed; SettingsError where it was sealed under another secret key."""
        try:
            return self._fernet.decrypt(sealed.encode("ascii")).decode()
        except InvalidToken:
            raise SettingsError(
                "The database was written under another CHIMEIN_SECRET_KEY: set the one that it was made with."
            ) from None

    def digest(self, secret: str) -> str:
        """The secret's keyed hash (HMAC-SHA256) in hex: good for comparing, no good for getting in."""
        return hmac.new(self._digest_key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def tombstone(self, site_id: str, kind: str, value: str) -> str:
        """The keyed hash (HMAC-SHA256, hex) under which a name of an erased person is remembered, and not the name."""
        told = "\0".join((site_id, kind, value)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._tombstone_key, told, "sha256").hex()


def _derive(secret_key: str, purpose: bytes) -> bytes:
    # One key a purpose, so that no use of the secret can be turned into another.
    return hmac.new(secret_key.encode("utf-8"), purpose, hashlib.sha256).digest()
