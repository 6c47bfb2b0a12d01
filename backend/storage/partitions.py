"""How far is each partition of the log in effect? Offsets in SQL, moved by compare-and-set."""

from sqlalchemy import Connection, bindparam, insert, select, update

from backend.storage.log import START
from backend.storage.tables import partitions

_ALL = select(partitions)
_MOVE = (
    update(partitions)
    .where(partitions.c.partition == bindparam("place"), partitions.c.last_id == bindparam("before"))
    .values(last_id=bindparam("after"), attempts=0)
)


class LostRace(Exception):
    """Another worker moved this partition's offset: what was done here must be rolled back."""


def offsets(connection: Connection, count: int) -> dict[int, str]:
    """The offset of every partition; those that are new begin at the start of the log."""
    found = {row.partition: row.last_id for row in connection.execute(_ALL)}
    return {partition: found.get(partition, START) for partition in range(count)}


def create(connection: Connection, count: int) -> None:
    """Adds the rows that are missing."""
    found = set(connection.scalars(select(partitions.c.partition)))
    missing = [{"partition": each, "last_id": START} for each in range(count) if each not in found]
    if missing:
        connection.execute(insert(partitions), missing)


def move(connection: Connection, partition: int, before: str, after: str) -> None:
    """Sets the offset to `after` if it still is `before`; raises `LostRace` otherwise. Forgets failed attempts."""
    moved = connection.execute(_MOVE, {"place": partition, "before": before, "after": after})
    if moved.rowcount != 1:
        raise LostRace(f"Partition {partition} was moved by another worker.")


def count_attempt(connection: Connection, partition: int) -> int:
    """Notes that a worker begins at this offset; returns how many have begun there without getting further."""
    connection.execute(
        update(partitions).where(partitions.c.partition == partition).values(attempts=partitions.c.attempts + 1)
    )
    return attempts(connection, partition)


def attempts(connection: Connection, partition: int) -> int:
    """How many workers have begun at this offset without getting further."""
    return connection.scalar(select(partitions.c.attempts).where(partitions.c.partition == partition)) or 0
