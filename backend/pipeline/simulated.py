"""What does a simulation find? Its items and its figures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.engine import Collision
from backend.domain.enrolment import COMPLETED, DEFERRED, PENDING, Enrolment
from backend.domain.message import Message
from backend.schemas.documents import ProfileHead


@dataclass(frozen=True, slots=True)
class Said:
    """One message that would have been sent: as it would have read."""

    at: datetime
    channel: str
    step: str
    variant: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One enrolment that would have been; `at` is the moment of firing, `rule` the rule's name."""

    rule_id: str
    visitor_id: str
    anonymous_id: str | None
    user_id: str | None
    event_id: str
    entered_at: datetime
    at: datetime
    outcome: str
    reason: str | None
    variant: str | None = None
    channel: str | None = None
    rule: str = ""
    messages: tuple[Said, ...] = ()
    webhooks: int = 0


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """One page of items in order of visitor and time, and the summary of all of them."""

    items: list[Item]
    summary: dict[str, Any]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a simulation is: the part of the site's visitors that is done, from 0 to 1, and what was looked at."""

    share: float
    visitors: int
    events: int


def item_of(enrolment: Enrolment, profile: ProfileHead, name: str, messages: Sequence[Message], webhooks: int) -> Item:
    """One enrolment as an item; `name` is its rule's, `messages` all that were said, `webhooks` how many it called."""
    return Item(
        rule_id=enrolment.rule_id,
        visitor_id=profile.id,
        anonymous_id=enrolment.trigger.anonymous_id or (profile.anonymous_ids[0] if profile.anonymous_ids else None),
        user_id=profile.user_id,
        event_id=enrolment.trigger.message_id,
        entered_at=enrolment.entered_at,
        at=enrolment.at or enrolment.due_at,
        outcome=enrolment.outcome or (DEFERRED if enrolment.deferred else PENDING),
        reason=enrolment.reason or enrolment.deferred,
        variant=enrolment.variant,
        channel=enrolment.channel,
        rule=name,
        messages=tuple(
            Said(each.created_at, each.channel, each.step, each.variant, each.content)
            for each in messages
            if each.enrolment_id == enrolment.id
        ),
        webhooks=webhooks,
    )


class Summary:
    """The figures of a whole simulation."""

    def __init__(self) -> None:
        self.visitors = 0
        self.events = 0
        self.total = 0
        self.webhooks = 0
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.variants: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.reached = 0
        self.rules: dict[str, Counter[str]] = {}
        self.collisions: Counter[tuple[str, str]] = Counter()

    def count(self, items: Sequence[Item]) -> None:
        """Counts the items of one visitor."""
        self.reached += bool(items)
        self.total += len(items)
        for item in items:
            self.webhooks += item.webhooks
            self.rules.setdefault(item.rule_id, Counter())[item.outcome] += 1
            self.outcomes[item.outcome] += 1
            if item.reason is not None:
                self.reasons[item.reason] += 1
            if item.variant is not None:
                self.variants[item.variant] += 1

    def collide(self, collision: Collision) -> None:
        """Counts a message that a cap held back."""
        self.collisions.update((collision.rule_id, other) for other in collision.by)

    def as_dict(self) -> dict[str, Any]:
        return {
            "visitors": self.visitors,
            "events": self.events,
            "entered": self.total,
            "entered_visitors": self.reached,
            "sent": self.outcomes["sent"],
            "skipped": self.outcomes["skipped"],
            "pending": self.outcomes[PENDING],
            "deferred": self.outcomes[DEFERRED],
            "completed": self.outcomes[COMPLETED],
            "webhooks": self.webhooks,
            "reasons": dict(self.reasons),
            "variants": dict(self.variants),
            "denied": dict(self.denied),
            "rules": {rule_id: dict(outcomes) for rule_id, outcomes in self.rules.items()},
            "collisions": [
                {"rule_id": held, "after": other, "count": count}
                for (held, other), count in self.collisions.most_common()
            ],
        }
