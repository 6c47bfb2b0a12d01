"""Who gets which wording? A choice by hash: weighted, the same at every turn, and steady when weights change."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """Anything with a name and a weight."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...


W = TypeVar("W", bound=Weighted)


def assign(rule_id: str, person_id: str, variants: Sequence[W], holdout: float = 0) -> W | None:
    """Choose this person's variant, or None for the `holdout` percent who are to get nothing.

    The same people stay held out when the percentage grows; when one variant's weight changes, people move only to it
    or away from it (weighted rendezvous hashing), whatever the order of the variants.
    """
    if is_held_out(rule_id, person_id, holdout):
        return None
    chosen: W | None = None
    best = -1.0
    for variant in variants:
        if variant.weight <= 0:
            continue
        score = variant.weight / -math.log(_share("variant", rule_id, person_id, variant.name))
        if score > best:
            chosen, best = variant, score
    return chosen


def is_held_out(rule_id: str, person_id: str, holdout: float) -> bool:
    """Tell whether this person is among the `holdout` percent of the rule's control group."""
    return _share("holdout", rule_id, person_id) * 100 < holdout


def bucket(rule_id: str, person_id: str) -> float:
    """Where this person stands between 0 and 100; they are held out where the holdout reaches further."""
    return _share("holdout", rule_id, person_id) * 100


def _share(salt: str, *names: str) -> float:
    """A number strictly between 0 and 1, evenly spread and fixed for these names."""
    text = "\x1f".join(names).encode("utf-8", "surrogatepass")
    bits = int.from_bytes(blake2b(text, digest_size=8, person=salt.encode()).digest(), "big") >> 11
    return (bits + 0.5) / (1 << 53)
