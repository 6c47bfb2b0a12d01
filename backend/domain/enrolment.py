"""What is an enrolment? One visitor's way through one rule, from the trigger to the one outcome."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.event import Event

SENT, SKIPPED, PENDING = "sent", "skipped", "pending"


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """One enrolment; `trigger` is the event that `event.` fields mean at firing.

    `due_at` is the moment of firing; `at` the moment at which it ended. `outcome` is None while it waits.
    """

    id: str
    site_id: str
    visitor_id: str
    rule_id: str
    rule_version: int
    key: str
    entered_at: datetime
    due_at: datetime
    trigger: Event
    outcome: str | None = None
    reason: str | None = None
    at: datetime | None = None
    variant: str | None = None
    channel: str | None = None
    message_id: str | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has not ended yet."""
        return self.outcome is None
