"""Which variant has won? Looked at a few times, not all the time, so that chance does not pass for a difference.

Who looks often enough finds a "winner" among equals. So there are at most `MOST_LOOKS` looks, at once, twice, four and
eight times the time (or people) that the rule names, and the risk of error that it allows is shared out evenly between
the looks, and again between the comparisons of one variant with the others (Bonferroni). A variant is chosen only where
it beats each other one: so one that is not the best is chosen with less than that risk, however the looks hang
together (for that it must beat the best one, of the `variants - 1` others, at one of the looks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from backend.domain.lift import Arm, best
from backend.domain.rule.model import WinnerRule

MOST_LOOKS = 4

NOTICE = timedelta(minutes=1)
"""So long after the decision it begins to hold: by then everybody who decides has heard of it."""


@dataclass(frozen=True, slots=True)
class Won:
    """A variant that gets everybody who is new, `since` this moment; `sentence` says by what numbers."""

    variant: str
    since: datetime
    sentence: str


Winners: TypeAlias = Mapping[tuple[str, str, str], Won]
"""By rule, step and test."""


def look_is_due(rule: WinnerRule, looks: int, began: datetime, persons: int, now: datetime) -> bool:
    """Whether it is time for another look, after so many."""
    if looks >= MOST_LOOKS:
        return False
    if rule.after is not None:
        return now >= began + rule.after * (1 << looks)
    return rule.persons is not None and persons >= rule.persons << looks


def next_look(rule: WinnerRule, looks: int, began: datetime) -> datetime | int | None:
    """The moment of the next look, or the number of people at which it comes; None where there is none."""
    if looks >= MOST_LOOKS:
        return None
    if rule.after is not None:
        return began + rule.after * (1 << looks)
    return None if rule.persons is None else rule.persons << looks


def confidence_of_look(rule: WinnerRule, variants: int) -> float:
    """How sure one comparison at one look must be, so that all together are as sure as the rule asks."""
    return 1 - (1 - rule.confidence / 100) / MOST_LOOKS / max(1, variants - 1)


def look(rule: WinnerRule, arms: Mapping[str, Arm]) -> str | None:
    """The variant that has won by these numbers; None where none has."""
    return best(arms, confidence_of_look(rule, len(arms)))


def verdict(rule: WinnerRule, arms: Mapping[str, Arm], variant: str) -> str:
    """In a sentence, why it was chosen."""
    what = "reached the goal" if rule.by == "goal" else "clicked"
    own = arms[variant]
    others = ", ".join(f"{arm.share:.1%} of {arm.persons} with {name}" for name, arm in arms.items() if name != variant)
    return f"{own.share:.1%} of {own.persons} people {what}, against {others}."
