"""What does a rule do, and how soon after it began at the earliest?"""

from dataclasses import dataclass
from datetime import timedelta

from backend.domain.rule.model import ZERO, Branch, Delay, Emit, RuleSpec, Say, SetTrait, Split, Step, Steps, Stop, Wait


@dataclass(frozen=True, slots=True)
class Act:
    """A step that others may notice; `after` is the least time from the trigger of the rule to it."""

    step: Step
    after: timedelta


def acts_of(spec: RuleSpec) -> list[Act]:
    """Every step of a rule that says, reports or sets something, as far as anybody can get to it."""
    found: list[Act] = []
    # What `not_shown` waits for is part of how its rule is started, and counted there.
    _collect(spec.steps, spec.delay, found)
    return found


def _collect(steps: Steps, after: timedelta, found: list[Act]) -> timedelta | None:
    """Notes the acts of these steps, begun `after`; when they are through at the earliest, None where never."""
    now: timedelta | None = after
    for step in steps:
        if now is None:
            return None
        match step:
            case Delay(span=span):
                # Until a local time: that may be the next minute.
                now += span if isinstance(span, timedelta) else ZERO
            case Stop():
                return None
            case Wait():
                now = _first(_collect(step.then, now, found), _collect(step.otherwise, now + step.timeout, found))
            case Branch():
                now = _first(_collect(step.then, now, found), _collect(step.otherwise, now, found))
            case Split():
                now = _first(*(_collect(arm.steps, now, found) for arm in step.arms if arm.weight > 0))
            case Say() | Emit() | SetTrait():
                found.append(Act(step, now))
    return now


def _first(*ends: timedelta | None) -> timedelta | None:
    return min((end for end in ends if end is not None), default=None)
