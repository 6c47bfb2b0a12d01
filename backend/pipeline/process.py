"""The step `process`: reads the log, and lets each batch take effect together with its offset.

One transaction holds the events, what they caused, and how far the log has been read; so whoever dies when, each
accepted event takes effect once. Messages leave after the commit; what gets lost then is found again by `upkeep`.
"""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog

from backend.domain.identity import anonymous_visitor
from backend.domain.message import ON_SITE, Message
from backend.errors import ChimeinError
from backend.pipeline.apply import Effects, Poisoned, apply
from backend.pipeline.arrive import Arrived, arrive, one, whole
from backend.pipeline.faults import point
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.schemas.page_message import page_message
from backend.storage import dead, enrolments, partitions
from backend.storage.database import is_poison, is_transient
from backend.storage.dead import DeadEvent
from backend.storage.leases import Leases
from backend.storage.log import Entry, order
from backend.storage.partitions import LostRace

log = structlog.get_logger(__name__)

TARGET_EVENTS = 2_000
"""Events a transaction: enough to spread its cost, few enough to keep the others waiting only briefly."""

LARGEST_COUNT = 500
DUE_AT_ONCE = 1_000
BLOCK_MS = 100
TRIM_SECONDS = 5.0
TAIL_SECONDS = 10
"""How much of the log is kept behind the offset, for a database that lost its last commits in a power cut."""

LEASE_SECONDS = 3.0
CAREFUL_AFTER = 3
"""Deaths at one offset after which entries are taken one by one."""

ASIDE_AFTER = 10
"""Deaths at one offset after which its entry is set aside: it kills whoever reads it."""


def run(rt: Runtime, stop: threading.Event) -> None:
    """Processes until `stop` is set; survives the loss of Redis and of the database, and tries again."""
    processor = Processor(rt)
    pause = 0.1
    try:
        while not stop.is_set():
            try:
                processor.step()
                pause = 0.1
            except LostRace as lost:
                log.warning("partition_lost", reason=str(lost))
                processor.reload()
            except Exception as error:
                if not (is_transient(error) or isinstance(error, ChimeinError)):
                    log.exception("process_failed")
                else:
                    log.warning("process_waits", reason=str(error)[:200])
                processor.reload()
                stop.wait(pause)
                pause = min(pause * 2, 5.0)
    finally:
        processor.leave()


@dataclass(slots=True)
class _Read:
    """What was read: entries, and up to when everything that was accepted is among them or before them."""

    entries: list[Entry]
    horizon: datetime


class Processor:
    """One worker: the partitions that it holds, and how far it has read each."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.rulesets = Rulesets(rt)
        self.leases = Leases(rt.redis, f"{os.getpid()}-{uuid4().hex[:8]}", rt.log.partitions)
        self.offsets: dict[int, str] = {}
        self.held: set[int] = set()
        self.careful: set[int] = set()
        self.count = 64
        self._leased_at = 0.0
        self._trimmed_at = time.monotonic()

    def step(self, block_ms: int = BLOCK_MS) -> Effects:
        """Reads once, lets it take effect, sends on what it caused; returns that."""
        self._hold()
        read = self._read(block_ms)
        effects = self._take(read) if read.entries else self._fire(read.horizon)
        if time.monotonic() - self._trimmed_at > TRIM_SECONDS:
            self._trim()
        return effects

    def drain(self) -> int:
        """Steps until nothing is left to read; returns how many events were folded."""
        folded = 0
        while True:
            self._hold()
            read = self._read(1)
            if not read.entries:
                self._fire(read.horizon)
                return folded
            folded += self._take(read).folded

    def reload(self) -> None:
        """Forgets what it believes to know of offsets and leases."""
        self.held = set()
        self.offsets = {}
        self._leased_at = 0.0

    def leave(self) -> None:
        """Gives its partitions back."""
        try:
            self.leases.release()
        except Exception as error:
            log.warning("leases_kept", reason=str(error)[:200])

    def _hold(self) -> None:
        now = time.monotonic()
        if self.held and now - self._leased_at < LEASE_SECONDS:
            return
        held = self.leases.refresh(time.time())
        self._leased_at = now
        if held == self.held:
            return
        with self.rt.db.begin() as connection:
            partitions.create(connection, self.rt.log.partitions)
            offsets = partitions.offsets(connection, self.rt.log.partitions)
            for partition in held - self.held:
                self._take_over(partition, offsets[partition])
                if self.rt.log.first_after(partition, offsets[partition]) is not None:
                    attempts = partitions.count_attempt(connection, partition)
                    if attempts > CAREFUL_AFTER:
                        self.careful.add(partition)
        self.offsets = {partition: self.offsets.get(partition, offsets[partition]) for partition in held}
        for partition in held - self.held:
            self.offsets[partition] = offsets[partition]
        self.held = held

    def _take_over(self, partition: int, offset: str) -> None:
        """Makes sure that new entries come behind the offset: Redis may have lost its data, or come from a backup."""
        if order(self.rt.log.last_id(partition)) < order(offset):
            log.error("log_behind_offset", partition=partition, offset=offset, hint="The log lost entries.")
            self.rt.log.advance_ids(partition, offset)

    def _read(self, block_ms: int) -> _Read:
        started = self.rt.clock()
        count = 1 if self.careful else self.count
        entries = self.rt.log.read(self.offsets, count, block_ms)
        by_partition: dict[int, list[Entry]] = {}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry)
        horizon = started
        for group in by_partition.values():
            if len(group) >= count:
                horizon = min(horizon, _moment(group[-1].id))
        return _Read(entries, min(horizon, self._others_horizon(started)))

    def _others_horizon(self, started: datetime) -> datetime:
        """Up to when the partitions of other workers have taken effect."""
        if len(self.held) == self.rt.log.partitions:
            return started
        with self.rt.db.read() as connection:
            offsets = partitions.offsets(connection, self.rt.log.partitions)
        for partition in set(offsets) - self.held:
            first = self.rt.log.first_after(partition, offsets[partition])
            if first is not None:
                started = min(started, _moment(first))
        return started

    def _take(self, read: _Read) -> Effects:
        now = self.rt.clock()
        arrived, unreadable = self._arrive(read.entries, now)
        if len(arrived) > 0 and not self.careful:
            self.count = max(1, min(LARGEST_COUNT, TARGET_EVENTS * self.count // max(len(arrived), 1)))
        last = {entry.partition: entry.id for entry in read.entries}
        excluded: dict[int, str] = {}
        while True:
            try:
                effects = self._commit(arrived, unreadable, excluded, last, read.horizon, now)
                break
            except Poisoned as poisoned:
                excluded.update(poisoned.reasons)
            except Exception as error:
                if not is_poison(error) or not arrived:
                    raise
                culprits = self._culprits(arrived, excluded, now)
                if not culprits:
                    raise
                excluded.update(culprits)
        self.offsets.update(last)
        self.careful -= set(last)
        self._send_on(effects)
        return effects

    def _arrive(self, entries: Sequence[Entry], now: datetime) -> tuple[list[Arrived], list[DeadEvent]]:
        deadly = [entry for entry in entries if entry.partition in self.careful and self._attempts(entry) > ASIDE_AFTER]
        arrived, unreadable = arrive([entry for entry in entries if entry not in deadly], now)
        reason = f"{ASIDE_AFTER} workers died while they had this entry."
        return arrived, [*unreadable, *(whole(entry, reason, now) for entry in deadly)]

    def _attempts(self, entry: Entry) -> int:
        with self.rt.db.read() as connection:
            return partitions.attempts(connection, entry.partition)

    def _commit(
        self,
        arrived: Sequence[Arrived],
        unreadable: Sequence[DeadEvent],
        excluded: dict[int, str],
        last: dict[int, str],
        horizon: datetime,
        now: datetime,
    ) -> Effects:
        """One transaction: offsets, events, effects, and those set aside."""
        good = [each for index, each in enumerate(arrived) if index not in excluded] if excluded else arrived
        places = [index for index in range(len(arrived)) if index not in excluded] if excluded else None
        aside = [*unreadable, *(one(arrived[index], reason, now) for index, reason in excluded.items())]
        with self.rt.db.begin() as connection:
            point("before_offset")
            for partition, entry_id in sorted(last.items()):
                partitions.move(connection, partition, self.offsets[partition], entry_id)
            point("after_offset")
            self.rulesets.refresh(connection)
            due = enrolments.due_visitors(connection, horizon, DUE_AT_ONCE)
            try:
                effects = apply(connection, self.rulesets.of, good, due, until=horizon, now=now)
            except Poisoned as poisoned:
                if places is not None:
                    raise Poisoned({places[index]: why for index, why in poisoned.reasons.items()}) from poisoned
                raise
            dead.add(connection, aside)
            point("before_commit")
        point("after_commit")
        for each in aside:
            log.error("event_set_aside", id=each.id, reason=each.reason[:200])
        return effects

    def _culprits(self, arrived: Sequence[Arrived], excluded: dict[int, str], now: datetime) -> dict[int, str]:
        """The events that the database refuses, found by halving, each try rolled back."""
        culprits: dict[int, str] = {}
        todo = [[index for index in range(len(arrived)) if index not in excluded]]
        while todo:
            group = todo.pop()
            reason = self._refused([arrived[index] for index in group], now)
            if reason is None:
                continue
            if len(group) == 1:
                culprits[group[0]] = reason
            else:
                half = len(group) // 2
                todo.extend((group[:half], group[half:]))
        return culprits

    def _refused(self, group: Sequence[Arrived], now: datetime) -> str | None:
        try:
            with self.rt.db.begin() as connection:
                apply(connection, self.rulesets.of, group, (), until=now, now=now)
                raise _Undo
        except (_Undo, Poisoned):
            return None
        except Exception as error:
            if not is_poison(error):
                raise
            return f"{type(error).__name__}: {str(error)[:300]}"

    def _fire(self, horizon: datetime) -> Effects:
        """Fires what is due when nothing came in."""
        with self.rt.db.read() as connection:
            if not enrolments.due_visitors(connection, horizon, 1):
                return Effects()
        with self.rt.db.begin() as connection:
            self.rulesets.refresh(connection)
            due = enrolments.due_visitors(connection, horizon, DUE_AT_ONCE)
            effects = apply(connection, self.rulesets.of, (), due, until=horizon, now=self.rt.clock())
        point("after_commit")
        self._send_on(effects)
        return effects

    def _send_on(self, effects: Effects) -> None:
        """Rings the bells. The promise is in SQL already: what goes wrong here is made good by `upkeep`."""
        if not effects.messages:
            return
        notes: list[tuple[str, dict[str, Any]]] = []
        refs: list[tuple[str, str]] = []
        for message in effects.messages:
            if message.channel in ON_SITE:
                note = {
                    "event": "message",
                    "anonymous_id": message.anonymous_id,
                    "data": page_message(message),
                }
                notes.extend((visitor_id, note) for visitor_id in _addressees(message))
            else:
                refs.append((message.visitor_id, message.id))
        try:
            self.rt.live.publish(notes)
            if refs:
                self.rt.queue.enqueue(refs)
        except Exception as error:
            log.warning("bell_failed", reason=str(error)[:200])

    def _trim(self) -> None:
        """Removes what took effect long enough ago; without the tail when the log grows large."""
        self._trimmed_at = time.monotonic()
        crowded = self.rt.log.size() * 2 > self.rt.log.max_bytes
        with self.rt.db.read() as connection:
            committed = partitions.offsets(connection, self.rt.log.partitions)
        for partition in self.held:
            milliseconds, sequence = order(committed[partition])
            oldest = int(time.time() * 1000) - TAIL_SECONDS * 1000
            if not crowded and oldest < milliseconds:
                milliseconds, sequence = oldest, 0
            self.rt.log.trim(partition, f"{milliseconds}-{sequence}")


def _addressees(message: Message) -> set[str]:
    """The streams that may carry it: the person's, and that of the browser in which it began."""
    found = {message.visitor_id}
    if message.anonymous_id is not None:
        found.add(anonymous_visitor(message.site_id, message.anonymous_id))
    return found


class _Undo(Exception):
    """Rolls a trial back."""


def _moment(entry_id: str) -> datetime:
    return datetime.fromtimestamp(order(entry_id)[0] / 1000, UTC)
