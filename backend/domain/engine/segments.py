"""A site's segments ready to be asked: each as a function, found by the events and parts of a profile that it reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.domain.condition import Comparison, Condition, Performed, Test, compile_condition
from backend.domain.condition.fields import BUCKET, DERIVED
from backend.domain.condition.tree import LocalTime, needed_history, walk
from backend.domain.condition.turning import Turning, turning_of
from backend.domain.condition.when import is_relative
from backend.domain.fact import FACTS
from backend.domain.segment import Segment, asked_for, in_order

_COUNTED = frozenset({"counts", "last_at"})
"""Parts of a profile that change with every event, in place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledSegment:
    """What the engine asks; `test` is None for a list that is kept by hand, `turning` where time alone turns nothing.

    `history` names the events whose history it may ask for.
    """

    segment: Segment
    test: Test | None
    turning: Turning | None
    history: frozenset[str]

    @property
    def id(self) -> str:
        """The segment's id."""
        return self.segment.id


@dataclass(slots=True)
class _Reads:
    """What a condition looks at: events by name, parts of the profile, and whether any event at all may concern it."""

    names: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    anything: bool = False


class Segments:
    """All segments of a site, each behind those that it asks for; `revision` is that of the newest definition."""

    __slots__ = ("_always", "_by_name", "_by_part", "_followers", "all", "places", "revision", "watched")

    def __init__(self, segments: Iterable[Segment]) -> None:
        ordered = in_order(segments)
        self.all: Sequence[CompiledSegment] = [_compiled(each) for each in ordered]
        self.places: Mapping[str, int] = {each.id: place for place, each in enumerate(ordered)}
        self.revision = max((each.revision for each in ordered), default=0)
        by_name: dict[str, list[int]] = {}
        by_part: dict[str, list[int]] = {}
        followers: dict[str, list[int]] = {}
        always: list[int] = []
        for place, each in enumerate(ordered):
            reads = _reads(each.spec.condition)
            for names, found in ((reads.names, by_name), (reads.parts, by_part)):
                for name in names:
                    found.setdefault(name, []).append(place)
            for segment_id in asked_for(each.spec.condition):
                followers.setdefault(segment_id, []).append(place)
            if reads.anything:
                always.append(place)
        self._followers, self._always = followers, frozenset(always)
        self._by_name = {name: frozenset((*places, *always)) for name, places in by_name.items()}
        self._by_part = [(part, frozenset(places)) for part, places in by_part.items()]
        self.watched: tuple[str, ...] = tuple(by_part)

    def only(self, ids: Iterable[str]) -> "Segments | None":
        """Those with these ids, and those that they ask for; None where there are none."""
        wanted, todo = set[str](), list(ids)
        while todo:
            segment_id = todo.pop()
            if segment_id in self.places and segment_id not in wanted:
                wanted.add(segment_id)
                todo.extend(asked_for(self.all[self.places[segment_id]].segment.spec.condition))
        return Segments(each.segment for each in self.all if each.id in wanted) if wanted else None

    def concerned(self, name: str, before: Sequence[Any], after: Mapping[str, Any]) -> frozenset[int]:
        """The places of those that an event of this name may change; `before` are the watched parts as they were."""
        found = self._by_name.get(name, self._always)
        for (part, places), was in zip(self._by_part, before, strict=True):
            if after[part] is not was:
                found = found | places
        return found

    def followers(self, segment_id: str) -> Sequence[int]:
        """The places of those that ask for this one; each comes later."""
        return self._followers.get(segment_id, ())


def _compiled(segment: Segment) -> CompiledSegment:
    condition = segment.spec.condition
    return CompiledSegment(
        segment=segment,
        test=None if condition is None else compile_condition(condition),
        turning=None if condition is None else turning_of(condition),
        history=needed_history(condition),
    )


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
                elif where.parts[0] not in _COUNTED:
                    reads.parts.update({where.parts[0]} - {BUCKET})
                elif len(where.parts) > 1:
                    reads.names.add(where.parts[1])
                else:
                    reads.anything = True
            case _:
                pass
    return reads
