"""Who reads which partition? Leases in Redis share the work; that no two can win is the database's business."""

import redis

PREFIX = "chimein:lease:"
MEMBERS = "chimein:processors"
SECONDS = 5
"""After the death of a worker its partitions wait this long for another."""

_RENEW = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class Leases:
    """The partitions that this worker holds, in a fair share with the other living workers."""

    def __init__(self, client: redis.Redis, worker: str, partitions: int) -> None:
        self.client = client
        self.worker = worker
        self.partitions = partitions
        self.held: set[int] = set()

    def refresh(self, now: float) -> set[int]:
        """Renews what is held, takes what is free, gives back what is too much; returns the partitions held.

        `now` is in seconds since 1970; call this every few seconds.
        """
        self.client.zadd(MEMBERS, {self.worker: now})
        self.client.zremrangebyscore(MEMBERS, "-inf", now - SECONDS)
        workers = max(1, int(self.client.zcard(MEMBERS)))
        share = -(-self.partitions // workers)
        for partition in sorted(self.held):
            if not self.client.eval(_RENEW, 1, self._key(partition), self.worker, str(SECONDS * 1000)):
                self.held.discard(partition)
        while len(self.held) > share:
            self._release(max(self.held))
        for partition in range(self.partitions):
            if len(self.held) >= share:
                break
            if partition not in self.held and self.client.set(
                self._key(partition), self.worker, nx=True, px=SECONDS * 1000
            ):
                self.held.add(partition)
        return set(self.held)

    def release(self) -> None:
        """Gives everything back, so that another worker need not wait for the leases to lapse."""
        for partition in list(self.held):
            self._release(partition)
        self.client.zrem(MEMBERS, self.worker)

    def _release(self, partition: int) -> None:
        self.client.eval(_RELEASE, 1, self._key(partition), self.worker)
        self.held.discard(partition)

    def _key(self, partition: int) -> str:
        return f"{PREFIX}{partition}"
