"""Where workers died, the log is read one entry at a time, and an entry that kills whoever reads it is set aside."""

from collections.abc import Mapping

from backend.runtime import Runtime
from backend.storage import partitions
from backend.storage.database import Connection
from backend.storage.log import order

CAREFUL_AFTER = 3
"""Deaths at one offset after which entries are taken one by one."""

ASIDE_AFTER = 10
"""Deaths at one offset after which its entry is set aside: it kills whoever reads it."""


class Care:
    """What this worker knows of deaths; the count of them lies in SQL, written before an entry is touched."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt
        self._until: dict[int, str] = {}
        self._begun: dict[int, str] = {}
        self._turn = False

    def begin(self, connection: Connection, partition: int, offset: str) -> int:
        """Notes that this worker begins at this offset, once however often it tries; returns how many have."""
        if self._begun.get(partition) == offset:
            return partitions.attempts(connection, partition)
        attempts = partitions.count_attempt(connection, partition)
        self._begun[partition] = offset
        if attempts > CAREFUL_AFTER:
            # Everything that lies there now is suspect: the one that kills may be the last of them.
            self._until.setdefault(partition, self.rt.log.last_id(partition))
        return attempts

    def choose(self, offsets: Mapping[int, str]) -> tuple[dict[int, str], bool]:
        """What to read next, and whether with care: suspect partitions one at a time, in turns with the others."""
        suspect = {partition: offsets[partition] for partition in offsets if partition in self._until}
        sound = {partition: offset for partition, offset in offsets.items() if partition not in suspect}
        self._turn = bool(suspect) and (not sound or not self._turn)
        if not self._turn:
            return sound, False
        partition = min(suspect, key=lambda each: (order(suspect[each]), each))
        return {partition: suspect[partition]}, True

    def kills(self, partition: int, offset: str) -> bool:
        """Whether the entry behind this offset has killed too many; else notes that this worker begins with it."""
        with self.rt.db.begin() as connection:
            return self.begin(connection, partition, offset) > ASIDE_AFTER

    @property
    def suspects(self) -> bool:
        """Whether something is to be read with care."""
        return bool(self._until)

    def clear(self, *read: int) -> None:
        """Forgets the suspicion of these partitions."""
        for partition in read:
            self._until.pop(partition, None)

    def passed(self, offsets: Mapping[int, str]) -> None:
        """Forgets the suspicion where everything suspect has taken effect."""
        for partition, offset in offsets.items():
            until = self._until.get(partition)
            if until is not None and order(offset) >= order(until):
                self.clear(partition)
