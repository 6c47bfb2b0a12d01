"""The same message id under two visitors' names: it counts once for a site, and for whoever sent it first.

That a visitor, or a person on several devices, sends something again is known exactly, by the key of `events`. That
somebody else has sent it before can only be looked for, and a look for each event into an index over all of a site's
message ids would cost a sixth of the speed. So the latest ids are kept in memory, where a retry finds its like.
"""

from collections.abc import Collection, Sequence

from backend.pipeline.arrive import Arrived
from backend.pipeline.persons import ids_named
from backend.storage import events
from backend.storage.database import Connection

KEPT = 50_000
"""Message ids that are remembered at least; twice as many at most, in some 15 MB."""


class Repeats:
    """The latest message ids, each with the visitor who sent it; as hashes, so a hit is looked up."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._newer: dict[int, str] = {}
        self._older: dict[int, str] = {}

    def find(self, connection: Connection, arrived: Sequence[Arrived]) -> set[int]:
        """The places of those whose message id another visitor has sent before, in an earlier batch or in this one.

        What names the one who sent it before is no stranger's: it may tell who they are.
        """
        newer, older = self._newer, self._older
        keys = [each.key for each in arrived]
        if len(set(keys)) == len(keys) and newer.keys().isdisjoint(keys) and older.keys().isdisjoint(keys):
            return set()  # as usual, and known in a tenth of the time
        here: dict[int, int] = {}
        repeated: set[int] = set()
        doubtful: list[tuple[int, str]] = []
        for place, (key, each) in enumerate(zip(keys, arrived, strict=True)):
            owner = newer.get(key) or older.get(key)
            if owner is not None:
                if owner != each.visitor_id and owner not in ids_named((each,)):
                    doubtful.append((place, owner))
                continue
            other = arrived[here.setdefault(key, place)]
            if other.visitor_id != each.visitor_id and _strangers(other, each):
                if each.event.order < other.event.order:  # partitions are read one after the other
                    place, here[key] = here[key], place
                repeated.add(place)
        if doubtful:
            asked = {(owner, arrived[place].event.message_id) for place, owner in doubtful}
            there = events.sent_before(connection, asked)
            repeated.update(place for place, owner in doubtful if (owner, arrived[place].event.message_id) in there)
        return repeated

    def remember(self, arrived: Sequence[Arrived], without: Collection[int]) -> None:
        """Keeps in mind what has taken effect: all of these but those at the places `without`."""
        if len(self._newer) >= self._kept:
            self._older, self._newer = self._newer, {}
        kept = [each for place, each in enumerate(arrived) if place not in without] if without else arrived
        fresh = {each.key: each.visitor_id for each in reversed(kept)}  # the first one counts,
        for known in (self._older, self._newer):  # and before that whoever was known already
            fresh.update({key: known[key] for key in fresh.keys() & known.keys()})
        self._newer.update(fresh)


def _strangers(one: Arrived, other: Arrived) -> bool:
    """Whether these are the same message of two visitors, of whom neither names the other."""
    if one.event.message_id != other.event.message_id or one.site_id != other.site_id:
        return False
    return one.visitor_id not in ids_named((other,)) and other.visitor_id not in ids_named((one,))
