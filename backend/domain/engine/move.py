"""The verb `move`: an enrolment that stands in one version of its rule goes on with another."""

from dataclasses import replace
from datetime import datetime

from backend.domain.engine.noted import noted
from backend.domain.engine.ruleset import Ruleset
from backend.domain.enrolment import Enrolment
from backend.domain.rule import CompiledRule
from backend.domain.rule.compiled import SayOp, WaitOp
from backend.domain.rule.layout import Address, Spot, follow, prelude_of, said_again, spots_of
from backend.domain.standing import in_delay, spot_of

CHANGED = "rule_changed"
"""Why an enrolment ends that was moved to a version of its rule in which nothing follows its place."""


def settle(ruleset: Ruleset, enrolment: Enrolment, present: CompiledRule, at: datetime) -> Enrolment | None:
    """A waiting enrolment of a version that is not the present one, as it goes on: as it is, or moved to a later one.

    None where it cannot. Raises `VersionNeeded` for a version that is not at hand.
    """
    moved_to = present.rule.moved_to
    own = ruleset.version_of(present, enrolment.rule_version)
    if enrolment.rule_version >= moved_to:
        return enrolment if own is not None else None
    later = ruleset.version_of(present, moved_to)
    return move(enrolment, own, later, at) if own is not None and later is not None else None


def move(enrolment: Enrolment, old: CompiledRule, new: CompiledRule, at: datetime) -> Enrolment | None:
    """The enrolment at its place in `new`; None where nothing follows there that it could go on with.

    A delay or a waiting that has begun runs to the end that it had, and a message that must wait is asked again at the
    moment that was set. What was said before is not said again.
    """
    found = _place(enrolment, old, new)
    if found is None:
        return None
    position, same = found
    op = new.program[position] if position < len(new.program) else None
    stays = same and isinstance(op, SayOp)
    told = f"From version {enrolment.rule_version} to {new.rule.version}."
    return replace(
        noted(enrolment, at, "", "moved", detail=told),
        rule_version=new.rule.version,
        position=position,
        waits=same and enrolment.waits and isinstance(op, WaitOp),
        deferred=enrolment.deferred if stays else None,
        deferred_at=enrolment.deferred_at if stays else None,
        said=said_again(enrolment.said, old.rule.spec.steps, new.rule.spec.steps),
    )


def _place(enrolment: Enrolment, old: CompiledRule, new: CompiledRule) -> tuple[int, bool] | None:
    """The place in the program of `new`, and whether it is that of the same step."""
    delayed = in_delay(old, enrolment)
    if delayed and enrolment.position < prelude_of(old):
        # So far only the first of two delays: that for seeing whether a message is shown.
        return min(enrolment.position, prelude_of(new)), True
    spots = spots_of(old)
    here = spot_of(spots, old, enrolment)
    if here is None:
        return (prelude_of(new), True) if delayed else None
    found = follow(old.rule.spec.steps, new.rule.spec.steps, here.address)
    if found is None:
        return None
    address, same = found
    later = {each.address: each for each in spots_of(new)}
    if address[-1] == -1:
        behind = _behind(later, address[:-1])
        return None if behind is None else (behind, False)
    return later[address].start + (1 if same and delayed else 0), same


def _behind(spots: dict[Address, Spot], address: Address) -> int | None:
    """Where it goes on behind the step at this address; None where nothing does."""
    while address:
        index = address[-1]
        assert isinstance(index, int)
        following = spots.get((*address[:-1], index + 1))
        if following is not None:
            return following.start
        address = address[:-2]
    return None
