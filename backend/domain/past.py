"""What came before? A visitor's events by name, cut off at a moment: the history that conditions ask."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias

from backend.domain.event import Event
from backend.domain.history import HistoryNeeded, Key

END_OF_MOMENT = 2**63
"""An order greater than any event's: a timer sees all events of its moment."""

LAST_OF_MOMENT = 2**63 - 1
"""The greatest order of an event: what the engine reports comes after what was sent."""

NO_BOUNDS: Mapping[str, datetime | None] = {}
NOTHING: Mapping[str, Sequence[Event]] = {}

_moment_of = attrgetter("moment")

Since: TypeAlias = Mapping[str, datetime | None]
"""Which events, by name, and from when on; None is from the beginning."""


class Past:
    """The events at hand, by name; asking for what was not fetched raises `HistoryNeeded`.

    `since` tells from when on the events of a name are at hand, where not all of them are. `new` are the latest events,
    of any name: all that there are of a name of which there may not have been any `before`. `cut` is moved by the
    engine as it goes through time: (timestamp, order), inclusive.
    """

    __slots__ = ("_before", "_complete", "_events", "_moments", "_new", "_since", "_tallies", "cut")

    def __init__(
        self,
        events: Mapping[str, Sequence[Event]] = NOTHING,
        *,
        complete: bool = False,
        since: Since = NO_BOUNDS,
        new: Sequence[Event] = (),
        before: Callable[[str], bool] | None = None,
    ) -> None:
        self._events = events
        self._moments = {name: [event.moment for event in sequence] for name, sequence in events.items()}
        self._complete = complete
        self._since = since
        self._new = new
        self._before = before
        self._tallies: dict[tuple[str, Key], _Tally] = {}
        self.cut: tuple[datetime, int] | None = None

    def add(self, event: Event) -> None:
        """One more event, made by the engine on the way; where events of its name are not at hand, it is not kept.

        Nor is it a second time, when somebody goes the same way again.
        """
        known = self._at_hand(event.name)
        if known is None or any(each.message_id == event.message_id for each in known):
            return
        place = bisect_right(self._moments.get(event.name, ()), event.moment)
        self._put(event.name, [*known[:place], event, *known[place:]])

    @property
    def fetched(self) -> Since:
        """The names whose events were fetched, and from when on."""
        return self._since

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        """All events of that name from `since` on up to the cut, in order of time."""
        events = self._whole(name, since)
        moments = self._moments.get(name, ())
        start = 0 if since is None else bisect_left(moments, (since, -END_OF_MOMENT))
        end = len(moments) if self.cut is None else bisect_right(moments, self.cut)
        return events if start == 0 and end == len(moments) else events[start:end]

    def tally(self, name: str, since: datetime, until: datetime, key: Key) -> Mapping[Any, int]:
        """How many events of that name there are under each key, of those after `since` and up to `until` and the cut.

        It is kept from one moment to the next: who goes through time asks of each event twice, however long the span.
        """
        events = self._whole(name, since)
        moments = self._moments.get(name, ())
        start = bisect_right(moments, (since, END_OF_MOMENT))
        last = (until, END_OF_MOMENT)
        end = bisect_right(moments, last if self.cut is None or last < self.cut else self.cut)
        tally = self._tallies.get((name, key))
        if tally is None or tally.events is not events:
            tally = self._tallies[name, key] = _Tally(events, key)
        tally.move(start, max(start, end))
        return tally.counts

    def _whole(self, name: str, since: datetime | None) -> Sequence[Event]:
        """All events of that name that are at hand; HistoryNeeded where some from `since` on are not."""
        events = self._at_hand(name)
        if events is None:
            raise HistoryNeeded(name, since)
        bound = self._since.get(name)
        if bound is not None and (since is None or since < bound):
            raise HistoryNeeded(name, since)
        return events

    def _at_hand(self, name: str) -> Sequence[Event] | None:
        """The events of that name; None where some may be missing and it is not known since when."""
        events = self._events.get(name)
        if events is None:
            if self._complete:
                return ()
            if self._before is not None and not self._before(name):
                events = sorted((each for each in self._new if each.name == name), key=_moment_of)
                self._put(name, events)
        return events

    def _put(self, name: str, events: Sequence[Event]) -> None:
        self._events = {**self._events, name: events}
        self._moments = {**self._moments, name: [event.moment for event in events]}


class _Tally:
    """How many of a stretch of events there are under each key; the stretch may be moved."""

    __slots__ = ("_end", "_key", "_start", "counts", "events")

    def __init__(self, events: Sequence[Event], key: Key) -> None:
        self.events = events
        self.counts: Counter[Any] = Counter()
        self._key = key
        self._start = self._end = 0

    def move(self, start: int, end: int) -> None:
        """From now on it is about the events from the one place up to the other."""
        if start >= self._end or end <= self._start:
            self.counts.clear()
            self._add(start, end, 1)
        else:
            self._add(start, self._start, 1)
            self._add(self._start, start, -1)
            self._add(self._end, end, 1)
            self._add(end, self._end, -1)
        self._start, self._end = start, end

    def _add(self, start: int, end: int, times: int) -> None:
        counts = self.counts
        for place in range(start, end):
            told = self._key(self.events[place])
            if told is not None:
                counts[told] += times
                if not counts[told]:
                    del counts[told]


def together(one: Since, other: Since) -> dict[str, datetime | None]:
    """What holds both: every name of either, from the earlier moment on."""
    joined = dict(one)
    for name, since in other.items():
        known = joined.get(name, since)
        joined[name] = None if known is None or since is None else min(known, since)
    return joined


def by_name(events: Iterable[Event], names: Iterable[str] = ()) -> dict[str, list[Event]]:
    """Events grouped by name and sorted by moment; `names` are there even when nothing is known of them."""
    groups: dict[str, list[Event]] = {name: [] for name in names}
    for event in events:
        groups.setdefault(event.name, []).append(event)
    for group in groups.values():
        group.sort(key=_moment_of)
    return groups
