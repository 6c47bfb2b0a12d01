"""What starts a rule? The kinds of trigger; in the end each is an event, sent by a page or made by the engine."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from backend.domain.condition import Condition
from backend.domain.product import State, came_back, drop_between, ran_low
from backend.domain.shopping import Interest

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


ProductChange: TypeAlias = Literal["price_dropped", "back_in_stock", "low_stock"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductTrigger:
    """Something became of a product in which the visitor showed an interest of these kinds, within so long before.

    `percent` is by how much the price fell at least, `most` how many pieces are left at most. `rate` is how many
    visitors are told a minute. `learned`: changes count too of which only events told, which anybody may report.
    """

    change: ProductChange
    interests: tuple[Interest, ...] = ("viewed", "carted")
    within: timedelta = timedelta(days=30)
    percent: Decimal = Decimal(0)
    most: int = 0
    rate: int = 1_000
    learned: bool = False

    def asks_for(self, before: State, after: State) -> bool:
        """Whether this is the change that is waited for."""
        if after.learned and not self.learned:
            return False
        if self.change == "price_dropped":
            drop = drop_between(before, after)
            return drop is not None and drop >= self.percent
        if self.change == "back_in_stock":
            return came_back(before, after)
        return ran_low(before, after, self.most)

    def lasts(self, then: State, now: State) -> bool:
        """Whether the change to `then` still holds, as the product stands now."""
        if self.change == "price_dropped":
            return then.price is not None and now.price is not None and now.price <= then.price
        if self.change == "back_in_stock":
            return now.available is True
        return now.stock is not None and 0 < now.stock <= self.most and now.available is not False


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
    | ProductTrigger
    | ApiTrigger
    | BroadcastTrigger
)
