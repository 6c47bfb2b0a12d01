"""Is an operator there? What they chose, held against what is seen of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

ONLINE, AWAY, OFF = PRESENCES = ("online", "away", "off")
"""Online: answers; away: may look in; off: not at work."""

IDLE_AFTER = timedelta(minutes=10)
"""Who does nothing for so long is away."""

GONE_AFTER = timedelta(seconds=90)
"""Of whose console nothing is heard for so long is off: longer than a reload, or a lift, takes."""


@dataclass(frozen=True, slots=True)
class Beat:
    """When a console was last heard of, and when its operator last did something there."""

    heard_at: datetime
    active_at: datetime


def presence_of(chosen: str, beat: Beat | None, now: datetime) -> str:
    """Whether somebody is online, away or off: what they chose, or less."""
    if chosen not in (ONLINE, AWAY) or beat is None or now - beat.heard_at > GONE_AFTER:
        return OFF
    return AWAY if chosen == AWAY or now - beat.active_at > IDLE_AFTER else ONLINE


def presences(chosen: Mapping[str, str], beats: Mapping[str, Beat], now: datetime) -> dict[str, str]:
    """The same of many, by operator."""
    return {each: presence_of(told, beats.get(each), now) for each, told in chosen.items()}
