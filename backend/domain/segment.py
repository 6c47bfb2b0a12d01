"""What is a segment? Visitors under a name: those for whom a condition holds now, or a list that is kept by hand."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.domain.condition import Comparison, Condition, InSegment, Performed, read_condition
from backend.domain.condition.fields import DERIVED, asked_by
from backend.domain.condition.tree import All, LocalTime, walk
from backend.domain.condition.when import is_relative
from backend.domain.fact import FACTS
from backend.domain.funnel import KEY, reads_stage
from backend.domain.mistakes import Mistakes

KEYS = ("name", "description", "condition", "manual")
READ_ONLY = frozenset({"id", "site_id", "version", "size", "building", "created_at", "updated_at", "warnings"})
"""What a segment that was read carries beside; sent back, it is passed over."""

LONGEST_NAME = 100
MOST_SEGMENTS = 1_000
"""Of one site."""
_ID = re.compile(r"[0-9a-f]{32}")
LONGEST_DESCRIPTION = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentSpec:
    """Everything a person writes down about a segment; without `condition` it is kept by hand.

    `document` is that JSON again, with the defaults filled in; `referred` are the places of the segments that the
    condition asks for, by the id or name that is written there.
    """

    name: str
    condition: Condition | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    referred: Mapping[str, Sequence[tuple[str | int, ...]]] = field(default_factory=dict)

    @property
    def manual(self) -> bool:
        """Whether it is kept by hand."""
        return self.condition is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A segment of a site; `revision` orders all definitions of that site: the newest has the highest."""

    id: str
    site_id: str
    spec: SegmentSpec
    revision: int = 1


def parse_segment(doc: object, segments: Mapping[str, str] | None = None) -> SegmentSpec:
    """Read a segment document; raise RuleErrors carrying all its mistakes.

    `segments` are those that its condition may ask for, as the name of each by its id; None: any.
    """
    mistakes = Mistakes(segments)
    if not isinstance(doc, dict):
        mistakes.add((), "A segment is an object with a name and a condition.")
        mistakes.raise_if_any()
        doc = {}
    mistakes.known_keys({key: None for key in doc if key not in READ_ONLY}, KEYS, ())
    name = _text(doc.get("name"), "name", LONGEST_NAME, mistakes)
    if not name and "name" not in mistakes.errors:
        mistakes.add(("name",), "A segment needs a name.")
    if _ID.fullmatch(name):
        mistakes.add(("name",), "A name must not look like an id.")
    description = _text(doc.get("description") or "", "description", LONGEST_DESCRIPTION, mistakes)
    manual, written = doc.get("manual", False), doc.get("condition")
    condition = None
    if not isinstance(manual, bool):
        mistakes.add(("manual",), "Expected true or false.")
    elif manual and written is not None:
        mistakes.add(("condition",), "A list that is kept by hand has no condition.")
    elif not manual and written is None:
        mistakes.add(("condition",), 'A segment needs a condition, or "manual": true where it is kept by hand.')
    elif not manual:
        condition = read_condition(written, ("condition",), mistakes, entered=False, lasting=True)
    mistakes.raise_if_any()
    document = {"name": name, "description": description, "condition": written, "manual": manual}
    return SegmentSpec(name=name, condition=condition, document=document, referred=mistakes.referred)


def _text(value: object, key: str, longest: int, mistakes: Mistakes) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or any(each < " " for each in value):
        mistakes.add((key,), "Expected one line of text.")
        return ""
    if len(value) > longest:
        mistakes.add((key,), f"At most {longest} characters.")
    return value.strip()


def asked_for(condition: Condition | None) -> frozenset[str]:
    """The ids of the segments that a condition asks for."""
    nodes = () if condition is None else walk(condition)
    return frozenset(node.segment for node in nodes if isinstance(node, InSegment))


def parts_read(condition: Condition) -> frozenset[str]:
    """The parts of a profile that asking this condition may read, beside ids."""
    parts = set[str]()
    for node in walk(condition):
        match node:
            case Performed():
                parts |= {"counts", "last_at"}
            case LocalTime():
                parts.add("device")
            case InSegment():
                parts.add("segments")
            case Comparison(field=where) if where.parts[0] == DERIVED:
                parts |= {*FACTS[where.parts[1]].parts, "device"}
                if asked_by(where):
                    parts |= {"counts", "last_at"}
            case Comparison(field=where, op=op, value=value) if where.root == "profile":
                parts.add(where.parts[0])
                if is_relative(value):
                    parts.add("device")  # for its time zone
                if op == "unchanged_for":
                    parts.add("trait_times")
            case _:
                pass
    return frozenset(parts)


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Each segment behind those that its condition asks for; those that ask for one another in a circle are left out.

    Which a segment asks for and is not there counts as one that nobody is in.
    """
    waiting = {each.id: each for each in segments}
    stages = frozenset(each for each in waiting if each.startswith(KEY))
    asked = {each.id: _behind(each, stages) & waiting.keys() for each in waiting.values()}
    ordered: list[Segment] = []
    while ready := [each for each in waiting.values() if not asked[each.id] & waiting.keys()]:
        ordered.extend(ready)
        for each in ready:
            del waiting[each.id]
    return ordered


def names_read(condition: Condition) -> frozenset[str] | None:
    """The events of which asking this condition may look up when they were last; None: of all."""
    names = set[str]()
    for node in walk(condition):
        match node:
            case Performed(event=event):
                names.add(event)
            case Comparison(field=where) if where.root == "profile" and where.parts[0] == "last_at":
                if len(where.parts) < 2:
                    return None
                names.add(where.parts[1])
            case Comparison(field=where):
                names.update(asked_by(where))
            case _:
                pass
    return frozenset(names)


def stages_asked(condition: Condition) -> frozenset[str] | None:
    """The stages in one of which somebody must be for the condition to hold; None where it may hold in any."""
    match condition:
        case All(parts=parts):
            found = [stages for part in parts if (stages := stages_asked(part)) is not None]
            return frozenset.intersection(*found) if found else None
        case Comparison(op="eq" | "in" as op, value=value) if str(condition.field) == "profile.stage":
            values = (value,) if op == "eq" else value
            return frozenset(each for each in values if isinstance(each, str))
        case _:
            return None


def _behind(segment: Segment, stages: frozenset[str]) -> frozenset[str]:
    """What is to be asked before a segment: what it asks for, and the stages where it asks in which one somebody is."""
    condition = segment.spec.condition
    return asked_for(condition) | stages if stages and reads_stage(condition) else asked_for(condition)


def asking_back(ids: Iterable[str], segments: Iterable[Segment]) -> Segment | None:
    """The first of these segments, or of those that they ask for, that asks in which stage somebody is."""
    known = {each.id: each for each in segments}
    todo, seen = sorted(ids), set[str]()
    while todo:
        segment = known.get(todo.pop())
        if segment is None or segment.id in seen:
            continue
        if reads_stage(segment.spec.condition):
            return segment
        seen.add(segment.id)
        todo.extend(asked_for(segment.spec.condition))
    return None


def circle(segments: Iterable[Segment], segment_id: str, condition: Condition | None) -> list[str] | None:
    """The ids on the way from this segment back to itself, were its condition this one; None where there is none."""
    asked = {each.id: sorted(asked_for(each.spec.condition)) for each in segments}
    asked[segment_id] = sorted(asked_for(condition))
    ways, seen = [[each] for each in asked[segment_id]], set[str]()
    while ways:
        way = ways.pop()
        if way[-1] == segment_id:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways.extend([*way, following] for following in asked.get(way[-1], ()))
    return None


def note_circle(
    segments: Iterable[Segment],
    segment_id: str,
    spec: SegmentSpec,
    known: Mapping[str, str],
    mistakes: Mistakes,
    below: tuple[str | int, ...] = (),
) -> None:
    """Notes the place at which a segment would ask for itself; `known` are the names of all, by id."""
    way = circle((each for each in segments if each.id != segment_id), segment_id, spec.condition)
    if way is None:
        return
    names = [spec.name, *(known[each] for each in way[:-1]), spec.name]
    first = {way[0], known[way[0]], spec.name if way[0] == segment_id else ""}
    place = next(paths[0] for ref, paths in spec.referred.items() if ref in first)
    told = " asks for ".join(f'"{each}"' for each in names)
    mistakes.add((*below, *place), f"A segment cannot ask for itself: {told}.")
