"""What starts a rule? The kinds of trigger; in the end each is an event, sent by a page or made by the engine."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal, TypeAlias

from backend.domain.condition import Condition

ANY_VALUE: Any = object()
"""A trait trigger without `to` or `from`: whatever the value."""

MessageMoment: TypeAlias = Literal["sent", "shown", "clicked", "replied", "dismissed", "answered", "not_shown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventTrigger:
    """An event of this name, for which `where` holds."""

    event: str
    where: Condition | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTrigger:
    """The visitor entered this stage of the funnel."""

    stage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentTrigger:
    """The visitor came into this segment (its id), or with `entered` false: left it."""

    segment: str
    entered: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TraitTrigger:
    """A trait got another value: `to` this one, from `before` that one, where given."""

    trait: str
    to: Any = ANY_VALUE
    before: Any = ANY_VALUE


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionTrigger:
    """A session began; with `returning`, any but the first."""

    returning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InactiveTrigger:
    """Nothing was heard of the visitor for so long."""

    span: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class DateTrigger:
    """The date in a trait comes: so many days from it, at this local time, once or every year."""

    trait: str
    offset_days: int = 0
    at: time = time(9, 0)
    yearly: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplenishmentTrigger:
    """A product runs out `before` from now, by the habit of whoever buys it; at this local time of the day.

    One of these products, where any are named.
    """

    products: tuple[str, ...] = ()
    before: timedelta = timedelta(days=3)
    at: time = time(9, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageTrigger:
    """Something became of a message of a rule; `not_shown`: nothing did within `within`."""

    moment: MessageMoment
    rule_id: str
    within: timedelta | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiTrigger:
    """A backend asks for it, for one visitor: `POST rules/{id}/trigger`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BroadcastTrigger:
    """Everybody, from `at` on (None: as soon as it is active), again after `every`.

    `rate` is how many messages leave a minute, `most` how many in all of one round; with `segment` (its id) it is for
    the members only.
    """

    at: datetime | None = None
    every: timedelta | None = None
    rate: int = 1_000
    most: int | None = None
    segment: str | None = None


Trigger: TypeAlias = (
    EventTrigger
    | StageTrigger
    | SegmentTrigger
    | TraitTrigger
    | SessionTrigger
    | InactiveTrigger
    | DateTrigger
    | ReplenishmentTrigger
    | MessageTrigger
    | ApiTrigger
    | BroadcastTrigger
)
