"""A profile is asked anew, at one moment and without a word: something else has changed, not the visitor."""

from collections.abc import Callable, Collection
from datetime import datetime

from backend.domain.engine.result import Advance
from backend.domain.engine.ruleset import Ruleset
from backend.domain.engine.stages import catch_up, note_stage
from backend.domain.engine.walk import Walk
from backend.domain.past import END_OF_MOMENT, Past
from backend.domain.profile import Profile
from backend.domain.stage import stage_of


def rebuild(ruleset: Ruleset, profile: Profile, past: Past, at: datetime) -> Advance:
    """Asks those definitions of segments that are newer than the profile knows, and nothing else, at `at`.

    Raises `PastNeeded` as `advance` does.
    """

    def build(walk: Walk) -> None:
        _catch_up(walk)
        if walk.membership is not None:
            walk.membership.build(at, END_OF_MOMENT)

    return _asked(ruleset, profile, past, build)


def without_history(ruleset: Ruleset, profile: Profile, names: Collection[str], past: Past, at: datetime) -> Advance:
    """Asks at `at` what looks at events of these names, some of which are kept no longer.

    Raises `PastNeeded` as `advance` does.
    """

    def look_back(walk: Walk) -> None:
        _catch_up(walk)
        if walk.membership is not None:
            walk.membership.look_back(names, at)

    return _asked(ruleset, profile, past, look_back)


def restaged(ruleset: Ruleset, profile: Profile, past: Past, at: datetime) -> Advance:
    """Asks at `at` in which stage somebody is whose `stage_history` was written anew; another is the newest in it.

    Raises `PastNeeded` as `advance` does.
    """

    def restage(walk: Walk) -> None:
        if walk.membership is not None:
            walk.membership.restaged(at)
        else:
            walk.result.profile.__dict__["stage"] = stage_of(walk.result.profile)
        note_stage(walk, at)

    return _asked(ruleset, profile, past, restage)


def _asked(ruleset: Ruleset, profile: Profile, past: Past, ask: Callable[[Walk], None]) -> Advance:
    walk = Walk(ruleset, profile, (), past, None)
    try:
        ask(walk)
        walk.wakes.note()
        return walk.result
    finally:
        walk.forget()


def _catch_up(walk: Walk) -> None:
    if walk.result.profile.stages_built != walk.ruleset.site.funnel.revision:
        catch_up(walk)
