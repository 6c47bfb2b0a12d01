"""What is the past that conditions and facts ask? Somebody's events by name, up to a moment, as far as at hand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from backend.domain.event import Event

Key: TypeAlias = Callable[[Event], Any]
"""What an event is counted under, something hashable; None: it does not count."""


class HistoryNeeded(Exception):
    """The answer needs the visitor's events of this `name` from `since` on (None: all), and they are not at hand."""

    def __init__(self, name: str, since: datetime | None = None) -> None:
        super().__init__(f"The history of {name!r} is needed")
        self.name = name
        self.since = since


class History(Protocol):
    """The visitor's past, up to and including the moment."""

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        """All events of that name from `since` on, up to and including the moment, sorted by `Event.moment`.

        Earlier ones may be among them. May raise HistoryNeeded.
        """
        ...

    def tally(self, name: str, since: datetime, until: datetime, key: Key, /) -> Mapping[Any, int]:
        """How many events of that name there are under each key, of those after `since` and up to `until`.

        May raise HistoryNeeded. Whoever asks again later may find the mapping changed.
        """
        ...


class NoHistory:
    """A past that is not at hand: whoever asks learns what to fetch."""

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        """Raise HistoryNeeded."""
        raise HistoryNeeded(name, since)

    def tally(self, name: str, since: datetime, _until: datetime, _key: Key, /) -> Mapping[Any, int]:
        """Raise HistoryNeeded."""
        raise HistoryNeeded(name, since)


NO_HISTORY = NoHistory()
