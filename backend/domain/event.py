"""What is an event? One thing a visitor did, as the collector accepted it, with its time settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOTHING: Mapping[str, Any] = {}
"""No properties; shared, so nobody may write into it."""

SIGNAL = "signal"
"""The type of events that the engine makes itself, or that a backend asks for: nobody's doing, so not counted."""

CALL_NAMES = {
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "identify": "Identify",
    "group": "Group",
    "alias": "Alias",
}
"""The event name under which a call that is not `track` is counted and listened to."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One accepted event; `timestamp` and `received_at` are aware UTC datetimes.

    `order` is the event's place in the order of arrival within its site: it breaks ties between equal timestamps.
    `properties` holds a page's or track's properties and is empty for identify, whose facts are in `traits`. `signed`:
    the site's backend vouches for the user id.
    """

    message_id: str
    name: str
    type: str
    timestamp: datetime
    received_at: datetime
    order: int = 0
    anonymous_id: str | None = None
    user_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    previous_id: str | None = None
    group_id: str | None = None
    signed: bool = False

    @property
    def moment(self) -> tuple[datetime, int]:
        """Its place in time: by timestamp, then by order of arrival."""
        return (self.timestamp, self.order)


def make_event(told: dict[str, Any]) -> Event:
    """`Event(**told)` with every field told, without what a frozen dataclass's constructor costs.

    Events are made by the ten thousand a second, out of the log and out of SQL. The dictionary becomes the event's own.
    """
    event = object.__new__(Event)
    object.__setattr__(event, "__dict__", told)
    return event
