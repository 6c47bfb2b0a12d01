"""What came before? A visitor's events by name, cut off at a moment: the history that conditions ask."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from backend.domain.condition import HistoryNeeded
from backend.domain.event import Event

END_OF_MOMENT = 2**63
"""An order greater than any event's: a timer sees all events of its moment."""

LAST_OF_MOMENT = 2**63 - 1
"""The greatest order of an event: what the engine reports comes after what was sent."""


class Past:
    """The events at hand, by name; asking for a name that was not fetched raises `HistoryNeeded`.

    `cut` is moved by the engine as it goes through time: (timestamp, order), inclusive.
    """

    __slots__ = ("_complete", "_events", "_moments", "cut")

    def __init__(self, events: Mapping[str, Sequence[Event]], *, complete: bool = False) -> None:
        self._events = events
        self._moments = {name: [event.moment for event in sequence] for name, sequence in events.items()}
        self._complete = complete
        self.cut: tuple[datetime, int] | None = None

    def add(self, event: Event) -> None:
        """One more event, made by the engine on the way; where events of its name are not at hand, it is not kept."""
        known = self._events.get(event.name)
        if known is None and not self._complete:
            return
        moments = self._moments.get(event.name, [])
        place = bisect_right(moments, event.moment)
        self._events = {**self._events, event.name: [*(known or ())[:place], event, *(known or ())[place:]]}
        self._moments = {**self._moments, event.name: [*moments[:place], event.moment, *moments[place:]]}

    @property
    def names(self) -> Iterable[str]:
        """The names whose events are at hand."""
        return self._events.keys()

    def of(self, name: str) -> Sequence[Event]:
        """All events of that name up to the cut, in order of time."""
        events = self._events.get(name)
        if events is None:
            if self._complete:
                return ()
            raise HistoryNeeded(name)
        if self.cut is None:
            return events
        return events[: bisect_right(self._moments[name], self.cut)]


def by_name(events: Iterable[Event], names: Iterable[str] = ()) -> dict[str, list[Event]]:
    """Events grouped by name and sorted by moment; `names` are there even when nothing is known of them."""
    groups: dict[str, list[Event]] = {name: [] for name in names}
    for event in events:
        groups.setdefault(event.name, []).append(event)
    for group in groups.values():
        group.sort(key=lambda each: each.moment)
    return groups
