"""What must end when two visitors turn out to be one person: what would never have begun, had they always been one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backend.domain.engine.noted import noted
from backend.domain.engine.reentry import denial_of
from backend.domain.enrolment import Enrolment
from backend.domain.rule import Reentry

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

MERGED = "merged"
"""Why such an enrolment ends: the same person is in the rule already, or was, by another of their ids."""


def superfluous(reentry: Reentry, enrolled: Iterable[Enrolment]) -> list[Enrolment]:
    """Those of a person's enrolments in one rule that wait, though what entered before by another id forbids them."""
    stays: list[Enrolment] = []
    ends: list[Enrolment] = []
    for each in sorted(enrolled, key=lambda one: (one.entered_at, one.id)):
        before = [one for one in stays if one.key == each.key]
        others = [one for one in before if one.visitor_id != each.visitor_id]
        if each.waiting and others and _forbidden(reentry, before, each):
            ends.append(each)
        else:
            stays.append(each)
    return ends


def end_superfluous(walk: "Walk") -> None:
    """Whoever was two visitors waits in no rule twice, nor in one that has had its say by the other id."""
    for rule_id in {each.rule_id for each in walk.waiting.values()}:
        rule = walk.ruleset.by_id.get(rule_id)
        if rule is None or len(walk.known[rule_id]) < 2:
            continue
        for each in superfluous(rule.rule.spec.reentry, walk.known[rule_id]):
            at = walk.now if walk.now is not None else each.due_at
            walk.end(noted(each, at, "", "ended", MERGED), MERGED, at)


def _forbidden(reentry: Reentry, before: Iterable[Enrolment], each: Enrolment) -> bool:
    if any(one.at is not None and one.at > each.entered_at for one in before):
        return True  # that one lived when this one began
    return denial_of(reentry, before, each.key, each.entered_at) is not None
