"""Who is this? Ids are derived, so that whoever computes one twice, anywhere, gets the same."""

from functools import lru_cache
from hashlib import blake2b


def derive(*parts: str) -> str:
    """32 hexadecimal digits that depend on the parts and their order, and on nothing else."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@lru_cache(maxsize=20_000)
def anonymous_visitor(site_id: str, anonymous_id: str) -> str:
    """The id of the visitor that this browser is, until it is linked to a known one."""
    return derive(site_id, "anonymous", anonymous_id)


@lru_cache(maxsize=20_000)
def known_visitor(site_id: str, user_id: str) -> str:
    """The id of the visitor with this user id; two user ids are two visitors, always."""
    return derive(site_id, "user", user_id)
