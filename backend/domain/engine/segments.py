"""A site's segments ready to be asked: each as a function, found by the events and parts of a profile that it reads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.domain.condition import Comparison, Condition, Moment, Performed, Test, compile_condition
from backend.domain.condition.fields import BUCKET, DERIVED, asked_by
from backend.domain.condition.tree import All, AnyOf, LocalTime, Not, needed_history, walk
from backend.domain.condition.turning import Turning, turning_of
from backend.domain.condition.when import is_relative
from backend.domain.engine.stages import Stages
from backend.domain.fact import FACTS
from backend.domain.funnel import KEY, Funnel, reads_stage
from backend.domain.past import Since
from backend.domain.profile import Profile
from backend.domain.segment import Segment, asked_for, in_order

_GROUPS = (All, AnyOf, Not)
_NOBODY = Profile(id="", site_id="")
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)

_COUNTED = frozenset({"counts", "last_at"})
"""Parts of a profile that change with every event, in place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledSegment:
    """What the engine asks; `test` is None for a list that is kept by hand, `turning` where time alone turns nothing.

    `history` names the events whose history it may ask for, `lookback` how far back, of those that only facts are made
    of. `staying` is what is asked of who is in it, where that is
    something else, as with a stage that has a condition by which it is left. With `patient` events only put off the
    moment at which time turns the answer, so that one that was told need not be told anew; with `idle` they cannot
    change the answer before that moment either.
    """

    id: str
    segment: Segment
    test: Test | None
    turning: Turning | None
    history: frozenset[str]
    lookback: Mapping[str, timedelta]
    staying: tuple[Test, Turning | None] | None = None
    patient: bool = False
    idle: bool = False

    def asked(self, inside: bool) -> tuple[Test | None, Turning | None]:
        """What is asked of somebody who is in it, or is not."""
        return self.staying if inside and self.staying is not None else (self.test, self.turning)

    def since(self, at: datetime) -> Since:
        """What it may ask of the history at this moment."""
        return {name: at - self.lookback[name] if name in self.lookback else None for name in self.history}


@dataclass(slots=True)
class _Reads:
    """What a condition looks at: events by name, parts of the profile, and whether any event at all may concern it."""

    names: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    anything: bool = False


class Segments:
    """All segments of a site, each behind those that it asks for; `revision` is that of the newest definition."""

    __slots__ = (
        *("_always", "_by_name", "_by_part", "_followers", "all", "places", "revision", "watched"),
        *("funnel", "idle", "of_nobody", "staged", "stages"),
    )

    def __init__(self, segments: Iterable[Segment], funnel: Funnel | None = None) -> None:
        self.funnel = funnel
        self.stages = Stages(funnel) if funnel is not None and funnel.own else None
        own: Sequence[Segment] = self.stages.segments if self.stages is not None else ()
        ordered = in_order([*own, *segments])
        staying: Mapping[str, Condition] = self.stages.staying if self.stages is not None else {}
        self.all: Sequence[CompiledSegment] = [_compiled(each, staying.get(each.id)) for each in ordered]
        self.places: Mapping[str, int] = {each.id: place for place, each in enumerate(ordered)}
        self.revision = max((each.revision for each in ordered), default=0)
        by_name: dict[str, list[int]] = {}
        by_part: dict[str, list[int]] = {}
        followers: dict[str, list[int]] = {}
        always: list[int] = []
        staged = set[int]()
        for place, each in enumerate(ordered):
            if each.id.startswith(KEY):
                staged.add(place)
            elif own and reads_stage(each.spec.condition):
                for stage in own:
                    followers.setdefault(stage.id, []).append(place)
            reads = _reads(each.spec.condition)
            for names, found in ((reads.names, by_name), (reads.parts, by_part)):
                for name in names:
                    found.setdefault(name, []).append(place)
            for segment_id in asked_for(each.spec.condition):
                followers.setdefault(segment_id, []).append(place)
            if reads.anything:
                always.append(place)
        self.staged = frozenset(staged)
        self.idle = frozenset(place for place, each in enumerate(self.all) if each.idle)
        self.of_nobody = frozenset(place for place, each in enumerate(self.all) if not _starts_outside(each))
        """The places of those that somebody new may be in though no event of theirs concerns it."""
        self._followers, self._always = followers, frozenset(always)
        self._by_name = {name: frozenset((*places, *always)) for name, places in by_name.items()}
        self._by_part = [(part, frozenset(places)) for part, places in by_part.items()]
        self.watched: tuple[str, ...] = tuple(by_part)

    def only(self, ids: Iterable[str]) -> "Segments | None":
        """Those with these ids, the funnel, and those that both ask for; None where there are none."""
        wanted, todo = set[str](), [*ids, *(self.all[place].id for place in self.staged)]
        while todo:
            segment_id = todo.pop()
            if segment_id in self.places and segment_id not in wanted:
                wanted.add(segment_id)
                todo.extend(asked_for(self.all[self.places[segment_id]].segment.spec.condition))
        if not wanted and self.stages is None:
            return None
        kept = (each.segment for place, each in enumerate(self.all) if each.id in wanted and place not in self.staged)
        return Segments(kept, self.funnel)

    def by_stage(self) -> frozenset[int]:
        """The places of the stages, and of those that ask in which stage somebody is."""
        return self.staged.union(*(places for part, places in self._by_part if part == "stage"))

    def looking_at(self, names: Collection[str]) -> frozenset[int]:
        """The places of those that may look at the history of events of these names."""
        return frozenset(place for place, each in enumerate(self.all) if not each.history.isdisjoint(names))

    def concerned(self, name: str, before: Sequence[Any], after: Mapping[str, Any]) -> frozenset[int]:
        """The places of those that an event of this name may change; `before` are the watched parts as they were."""
        found = self._by_name.get(name, self._always)
        for (part, places), was in zip(self._by_part, before, strict=True):
            if after[part] is not was and after[part] != was:  # a device is told with every event
                found = found | places
        return found

    def followers(self, segment_id: str) -> Sequence[int]:
        """The places of those that ask for this one; each comes later."""
        return self._followers.get(segment_id, ())


def _compiled(segment: Segment, staying: Condition | None = None) -> CompiledSegment:
    condition = segment.spec.condition
    patient = staying is None and condition is not None and _only_waits(condition)
    return CompiledSegment(
        staying=None if staying is None else (compile_condition(staying), turning_of(staying)),
        id=segment.id,
        segment=segment,
        test=None if condition is None else compile_condition(condition),
        turning=None if condition is None else turning_of(condition),
        history=needed_history(condition),
        lookback={} if condition is None else _lookback(condition),
        patient=patient,
        idle=patient and isinstance(condition, Comparison),
    )


def _lookback(condition: Condition) -> dict[str, timedelta]:
    """How far back facts look; what else is asked is looked for from the beginning, to know when it turns."""
    nodes = [*walk(condition)]
    others = {node.event for node in nodes if isinstance(node, Performed)}
    asked = [asked_by(node.field) for node in nodes if isinstance(node, Comparison)]
    names = frozenset[str]().union(*asked) - others
    return {name: max(each[name] for each in asked if name in each) for name in names}


def _only_waits(condition: Condition) -> bool:
    """Whether time turns the answer only by how long ago somebody was here, and by one such span."""
    timed = [each for each in walk(condition) if turning_of(each) is not None and not isinstance(each, _GROUPS)]
    if len(timed) != 1:
        return False
    [node] = timed
    return isinstance(node, Comparison) and str(node.field) == "profile.last_seen" and node.op in ("before", "after")


def _starts_outside(segment: CompiledSegment) -> bool:
    """Whether it is plain that nobody is in it of whom nothing is known, and that time does not change that."""
    condition = segment.segment.spec.condition
    if condition is None or segment.test is None:
        return True
    for node in walk(condition):
        if isinstance(node, Comparison) and (node.field.root != "profile" or node.field.parts[0] in (BUCKET, "id")):
            return False
    nobody = Moment(profile=_NOBODY, at=_ANY_TIME)
    try:
        return not segment.test(nobody) and (segment.turning is None or segment.turning(nobody) is None)
    except Exception:  # it asks for their history, or for something that is not there
        return False


def _reads(condition: Condition | None) -> _Reads:
    reads = _Reads()
    for node in () if condition is None else walk(condition):
        match node:
            case Performed(event=event):
                reads.names.add(event)
            case LocalTime():
                reads.parts.add("device")
            case Comparison(field=where, op=op, value=value) if where.root == "profile":
                if op == "unchanged_for":
                    reads.parts.add("trait_times")
                if is_relative(value):
                    reads.parts.add("device")  # whose zone tells which day it is
                if where.parts[0] == DERIVED:
                    reads.parts.update(FACTS[where.parts[1]].parts)
                    reads.names.update(asked_by(where))
                elif where.parts[0] not in _COUNTED:
                    reads.parts.update({where.parts[0]} - {BUCKET})
                elif len(where.parts) > 1:
                    reads.names.add(where.parts[1])
                else:
                    reads.anything = True
            case _:
                pass
    return reads
