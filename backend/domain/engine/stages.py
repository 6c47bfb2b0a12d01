"""A site's own funnel ready to be asked: its stages as segments with an order, and which of them is the furthest."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from backend.domain.condition import Condition
from backend.domain.condition.tree import All, Not
from backend.domain.engine.result import Staged
from backend.domain.funnel import Funnel, Stage
from backend.domain.profile import STAGES, STAGES_KEPT, Profile, StageAt
from backend.domain.segment import Segment, SegmentSpec
from backend.domain.source import origin_of
from backend.domain.stage import stage_of

if TYPE_CHECKING:
    from backend.domain.engine.walk import Walk

TICK = timedelta(microseconds=1)

UNKNOWN = "unknown"
"""The device of whom none is known."""


class Stages:
    """What `Membership` asks of a funnel; a built-in stage that is left out counts as the one before it that is not."""

    __slots__ = ("_built_in", "_own", "names", "revision", "segments", "staying")

    def __init__(self, funnel: Funnel) -> None:
        self.names = funnel.names
        self.revision = funnel.revision
        own = [(place, each) for place, each in enumerate(funnel.stages) if each.enter is not None]
        self.segments: Sequence[Segment] = [_segment(each) for _, each in own]
        self.staying: dict[str, Condition] = {}
        for _, each in own:
            if each.leave is not None:
                self.staying[each.key] = Not(part=each.leave)
        self._own = [(place, each.key) for place, each in reversed(own)]
        self._built_in = _built_in(funnel)

    def of(self, profile: Profile) -> str:
        """The stage in which this visitor is, by what stands in `profile.segments`."""
        place = 0 if self._built_in is None else self._built_in[stage_of(profile)]
        standings = profile.segments
        for own, key in self._own:
            if own <= place:
                break
            standing = standings.get(key)
            if standing is not None and standing.entered_at is not None:
                return self.names[own]
        return self.names[place]


def catch_up(walk: "Walk") -> None:
    """The site has another funnel than this profile knows: where it stood before is still to be found out.

    Until then it is in the stage in which it is by the new one, without a word and without a history.
    """
    profile, funnel = walk.result.profile, walk.ruleset.site.funnel
    if profile.first_seen is None and not profile.stage_history:
        profile.__dict__["stages_built"] = funnel.revision
        return
    walk.behind = True
    if walk.membership is None or walk.membership.segments.stages is None:
        profile.__dict__["stage"] = stage_of(profile)


def note_stage(walk: "Walk", moment: datetime) -> None:
    """Writes down that the visitor has come into a stage, if it is another than before."""
    profile = walk.result.profile
    history = profile.stage_history
    if walk.behind or profile.first_seen is None or (history and history[-1].stage == profile.stage):
        return
    # Later than what is known, though by a tick: so the order of what was noted is that of its moments.
    at = moment if not history or moment > history[-1].at else history[-1].at + TICK
    profile.__dict__["stage_history"] = (*history, StageAt(profile.stage, at))[-STAGES_KEPT:]
    source, device = origin_of(profile.source), profile.device.type or UNKNOWN
    walk.result.staged.append(Staged(profile.stage, at, source, device))


def _segment(stage: Stage) -> Segment:
    assert stage.enter is not None
    entering = stage.enter if stage.leave is None else All(parts=(stage.enter, Not(part=stage.leave)))
    return Segment(id=stage.key, site_id="", spec=SegmentSpec(name=stage.name, condition=entering), revision=0)


def _built_in(funnel: Funnel) -> dict[str, int] | None:
    """The place of each built-in stage; None where no visitor's place depends on them."""
    places = {each.name: place for place, each in enumerate(funnel.stages) if not each.own}
    if not places:
        return None
    found, last = dict[str, int](), 0
    for name in STAGES:
        last = places.get(name, last)
        found[name] = last
    return found
