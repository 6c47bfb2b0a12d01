"""A rule made ready to run: every condition a function, every template parsed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from backend.domain.condition import Moment
from backend.domain.event import Event
from backend.domain.rule.model import Message, Rule
from backend.domain.template import ContentTemplates

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
class CompiledRule:
    """What the engine runs. Tests that were not written down are always true.

    `event` or `stage` is what triggers it (the other is None); `where` and `audience` are asked about moments;
    `cancels` are grouped by event name; `key_of` gives the trigger's key for `per_key` as text ("" for the other
    policies), or None where the trigger lacks it; `templates` hold the parsed content by variant name; `history`
    names the events whose history some condition of the rule may ask for.
    """

    rule: Rule
    event: str | None
    stage: str | None
    where: Test
    audience: Test
    cancels: Mapping[str, tuple[CompiledCancel, ...]]
    key_of: Callable[[Event], str | None]
    templates: Mapping[str, ContentTemplates]
    history: frozenset[str] = field(default=frozenset())

    @property
    def id(self) -> str:
        """The rule's id."""
        return self.rule.id

    @property
    def message(self) -> Message:
        """What the rule says."""
        return self.rule.spec.message
