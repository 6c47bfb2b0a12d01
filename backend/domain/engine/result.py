"""What a stretch of time brought about for one visitor, and what stops it from being told."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from backend.domain.attention import Contact
from backend.domain.condition import HistoryNeeded
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Since, together
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule
from backend.domain.webhook import Webhook


class PastNeeded(Exception):
    """Rules ask for events that are not at hand: of these names, each from a moment on (None: all)."""

    def __init__(self, since: Since) -> None:
        super().__init__(f"The history of {sorted(since)} is needed")
        self.since = since

    @property
    def names(self) -> frozenset[str]:
        """The names of all that is asked for."""
        return frozenset(self.since)

    @classmethod
    def by(cls, needed: HistoryNeeded, rules: Iterable[CompiledRule], at: datetime) -> "PastNeeded":
        """What was asked for, and what these rules are likely to ask for next, at `at`."""
        since: Since = {needed.name: needed.since}
        for rule in rules:
            since = together(since, {name: at - span for name, span in rule.lookback.items()})
        return cls(since)


class VersionNeeded(Exception):
    """An enrolment goes on by a version of its rule that is not at hand."""

    def __init__(self, rule_id: str, version: int) -> None:
        super().__init__(f"Version {version} of the rule {rule_id} is needed")
        self.rule_id = rule_id
        self.version = version


@dataclass(frozen=True, slots=True)
class Denial:
    """A trigger whose audience held, and that started nothing.

    `reason` is `live` (an enrolment waits already), or the re-entry policy: `once`, `per_key`, `at_most`.
    """

    rule_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Collision:
    """A message that a cap held back, after messages of the rules `by`."""

    rule_id: str
    by: tuple[str, ...]
    at: datetime


class Staged(NamedTuple):
    """A visitor came into a stage of the funnel, from where and by which kind of device."""

    stage: str
    at: datetime
    source: str
    device: str


@dataclass(slots=True)
class Advance:
    """Where a visitor stands after a stretch of time: what changed, and what is to be said.

    `enrolments` are those that began or changed in it, by id, as they stand at its end; `emitted` the events that rules
    reported, folded already, `homes` the one of the visitor's ids under which each is kept. `woken`: a moment was
    noticed that no event marks, so that the profile has changed.
    """

    profile: Profile
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    emitted: list[Event] = field(default_factory=list)
    homes: list[str] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    collisions: list[Collision] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """What rules raised, by rule id: a mistake of ours, which must not cost the event or the other rules."""
    woken: bool = False
    forgotten: list[Contact] = field(default_factory=list)
    """Contacts that had to make room, as they stood then."""
    staged: list[Staged] = field(default_factory=list)
    """The stages that were entered, in order."""
