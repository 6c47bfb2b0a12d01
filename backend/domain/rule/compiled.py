"""A rule made ready to run: every condition a function, every template parsed, the steps a flat program."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from backend.domain.calendar import LocalDelay
from backend.domain.condition import Condition, Moment
from backend.domain.event import Event
from backend.domain.fact import Standards
from backend.domain.fact.supply import Forecast
from backend.domain.profile import Profile
from backend.domain.rule.model import Arm, Message, Rule
from backend.domain.rule.trigger import ProductTrigger
from backend.domain.shelf import RELATED
from backend.domain.template import ContentTemplates, Template

Test: TypeAlias = Callable[[Moment], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledCancel:
    """One cancel; `where` is asked about the cancelling event, `same` about (cancelling event, trigger)."""

    event: str
    where: Test
    same: Callable[[Event, Event | None], bool]

    def hits(self, moment: Moment, trigger: Event | None) -> bool:
        """Tell whether `moment.event` (of this name already) ends the enrolment that `trigger` began."""
        event = moment.event
        return event is not None and self.same(event, trigger) and self.where(moment)


@dataclass(frozen=True, kw_only=True, slots=True)
class DelayOp:
    """Wait so long, then go on behind it."""

    span: timedelta | LocalDelay


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitOp:
    """Wait for an event or a condition, then go on at `then`; after `timeout` at `otherwise`."""

    timeout: timedelta
    events: Mapping[str, tuple[CompiledCancel, ...]]
    until: Test | None
    then: int
    otherwise: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchOp:
    """Go on behind it where the condition holds, else at `otherwise`."""

    test: Test
    otherwise: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOp:
    """Go on where this person's arm begins."""

    name: str
    arms: tuple[Arm, ...]
    starts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class JumpOp:
    """Go on at `to`."""

    to: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SayOp:
    """Say something; `templates` hold the parsed content by variant name.

    `test` names the contest of its variants, and changes with what they say; "" where no winner is looked for.
    `product` are the names that they read of the trigger's product, `facts` those of facts, here and in other steps.
    """

    name: str
    message: Message
    templates: Mapping[str, ContentTemplates]
    test: str = ""
    product: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class EmitOp:
    """Report an event, or with `event` None set traits; texts are templates."""

    event: str | None
    values: Mapping[str, Template | Any]
    product: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class CallOutOp:
    """Call a webhook; texts are templates, in `body` however deep. Without `body` what happened is told."""

    name: str
    method: str
    url: Template
    headers: Mapping[str, Template]
    body: Mapping[str, Any] | None
    product: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()


Op: TypeAlias = DelayOp | WaitOp | BranchOp | SplitOp | JumpOp | SayOp | EmitOp | CallOutOp
Program: TypeAlias = tuple[Op, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """A moment that no event marks; `next` gives the first one after `after` for a profile, in the site's zone.

    `name` is that of the signal which marks it then; with `told` there is one for each of its answers at that moment.
    """

    name: str
    next: Callable[[Profile, datetime | None, str, Standards], datetime | None]
    told: Callable[[Profile, datetime, str, Standards], Sequence[Forecast]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledGoal:
    """What the rule is for: an event for which `where` holds, `within` so long of a contact's moment of that `basis`.

    `value` is the path below the event at which it says what it was worth; None: what the order was worth.
    """

    event: str
    where: Test
    within: timedelta
    basis: str = "sent"
    value: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One of the tests that must all hold for a rule to start; `cost` as in `cost_of`.

    Parts of the same `key` are the same question; "" is nobody else's. `of_trigger`: it is asked about the trigger.
    """

    test: Test
    cost: int
    key: str = ""
    condition: Condition | None = None
    of_trigger: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledRule:
    """What the engine runs. Tests that were not written down are always true.

    What triggers it is one of: `event` (a name), `stage`, `trait` (its name), `segment` (its id, and whether it is
    entered), `session`, `watch`. `where` is asked about the trigger, with `change` (before, after) for a trait;
    `audience` about moments; `parts` are both once more, taken apart. `cancels` are grouped by event name; `key_of`
    gives the trigger's key for `per_key` as text ("" for the other policies), or None where the trigger lacks it;
    `history` names the events whose history some condition of the rule may ask for, `lookback` how far it goes back,
    for those of them for which that is bounded. `starts` are the places in `program` at which the steps begin, those
    of a step's ways behind the step itself.
    """

    rule: Rule
    event: str | None = None
    stage: str | None = None
    trait: str | None = None
    segment: tuple[str, bool] | None = None
    session: bool = False
    watch: Watch | None = None
    where: Test
    change: Callable[[Any, Any], bool] | None = None
    audience: Test
    parts: tuple[Part, ...]
    cancels: Mapping[str, tuple[CompiledCancel, ...]]
    key_of: Callable[[Event], str | None]
    program: Program
    starts: tuple[int, ...] = ()
    goal: CompiledGoal | None = None
    history: frozenset[str] = field(default=frozenset())
    lookback: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.rule.id

    @property
    def relates(self) -> bool:
        """Whether it must be known who is interested in what: its trigger asks, or what its texts tell of products."""
        if isinstance(self.rule.spec.trigger, ProductTrigger):
            return True
        asked = (op.product for op in self.program if isinstance(op, SayOp | EmitOp | CallOutOp))
        return any(name in RELATED or name == "" for names in asked for name in names)

    def saying(self, step: str) -> SayOp | None:
        """The message of this step; None where the rule says nothing of that name."""
        return next((op for op in self.program if isinstance(op, SayOp) and op.name == step), None)
