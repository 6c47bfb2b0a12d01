"""Where does an enrolment stand in its rule, and what does it wait for?"""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.enrolment import Enrolment
from backend.domain.rule import CompiledRule
from backend.domain.rule.compiled import DelayOp
from backend.domain.rule.layout import Spot, spots_of, title_of
from backend.domain.rule.model import Wait

_HELD = {
    "cap": "Room under the caps.",
    "quiet_hours": "The end of the quiet hours, or the next send window.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """The step at which an enrolment waits by name or kind, its place in the document, and what it waits for."""

    step: str
    place: str
    waits_for: str


def standing(rule: CompiledRule, enrolment: Enrolment) -> Standing | None:
    """Where a waiting enrolment of this version of the rule stands; None for one that has ended."""
    if not enrolment.waiting:
        return None
    spot = spot_of(spots_of(rule), rule, enrolment)
    if spot is None:
        return Standing("delay", "delay", "The end of the delay.")
    if enrolment.deferred is not None:
        held = _HELD.get(enrolment.deferred, f"That it is held back no longer ({enrolment.deferred}).")
        return Standing(title_of(spot.step), spot.path, held)
    if enrolment.waits and isinstance(spot.step, Wait):
        return Standing("wait", spot.path, _awaited(spot.step))
    return Standing(title_of(spot.step), spot.path, "The end of the delay.")


def spot_of(spots: Sequence[Spot], rule: CompiledRule, enrolment: Enrolment) -> Spot | None:
    """The step at which a waiting enrolment of this version stands; None in the delay of the rule itself."""
    place = enrolment.position - 1 if in_delay(rule, enrolment) else enrolment.position
    return next((each for each in spots if each.start == place), None)


def in_delay(rule: CompiledRule, enrolment: Enrolment) -> bool:
    """Whether it waits in a delay: its place is then the one behind it."""
    before = rule.program[enrolment.position - 1] if 0 < enrolment.position <= len(rule.program) else None
    return isinstance(before, DelayOp) and not enrolment.waits and enrolment.deferred is None


def _awaited(step: Wait) -> str:
    told = [each.event for each in step.events]
    if step.until is not None:
        told.append("the condition at until")
    return f"{' or '.join(dict.fromkeys(told))}, or the time-out."
