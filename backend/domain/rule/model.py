"""What is a rule? When this happens, to such a visitor, after this long, say that: the parts, frozen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from backend.domain.calendar import LocalDelay
from backend.domain.condition import Condition
from backend.domain.rule.limits import NO_LIMITS, Category, Limits
from backend.domain.rule.trigger import Trigger

Status: TypeAlias = Literal["draft", "active", "paused", "archived"]
Policy: TypeAlias = Literal["once", "every", "per_key"]

Basis: TypeAlias = Literal["sent", "shown", "clicked"]

ZERO = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """An event that ends the enrolment; `same` is the path (below the event) of a value that both must carry."""

    event: str
    where: Condition | None = None
    same: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reentry:
    """How often one visitor may enter; `at_most` entries within the last `per`, or once for each value at `key`."""

    policy: Policy = "once"
    at_most: int | None = None
    per: timedelta | None = None
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One wording: `content` holds Liquid sources by field (`title`, `body`, `subject`, `button`: {text, url}, …)."""

    name: str
    weight: float = 1
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WinnerRule:
    """When the variants are compared, by what, and how sure it must be: then the best gets everybody who is new.

    The first look is taken `after` that time, or once so many `persons` were given a variant; one of both is None.
    """

    after: timedelta | None = None
    persons: int | None = None
    by: Literal["goal", "clicked"] = "goal"
    confidence: float = 95


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What is said and how it travels; `holdout` is a percentage, `channels` stand in order of preference.

    `display` is how a pop-up comes into sight, one of `DISPLAYS`; None: as the site has it. `requires_operator`: it is
    said only while somebody is there to answer.
    """

    channels: tuple[str, ...]
    variants: tuple[Variant, ...]
    holdout: float = 0
    fallback_after: timedelta | None = None
    expires_after: timedelta = timedelta(days=7)
    winner: WinnerRule | None = None
    display: str | None = None
    requires_operator: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Delay:
    """Wait so long: an exact span, or until a local time on a day that fits."""

    span: timedelta | LocalDelay


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Wait for one of these events, or until a condition holds; after `timeout` go on with `otherwise`."""

    timeout: timedelta
    events: tuple[Cancel, ...] = ()
    until: Condition | None = None
    then: "Steps" = ()
    otherwise: "Steps" = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """Go one way where the condition holds now, else the other."""

    condition: Condition
    then: "Steps" = ()
    otherwise: "Steps" = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way of a split."""

    name: str
    weight: float
    steps: "Steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Send people different ways by chance, each always the same way."""

    name: str
    arms: tuple[Arm, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Say:
    """Say something; `name` tells the step apart in reports ("" for a rule of one message)."""

    name: str
    message: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class SetTrait:
    """Set traits of the visitor; text values are Liquid, None removes."""

    traits: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emit:
    """Report an event on the visitor's behalf; text values are Liquid."""

    event: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOut:
    """Call a webhook; the texts of `url`, `headers` and `body` are Liquid. Without `body` what happened is told."""

    name: str
    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """End here."""


Step: TypeAlias = Delay | Wait | Branch | Split | Say | SetTrait | Emit | CallOut | Stop
Steps: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """What ends an enrolment at once: its goal reached, or the audience no longer holding."""

    goal: bool = False
    not_matching: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What the rule is for: this event, `within` so long after a message was sent, shown or clicked (`basis`).

    `value` is where the event says what it was worth; None: what the order was worth.
    """

    event: str
    where: Condition | None = None
    within: timedelta = timedelta(days=7)
    basis: Basis = "sent"
    value: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSpec:
    """Everything a person writes down about a rule; `document` is that JSON again, with the defaults filled in.

    A rule of one message has one step, a `Say` without name. `segments` are the places at which it refers to some, by
    the id or name that is written there.
    """

    name: str
    trigger: Trigger
    steps: Steps
    priority: int = 0
    category: Category = "promotional"
    audience: Condition | None = None
    delay: timedelta = ZERO
    cancel: tuple[Cancel, ...] = ()
    exit: Exit = Exit()
    reentry: Reentry = Reentry()
    limits: Limits = NO_LIMITS
    goal: Goal | None = None
    segments: Mapping[str, Sequence[tuple[str | int, ...]]] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule of a site: what was written down, and where it stands. `version` grows with every edit.

    Whoever entered before the version `moved_to` goes on with that one; others go on with the one they entered with.
    """

    id: str
    site_id: str
    spec: RuleSpec
    status: Status = "draft"
    version: int = 1
    moved_to: int = 0


def blocks_of(step: Step) -> tuple[tuple[str, Steps], ...]:
    """The ways on from a step by name, each with its steps, in the order in which a program holds them."""
    match step:
        case Wait(then=then, otherwise=otherwise) | Branch(then=then, otherwise=otherwise):
            return (("then", then), ("else", otherwise))
        case Split(arms=arms):
            return tuple((arm.name, arm.steps) for arm in arms)
        case _:
            return ()


def messages_of(steps: Steps) -> Iterator[Say]:
    """Every message of these steps, however deep."""
    for step in steps:
        if isinstance(step, Say):
            yield step
        for _, block in blocks_of(step):
            yield from messages_of(block)
