"""The verb `import`, for segments: those that come with rules are there before the rules are read, or nothing is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from backend.domain.mistakes import Mistakes, RuleErrors, quoted
from backend.domain.rule.difference import Difference, differences
from backend.domain.segment import MOST_SEGMENTS, Segment, SegmentSpec, note_circle, parse_segment
from backend.domain.segment_exchange import by_name
from backend.domain.site import Site
from backend.storage import segments
from backend.storage.database import Connection
from backend.storage.segments import StoredSegment

Action: TypeAlias = Literal["new", "changed", "same"]

BELOW = "segments"
"""Where the mistakes of segments stand in the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentChange:
    """What becomes of one segment; `index` is its place among those given."""

    action: Action
    index: int
    id: str
    name: str
    fields: Sequence[Difference] = ()


def with_given(known: Mapping[str, str], documents: Sequence[object]) -> dict[str, str]:
    """The names of segments by id, those of the documents that are not there yet by an id that holds for now."""
    names = [each["name"] for each in documents if isinstance(each, Mapping) and isinstance(each.get("name"), str)]
    fresh = {each.strip() for each in names} - set(known.values())
    return {**known, **{segments.new_id(): each for each in sorted(fresh)}}


def check_segments(documents: Sequence[object], known: Mapping[str, str], mistakes: Mistakes) -> list[SegmentSpec]:
    """The segments of these documents; the mistakes of others are noted below `segments` and their places."""
    specs: list[SegmentSpec] = []
    for index, document in enumerate(documents):
        try:
            spec = parse_segment(document, known)
        except RuleErrors as error:
            mistakes.errors.setdefault(BELOW, {})[str(index)] = error.errors
            continue
        if any(each.name == spec.name for each in specs):
            mistakes.add((BELOW, index, "name"), f"Another segment here has the name {quoted(spec.name)}.")
        specs.append(spec)
    return specs


def import_segments(
    connection: Connection, site: Site, documents: Sequence[object], now: datetime
) -> tuple[list[SegmentChange], dict[str, str]]:
    """Makes the site's segments of these names what is given; what changed, and the names of all by id from now on.

    What is the same already is not touched; nobody is asked anew by it. Raises RuleErrors.
    """
    present = {each.name: each for each in segments.list_segments(connection, site.id)}
    known = with_given(segments.known(connection, site.id, lock=True), documents)
    mistakes = Mistakes()
    specs = check_segments(documents, known, mistakes)
    mistakes.raise_if_any()
    if len(known) > MOST_SEGMENTS:
        mistakes.add((BELOW,), f"A site has at most {MOST_SEGMENTS} segments.")
    ids = {name: segment_id for segment_id, name in known.items()}
    _note_circles(present, specs, ids, known, site, mistakes)
    changes: list[SegmentChange] = []
    for index, spec in enumerate(specs):
        found = present.get(spec.name)
        if found is not None and spec.manual is not bool(found.document["manual"]):
            told = "A list kept by hand stays one, and a condition stays one: make another."
            mistakes.add((BELOW, index, "manual"), told)
            continue
        changes.append(_change(index, ids[spec.name], spec, found, known))
    mistakes.raise_if_any()
    for change, spec in zip(changes, specs, strict=True):
        # A microsecond apart, so that they are listed in the order in which they were given.
        _save(connection, site, change, spec, now + timedelta(microseconds=change.index))
    return changes, known


def _note_circles(
    present: Mapping[str, StoredSegment],
    specs: Sequence[SegmentSpec],
    ids: Mapping[str, str],
    known: Mapping[str, str],
    site: Site,
    mistakes: Mistakes,
) -> None:
    given = {each.name for each in specs}
    every = [each.segment() for name, each in present.items() if name not in given]
    every += [Segment(id=ids[each.name], site_id=site.id, spec=each) for each in specs]
    for index, spec in enumerate(specs):
        note_circle(every, ids[spec.name], spec, known, mistakes, (BELOW, index))


def _change(
    index: int, segment_id: str, spec: SegmentSpec, found: StoredSegment | None, known: Mapping[str, str]
) -> SegmentChange:
    fields: list[Difference] = []
    if found is not None:  # one may ask for others by id, and the other by name: that is no difference
        old = by_name(found.document, parse_segment(dict(found.document)).referred, known)
        fields = list(differences(old, by_name(spec.document, spec.referred, known)))
    action: Action = "new" if found is None else "changed" if fields else "same"
    return SegmentChange(action=action, index=index, id=segment_id, name=spec.name, fields=fields)


def _save(connection: Connection, site: Site, change: SegmentChange, spec: SegmentSpec, now: datetime) -> None:
    if change.action == "new":
        segments.create_segment(connection, site.id, spec, now, segment_id=change.id)
    elif change.action == "changed":
        anew = any(each.path[0] == "condition" for each in change.fields)
        segments.replace_segment(connection, site.id, change.id, spec, anew=anew, now=now)
