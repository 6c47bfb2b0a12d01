"""Passwords: kept as argon2id hashes, which make guessing dear for whoever stole the database."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
"""The library's own parameters, those of RFC 9106 for little memory: 64 MiB and tens of milliseconds a try."""


def hash_of(password: str) -> str:
    """The password's hash, with its own salt and parameters in it."""
    return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Whether it is this password; without a hash to compare with it takes as long, and is not."""
    try:
        return _hasher.verify(kept or _nobody(), password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether the hash was made with weaker parameters than are used now."""
    return _hasher.check_needs_rehash(kept)


@cache
def _nobody() -> str:
    return _hasher.hash("the password of nobody")
