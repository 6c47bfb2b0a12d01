"""What does a condition look at? One moment in a visitor's life: who, when, the event at hand, and what came before."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.event import Event
from backend.domain.fact.standards import STANDARD, Standards
from backend.domain.history import NO_HISTORY, History
from backend.domain.profile import Profile


@dataclass(kw_only=True, slots=True, eq=False)
class Moment:
    """What a compiled condition is asked about. Not frozen: one is made per event, and that must cost nothing.

    `event` is the trigger, which `event.` fields mean; `entered` the trigger's place in time, which `since:
    "entry"` counts from. `zone_name` is the site's time zone, for visitors of whose own nothing is known, and
    `standards` what facts about them are measured by. `somebody` tells whether an operator is there, where that is
    asked. While conditions are asked about one moment, what it holds stays as it is: `answers` remembers those that
    many rules share. `memo` belongs to `performed … where`, and to nobody else.
    """

    profile: Profile
    at: datetime
    event: Event | None = None
    entered: tuple[datetime, int] | None = None
    history: History = NO_HISTORY
    somebody: Callable[[datetime], bool] | None = None
    zone_name: str = "UTC"
    standards: Standards = STANDARD
    memo: dict[Any, Any] | None = None
    answers: dict[int, bool] | None = None

    @property
    def operator_online(self) -> bool:
        """Whether somebody is there to answer."""
        return self.somebody is not None and self.somebody(self.at)
