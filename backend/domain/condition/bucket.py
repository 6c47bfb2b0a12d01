"""In which part of all people is this one? A number from 0 to 99.99 by hash, the same at every turn."""

from collections.abc import Callable
from hashlib import blake2b

from backend.domain.condition.moment import Moment

STEPS = 10_000
"""Buckets are hundredths of a percent."""


def bucket_of(person: str, salt: str = "") -> float:
    """This person's bucket: 0 or more, less than 100, with two decimals; another `salt` deals them out anew."""
    text = f"{salt}\x1f{person}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(blake2b(text, digest_size=8, person=b"bucket").digest(), "big")
    return (drawn * STEPS >> 64) / 100


def bucket_getter(salt: str = "") -> Callable[[Moment], float]:
    """A function of the moment: the bucket of whom it is about, which outlives merges."""
    return lambda m: bucket_of(m.profile.person or m.profile.id, salt)
