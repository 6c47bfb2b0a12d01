"""The log: one Redis stream a partition, one entry a chunk of events, on one Redis or on a Redis Cluster.

An entry has two fields: `h`, the chunk's header (msgpack), and `e`, a JSON array of events as they were sent.
Entries are never trimmed above the offset that SQL holds.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from zlib import crc32

import redis
from redis.cluster import RedisCluster

from backend.errors import Unavailable
from backend.storage.hang import Hang
from backend.storage.redis_client import connect

START = "0-0"
"""The place before the first entry."""

FULL_CHECK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log: where it lies, and its two fields."""

    partition: int
    id: str
    header: bytes
    events: bytes


def partition_of(visitor_key: str, partitions: int) -> int:
    """The partition in which this visitor's events lie, in order; `visitor_key` is the anonymous or the user id."""
    return crc32(visitor_key.encode("utf-8", "surrogatepass")) % partitions


class Log:
    """Appends and reads; whoever reads keeps its own offsets."""

    def __init__(self, client: Any, reader: Any, partitions: int, max_bytes: int) -> None:
        self.client = client
        self.reader = reader
        self.partitions = partitions
        self.max_bytes = max_bytes
        self.clustered = isinstance(client, RedisCluster)
        self.keys = [f"chimein:{{{partition}}}:log" for partition in range(partitions)]
        self._hang = Hang(client.ping)
        self._checked_at = 0.0
        self._full = False

    @classmethod
    def open(cls, url: str, partitions: int, max_bytes: int) -> "Log":
        """The log at a Redis URL, or at `redis+cluster://host:port,host:port`."""
        return cls(connect(url), connect(url), partitions, max_bytes)

    def append(self, chunks: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Adds each `(partition, header, events)`; returns when all of them lie in the log.

        Raises `Unavailable` when the log is full or does not answer: then some of the chunks may lie in it, and the
        sender repeats all.
        """
        if self.full():
            raise Unavailable("The log is full: events come in faster than they are processed.", retry_after=5)
        try:
            if len(chunks) == 1:
                partition, header, events = chunks[0]
                self.client.execute_command("XADD", self.keys[partition], "*", "h", header, "e", events)
                return
            pipeline = self.client.pipeline(transaction=False) if not self.clustered else self.client.pipeline()
            for partition, header, events in chunks:
                pipeline.execute_command("XADD", self.keys[partition], "*", "h", header, "e", events)
            pipeline.execute()
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def read(self, offsets: Mapping[int, str], count: int, block_ms: int) -> list[Entry]:
        """At most `count` entries of each partition after its offset; waits up to `block_ms` for the first (0: never).

        Redis looks at its clock ten times a second while it is idle, so that even one millisecond may take a hundred.
        """
        if not offsets:
            return []
        if self.clustered:
            return self._read_cluster(offsets, count, block_ms)
        streams = {self.keys[partition]: offset for partition, offset in offsets.items()}
        answer = self.reader.xread(streams, count=count, block=block_ms or None)
        by_key = {self.keys[partition].encode(): partition for partition in offsets}
        found: list[Entry] = []
        for key, entries in _pairs(answer):
            found.extend(_entry(by_key[bytes(key)], entry_id, fields) for entry_id, fields in entries)
        return found

    def _read_cluster(self, offsets: Mapping[int, str], count: int, block_ms: int) -> list[Entry]:
        found: list[Entry] = []
        deadline = time.monotonic() + block_ms / 1000
        while True:  # one XREAD a key: a cluster refuses one over several shards
            for partition, offset in offsets.items():
                answer = self.reader.xread({self.keys[partition]: offset}, count=count)
                for _, entries in _pairs(answer):
                    found.extend(_entry(partition, entry_id, fields) for entry_id, fields in entries)
            if found or time.monotonic() >= deadline:
                return found
            time.sleep(0.005)

    def first_after(self, partition: int, offset: str) -> str | None:
        """The id of the first entry after `offset`; None when there is none."""
        entries = self.client.xrange(self.keys[partition], min=f"({offset}", count=1)
        return None if not entries else _decoded(entries[0][0])

    def last_id(self, partition: int) -> str:
        """The id that was given out last in this partition; `0-0` in one that never held anything."""
        try:
            info = cast(Mapping[Any, Any], self.client.xinfo_stream(self.keys[partition]))
        except redis.ResponseError:
            return START
        found = info.get("last-generated-id", info.get(b"last-generated-id", START))
        return _decoded(found)

    def advance_ids(self, partition: int, last_id: str) -> None:
        """Makes the next id greater than `last_id`: after Redis lost data, new entries must not hide behind it."""
        key = self.keys[partition]
        if not self.client.exists(key):
            entry_id = self.client.xadd(key, {"h": b"", "e": b""}, id=last_id)
            self.client.xdel(key, entry_id)
        else:
            self.client.execute_command("XSETID", key, last_id)

    def length(self, partition: int) -> int:
        """How many entries lie in a partition, those that took effect already included."""
        return int(self.client.xlen(self.keys[partition]))

    def probe(self) -> None:
        """Returns when an entry would be accepted; raises `Unavailable` when not.

        A small write tells: Redis refuses it exactly when it would refuse an event (disk full, memory
        full, loading, a replica).
        """
        if self.full():
            raise Unavailable("The log is full.", retry_after=5)
        try:
            self.client.set("chimein:probe", "1", ex=60)
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def entries_after(self, partition: int, offset: str, count: int) -> list[Entry]:
        """Up to `count` entries after `offset`, without waiting."""
        entries = self.client.xrange(self.keys[partition], min=f"({offset}", count=count)
        return [_entry(partition, entry_id, fields) for entry_id, fields in entries]

    def trim(self, partition: int, min_id: str) -> int:
        """Removes entries before `min_id`, which must not lie above the committed offset; returns how many."""
        # Exactly: nearly would let the entries of a quiet site, and of somebody erased, lie there for good.
        return int(self.client.execute_command("XTRIM", self.keys[partition], "MINID", "=", min_id))

    def full(self) -> bool:
        """Whether the log holds more than its configured bytes; looked up at most four times a second.

        Raises `Unavailable` where it does not answer, at once where others have waited for that in vain.
        """
        if self._hang.is_on:
            raise Unavailable("The log does not answer.", retry_after=2)
        now = time.monotonic()
        if now - self._checked_at > FULL_CHECK_SECONDS:
            self._checked_at = now
            try:
                self._full = self.size() > self.max_bytes
            except redis.RedisError as error:
                raise self._unavailable(error) from error
        return self._full

    def size(self) -> int:
        """Bytes of memory that the log takes, as Redis estimates it."""
        return sum(int(self.client.memory_usage(key, samples=5) or 0) for key in self.keys)

    def _unavailable(self, error: redis.RedisError) -> Unavailable:
        self._hang.noticed(error)
        return Unavailable("The log does not take events now.", retry_after=2)

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()
        self.reader.close()


def order(entry_id: str) -> tuple[int, int]:
    """An entry's id as numbers, which compare as the log orders them."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _pairs(answer: Any) -> Sequence[tuple[Any, Any]]:
    # RESP3 answers a mapping of key to a list of lists of entries, RESP2 a list of pairs.
    if not answer:
        return []
    if isinstance(answer, Mapping):
        return [(key, value[0] if value and isinstance(value[0], list) else value) for key, value in answer.items()]
    return cast(Sequence[tuple[Any, Any]], answer)


def _entry(partition: int, entry_id: Any, fields: Any) -> Entry:
    return Entry(partition, _decoded(entry_id), fields.get(b"h", b""), fields.get(b"e", b""))


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
