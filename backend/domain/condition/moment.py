"""What does a condition look at? One moment in a visitor's life: who, when, the event at hand, and what came before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from backend.domain.event import Event
from backend.domain.fact.standards import STANDARD, Standards
from backend.domain.profile import Profile


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


class NoHistory:
    """A past that is not at hand: whoever asks learns what to fetch."""

    def of(self, name: str, since: datetime | None = None) -> Sequence[Event]:
        """Raise HistoryNeeded."""
        raise HistoryNeeded(name, since)


NO_HISTORY = NoHistory()


@dataclass(kw_only=True, slots=True, eq=False)
class Moment:
    """What a compiled condition is asked about. Not frozen: one is made per event, and that must cost nothing.

    `event` is the trigger, which `event.` fields mean; `entered` the trigger's place in time, which `since: "entry"`
    counts from. `zone_name` is the site's time zone, for visitors of whose own nothing is known, and `standards` what
    facts about them are measured by. While conditions are asked about one moment, what it holds stays as it is:
    `answers` remembers those that many rules share. `memo` belongs to `performed … where`, and to nobody else.
    """

    profile: Profile
    at: datetime
    event: Event | None = None
    entered: tuple[datetime, int] | None = None
    history: History = NO_HISTORY
    operator_online: bool = False
    zone_name: str = "UTC"
    standards: Standards = STANDARD
    memo: dict[Any, Any] | None = None
    answers: dict[int, bool] | None = None
