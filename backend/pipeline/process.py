"""The step `process`: reads the log, and lets each batch take effect together with its offset.

One transaction holds the events, what they caused, and how far the log has been read; so whoever dies when, each
accepted event takes effect once. Messages leave after the commit; what gets lost then is found again by `upkeep`.
"""

import gc
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from uuid import uuid4

import structlog

from backend.errors import ChimeinError
from backend.pipeline.admit import Admission, without_erased
from backend.pipeline.apply import Effects, apply
from backend.pipeline.arrive import Arrived, one
from backend.pipeline.batch import Poisoned, due_visitors
from backend.pipeline.blame import culprits
from backend.pipeline.careful import Care
from backend.pipeline.clear_dead import keep_out
from backend.pipeline.faults import point
from backend.pipeline.learn_names import NameLearner
from backend.pipeline.learn_products import PARTING, ProductLearner
from backend.pipeline.reading import Read, Reader
from backend.pipeline.repeats import Repeats
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.send_on import send_on
from backend.runtime import Runtime
from backend.storage import dead, partitions
from backend.storage.database import Connection, is_poison, is_transient
from backend.storage.dead import DeadEvent
from backend.storage.leases import Leases
from backend.storage.log import order
from backend.storage.partitions import LostRace

log = structlog.get_logger(__name__)

PACE_SECONDS = 0.005
"""The least time between the beginnings of two transactions: in a steady flow each then carries several events, and the
first after a pause is taken at once."""

DUE_AT_ONCE = 1_000
BLOCK_MS = 100
TRIM_SECONDS = 5.0
TAIL_SECONDS = 10
"""How much of the log is kept behind the offset, for a database that lost its last commits in a power cut."""

COLLECT_SECONDS = 20.0
"""Between two runs of Python's collector of cycles."""

TIDY_EVENTS = 2_000
"""Events after which SQLite's log is carried over into its file: some 8 MB."""

LEASE_SECONDS = 1.5


def run(rt: Runtime, stop: threading.Event) -> None:
    """Processes until `stop` is set; survives the loss of Redis and of the database, and tries again."""
    spare_collector()
    processor = Processor(rt)
    pause, collected_at = 0.1, time.monotonic()
    try:
        while not stop.is_set():
            if time.monotonic() - collected_at > COLLECT_SECONDS:
                gc.collect()
                collected_at = time.monotonic()
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


def spare_collector() -> None:
    """Keeps Python's collector of cycles out of batches: they make many objects and no cycles, and go as a whole.

    Whoever calls this calls `gc.collect` now and then, between two of them.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


class Processor:
    """One worker: the partitions that it holds, and how far it has read each."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self.rulesets = Rulesets(rt)
        self.leases = Leases(rt.redis, f"{os.getpid()}-{uuid4().hex[:8]}", rt.log.partitions)
        self.offsets: dict[int, str] = {}
        self.held: set[int] = set()
        self.admission = Admission(rt.sites.vault)
        self.care = Care(rt)
        self.beside = ThreadPoolExecutor(1, "beside")
        self.reader = Reader(rt, self.care)
        self.repeats = Repeats()
        self.names = NameLearner(rt)
        self.products = ProductLearner(rt)
        self._tidier = ThreadPoolExecutor(1, "checkpoint")
        self._tidying: Future[None] | None = None
        self._untidy = 0
        self._leased_at = 0.0
        self._rest_until = 0.0
        self._trimmed_at = time.monotonic()

    def step(self, block_ms: int = BLOCK_MS) -> Effects:
        """Reads once, lets it take effect, sends on what it caused; returns that."""
        time.sleep(max(0.0, min(PACE_SECONDS, self._rest_until - time.monotonic())))
        self._hold()
        if not self.held:
            time.sleep(block_ms / 1000)  # every partition is read by somebody else
        read = self.reader.next(self.offsets, block_ms)
        if read.entries:
            self._rest_until = time.monotonic() + PACE_SECONDS
        effects = self.take(read) if read.entries else self._fire(read.horizon)
        if not read.entries:
            self.names.look(())  # the last event of a quiet site is learned too
        self.products.learn()
        if time.monotonic() - self._trimmed_at > TRIM_SECONDS:
            self._trim()
        return effects

    def drain(self) -> int:
        """Steps until nothing is left to read; returns how many events were folded."""
        folded = 0
        while True:
            self._hold()
            read = self.reader.next(self.offsets, 0)
            if not read.entries and not self.care.suspects:
                while self._fire(read.horizon).visited:
                    continue
                self.beside.submit(int).result()  # so that every bell has rung
                return folded
            folded += self.take(read).folded if read.entries else 0
            self.products.learn()

    def reload(self) -> None:
        """Forgets what it believes to know of offsets and leases."""
        self.reader.forget()
        self.held = set()
        self.offsets = {}
        self._leased_at = 0.0

    def leave(self) -> None:
        """Gives its partitions back."""
        self.reader.close()
        self.products.settle(PARTING)
        self.beside.shutdown()
        self._tidier.shutdown()
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
                    self.care.begin(connection, partition, offsets[partition])
        self.offsets = {partition: self.offsets.get(partition, offsets[partition]) for partition in held}
        for partition in held - self.held:
            self.offsets[partition] = offsets[partition]
        self.held = held

    def _take_over(self, partition: int, offset: str) -> None:
        """Makes sure that new entries come behind the offset: Redis may have lost its data, or come from a backup."""
        if order(self.rt.log.last_id(partition)) < order(offset):
            log.error("log_behind_offset", partition=partition, offset=offset, hint="The log lost entries.")
            self.rt.log.advance_ids(partition, offset)

    def take(self, read: Read) -> Effects:
        """Lets what was read take effect, and sends on what it caused; raises `LostRace` when another was faster."""
        now = self.rt.clock()
        excluded: dict[int, str] = {}
        while True:
            try:
                effects = self._commit(read, excluded, now)
                break
            except Poisoned as poisoned:
                excluded.update(poisoned.reasons)
            except Exception as error:
                if not is_poison(error) or not read.arrived:
                    raise
                found = culprits(self.rt, self.rulesets, read.arrived, excluded, now)
                if not found:
                    raise
                excluded.update(found)
        self.offsets.update(read.last)
        self.care.passed(read.last)
        self.names.look(effects.admitted)
        self.products.note(effects.shopping)
        if read.more:
            self.beside.submit(send_on, self.rt, effects)  # who has a backlog need not wait for the bells
        else:
            send_on(self.rt, effects)
        return effects

    def _commit(self, read: Read, excluded: dict[int, str], now: datetime) -> Effects:
        """One transaction: offsets, events, effects, and those set aside."""
        arrived = read.arrived
        with self.rt.db.begin() as connection:
            point("before_offset")
            for partition, entry_id in sorted(read.last.items()):
                partitions.move(connection, partition, self.offsets[partition], entry_id)
            point("after_offset")
            self.rulesets.refresh(connection)
            due = due_visitors(connection, read.horizon, DUE_AT_ONCE)
            left_out = excluded.keys() | self.repeats.find(connection, arrived)
            places = [index for index in range(len(arrived)) if index not in left_out] if left_out else None
            good = arrived if places is None else [arrived[index] for index in places]
            try:
                effects = apply(
                    connection,
                    self.rulesets.of,
                    good,
                    due,
                    until=read.horizon,
                    now=now,
                    admission=self.admission,
                    beside=self.beside,
                    meanwhile=lambda: self._ahead_of(read),
                )
            except Poisoned as poisoned:
                if places is not None:
                    raise Poisoned({places[index]: why for index, why in poisoned.reasons.items()}) from poisoned
                raise
            unreadable = keep_out(connection, self.rt.sites.vault, self.rulesets.of, read.unreadable)
            aside = [*unreadable, *self._aside(connection, arrived, excluded, now)]
            dead.add(connection, aside)
            point("before_commit")
        point("after_commit")
        self.repeats.remember(arrived, left_out)
        self._tidy(effects.folded)
        for each in aside:
            log.error("event_set_aside", id=each.id, reason=each.reason[:200])
        return effects

    def _aside(
        self, connection: Connection, arrived: Sequence[Arrived], excluded: dict[int, str], now: datetime
    ) -> list[DeadEvent]:
        """What cannot take effect, with the reason; nothing of somebody who was erased is kept even so."""
        if not excluded:
            return []
        reasons = {id(arrived[index]): reason for index, reason in excluded.items()}
        vault = self.rt.sites.vault
        kept = without_erased(connection, vault, self.rulesets.of, [arrived[index] for index in excluded])
        return [one(each, reasons[id(each)], now) for each in kept]

    def _ahead_of(self, read: Read) -> None:
        """Begins to read what lies behind these entries, if anything does."""
        if read.more:
            self.reader.ahead({**self.offsets, **read.last})

    def _tidy(self, folded: int) -> None:
        """Lets a thread make room in SQLite's log when enough events are new there, unless it still does."""
        self._untidy += folded
        if self._untidy >= TIDY_EVENTS and (self._tidying is None or self._tidying.done()):
            self._untidy = 0
            self._tidying = self._tidier.submit(self.rt.db.checkpoint)

    def _fire(self, horizon: datetime) -> Effects:
        """Fires what is due when nothing came in."""
        with self.rt.db.read() as connection:
            if not due_visitors(connection, horizon, 1):
                return Effects()
        with self.rt.db.begin() as connection:
            self.rulesets.refresh(connection)
            due = due_visitors(connection, horizon, DUE_AT_ONCE)
            effects = apply(connection, self.rulesets.of, (), due, until=horizon, now=self.rt.clock())
        point("after_commit")
        send_on(self.rt, effects)
        return effects

    def _trim(self) -> None:
        """Removes what took effect long enough ago; without the tail when the log grows large."""
        self._trimmed_at = time.monotonic()
        crowded = self.rt.log.size() * 2 > self.rt.log.max_bytes
        with self.rt.db.read() as connection:
            committed = partitions.offsets(connection, self.rt.log.partitions)
        point("before_trim")
        for partition in self.held:
            milliseconds, sequence = order(committed[partition])
            oldest = int(time.time() * 1000) - TAIL_SECONDS * 1000
            if not crowded and oldest < milliseconds:
                milliseconds, sequence = oldest, 0
            self.rt.log.trim(partition, f"{milliseconds}-{sequence}")
