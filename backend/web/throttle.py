"""How fast may one caller send? A bucket of requests for each address, which refills all the time."""

import time
from collections.abc import Callable

BURST_SECONDS = 10
"""A bucket holds what the rate allows in this time: a backend that catches up is no attack."""

MOST_ADDRESSES = 50_000
"""Addresses remembered; of more, those are forgotten whose buckets are full again, and if need be all."""


class Throttle:
    """Buckets of `rate` requests a second; 0: nobody is held back. Each process has its own."""

    def __init__(
        self, rate: int, now: Callable[[], float] = time.monotonic, most_addresses: int = MOST_ADDRESSES
    ) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._now = now
        self._most = most_addresses
        self._free_at: dict[str, float] = {}
        """When each address's bucket is full again: one number says it all (the generic cell rate algorithm)."""

    def wait(self, address: str) -> float:
        """Takes one request out of the address's bucket: 0.0, or the seconds after which there will be one again."""
        if not self._gap:
            return 0.0
        now = self._now()
        free_at = max(self._free_at.get(address, now), now)
        late = free_at - now - BURST_SECONDS
        if late > 0:
            return late
        if len(self._free_at) >= self._most and address not in self._free_at:
            self._forget(now)
        self._free_at[address] = free_at + self._gap
        return 0.0

    def _forget(self, now: float) -> None:
        kept = {address: moment for address, moment in self._free_at.items() if moment > now}
        self._free_at = kept if len(kept) < self._most else {}


def address_of(remote: str, forwarded: str | None, proxies: int) -> str:
    """The caller's address as the outermost of `proxies` trusted ones saw it; claims from beyond are not believed."""
    if not proxies or not forwarded:
        return remote
    hops = [each.strip() for each in forwarded.split(",")]
    return hops[-proxies] if len(hops) >= proxies else hops[0]
