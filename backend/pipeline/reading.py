"""The step `reading`: what comes next in the log, decoded, and up to when nothing that was accepted is missing.

Whoever takes a batch waits again and again for the database: a thread of its own reads what comes next meanwhile.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.pipeline.arrive import Arrived, arrive, whole
from backend.pipeline.careful import ASIDE_AFTER, Care
from backend.runtime import Runtime
from backend.storage import partitions
from backend.storage.dead import DeadEvent
from backend.storage.log import Entry, order

TARGET_EVENTS = 8_000
"""Events a transaction: enough to spread its cost, few enough to keep the others waiting only briefly."""

FIRST_COUNT = 16
LARGEST_COUNT = 500
LARGEST_BYTES = 8 * 2**20
"""Of the log in one transaction, whatever the number of entries: a backlog of large batches must fit into memory."""

SLACK = timedelta(seconds=1)
"""How much earlier than an entry its events may have been received: a collector looks at the clock before it writes."""

WORTH_SECONDS = 1.0
"""What was read ahead and not asked for within this time is read again: its horizon has grown old."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read: entries and their events, and up to when everything accepted is among them or before them.

    `last` is the id of the last entry of each partition, `more` whether there was more to read behind them.
    """

    entries: Sequence[Entry]
    arrived: Sequence[Arrived]
    unreadable: Sequence[DeadEvent]
    last: Mapping[int, str]
    horizon: datetime
    more: bool = False


class Reader:
    """Reads batches of a size that suits a transaction."""

    def __init__(self, rt: Runtime, care: Care) -> None:
        self.rt = rt
        self.care = care
        self.count = FIRST_COUNT
        self._thread = ThreadPoolExecutor(1, "ahead")
        self._ahead: tuple[dict[int, str], float, Future[Read]] | None = None

    def next(self, offsets: Mapping[int, str], block_ms: int) -> Read:
        """What lies behind these offsets, by partition: as read ahead, else waiting up to `block_ms` for it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            behind, begun, future = ahead
            read = future.result()
            if read.entries and behind == offsets and time.monotonic() - begun < WORTH_SECONDS:
                return read
        return self._read(offsets, block_ms)

    def ahead(self, offsets: dict[int, str]) -> None:
        """Begins to read what lies behind these offsets, without waiting; with suspects about, nothing is begun."""
        self.forget()
        if self.care.suspects:
            return
        self._ahead = (offsets, time.monotonic(), self._thread.submit(self._read, offsets, 0))

    def forget(self) -> None:
        """Drops what was read ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead[2].exception()  # waits, so that no two read at once

    def close(self) -> None:
        """Reads no more."""
        self.forget()
        self._thread.shutdown()

    def _read(self, offsets: Mapping[int, str], block_ms: int) -> Read:
        started = self.rt.clock()
        chosen, careful = self.care.choose(offsets)
        count = 1 if careful else self.count
        found = self.rt.log.read(chosen, count, 0 if self.care.suspects else block_ms)
        if careful and not found:
            self.care.clear(*chosen)
        by_partition: dict[int, list[Entry]] = {}
        for entry in found:
            by_partition.setdefault(entry.partition, []).append(entry)
        horizon = self._others_horizon(started, chosen)
        entries: list[Entry] = []
        more = False
        for group in by_partition.values():
            fitting = _fitting(group, LARGEST_BYTES // len(by_partition))
            if len(fitting) < len(group) or len(group) >= count:
                more = True
                horizon = min(horizon, _moment(fitting[-1].id) - SLACK)
            entries.extend(fitting)
        arrived, unreadable = self._arrive(entries, offsets, careful)
        if arrived and not careful:
            self.count = max(1, min(LARGEST_COUNT, TARGET_EVENTS * self.count // len(arrived)))
        return Read(entries, arrived, unreadable, {entry.partition: entry.id for entry in entries}, horizon, more)

    def _arrive(
        self, entries: Sequence[Entry], offsets: Mapping[int, str], careful: bool
    ) -> tuple[list[Arrived], list[DeadEvent]]:
        now = self.rt.clock()
        if careful and entries:
            deadly = entries[0]
            if self.care.kills(deadly.partition, offsets[deadly.partition]):
                return [], [whole(deadly, f"{ASIDE_AFTER} workers died while they had this entry.", now)]
        return arrive(entries, now)

    def _others_horizon(self, started: datetime, read: Collection[int]) -> datetime:
        """Up to when those partitions have taken effect that are not read now, here or by other workers."""
        if len(read) == self.rt.log.partitions:
            return started
        with self.rt.db.read() as connection:
            offsets = partitions.offsets(connection, self.rt.log.partitions)
        for partition in set(offsets) - set(read):
            first = self.rt.log.first_after(partition, offsets[partition])
            if first is not None:
                started = min(started, _moment(first) - SLACK)
        return started


def _fitting(group: Sequence[Entry], most: int) -> list[Entry]:
    """The first entries of a partition that together have `most` bytes; at least one."""
    size = 0
    for place, entry in enumerate(group):
        size += len(entry.events)
        if size > most:
            return list(group[: max(place, 1)])
    return list(group)


def _moment(entry_id: str) -> datetime:
    return datetime.fromtimestamp(order(entry_id)[0] / 1000, UTC)
