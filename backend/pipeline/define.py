"""The verb `define`: a segment is written down, replaced or taken away, unless others ask for what would be gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.domain.funnel import Funnel, segments_of
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.segment import MOST_SEGMENTS, Segment, SegmentSpec, asking_back, note_circle, parse_segment
from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.pipeline.check import Warned, doubts_of_segment
from backend.runtime import Runtime
from backend.storage import rules, segments
from backend.storage.database import Connection
from backend.storage.segments import StoredSegment
from backend.storage.sites import get_site


@dataclass(frozen=True, slots=True)
class Defined:
    """The segment as it stands now, and what speaks against it."""

    stored: StoredSegment
    warnings: Sequence[Warned]


def create(rt: Runtime, site: Site, document: Mapping[str, Any]) -> Defined:
    """Writes down a new segment. RuleErrors, Conflict."""
    with rt.db.begin() as conn:
        spec = parse_segment(document, segments.known(conn, site.id, lock=True))
        if len(segments.known(conn, site.id)) >= MOST_SEGMENTS:
            raise Conflict(f"A site has at most {MOST_SEGMENTS} segments.")
        stored = segments.create_segment(conn, site.id, spec, rt.clock())
        return Defined(stored, doubts_of_segment(conn, site, stored.document))


def replace(rt: Runtime, site: Site, segment_id: str, document: Mapping[str, Any]) -> Defined:
    """Puts another document in the place of the segment's; one with a `version` only where that is the current one.

    RuleErrors; Conflict also where rules or segments ask for it by the name that it would lose. NotFound.
    """
    if type(document.get("version", 1)) is not int:
        raise RuleErrors({"version": ["Must be a whole number."]})
    with rt.db.begin() as conn:
        stored = present(segments.get_segment(conn, site.id, segment_id, lock=True))
        if document.get("version", stored.version) != stored.version:
            raise Conflict(f"The segment has changed in the meantime: its version is {stored.version}.")
        known = segments.known(conn, site.id)
        spec = parse_segment(document, {**known, stored.id: str(document.get("name"))})
        if spec.manual is not bool(stored.document["manual"]):
            raise RuleErrors({"manual": ["A list kept by hand stays one, and a condition stays one: make another."]})
        _refuse_circle(conn, site, stored, spec)
        if spec.name != stored.name:
            _refuse_use(rt, conn, site, stored, {stored.name}, "renamed")
        _refuse_stage(rt, conn, site, stored, spec)
        anew = spec.document["condition"] != stored.document["condition"]
        stored = segments.replace_segment(conn, site.id, stored.id, spec, anew=anew, now=rt.clock())
        return Defined(stored, doubts_of_segment(conn, site, stored.document))


def remove(rt: Runtime, site: Site, segment_id: str) -> None:
    """Takes the segment away; Conflict, which names them, where rules, segments or stages ask for it. NotFound."""
    with rt.db.begin() as conn:
        stored = present(segments.get_segment(conn, site.id, segment_id, lock=True))
        _refuse_use(rt, conn, site, stored, {stored.id, stored.name}, "deleted")
        segments.delete_segment(conn, stored.id, rt.clock())


def present(stored: StoredSegment | None) -> StoredSegment:
    """The segment; NotFound where there is none."""
    if stored is None:
        raise NotFound("There is no such segment.")
    return stored


def _refuse_use(rt: Runtime, conn: Connection, site: Site, stored: StoredSegment, names: set[str], done: str) -> None:
    """Conflict where a rule or a segment refers to it by one of these names."""
    users = _stages(rt, conn, site, stored) if done == "deleted" else []
    users += [f'the rule "{rule.document["name"]}"' for rule in rules.referring(conn, site.id, names)]
    users += [
        f'the segment "{other.name}"'
        for other in segments.list_segments(conn, site.id)
        if other.id != stored.id and names & parse_segment(dict(other.document)).referred.keys()
    ]
    if users:
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        raise Conflict(
            f"It cannot be {done}: {', '.join(users[:5])}{more} refer{'s' if len(users) == 1 else ''} to it.",
            {"used_by": users},
        )


def _stages(rt: Runtime, conn: Connection, site: Site, stored: StoredSegment) -> list[str]:
    """The stages that ask for it."""
    return [f'the stage "{each.name}"' for each in _funnel(rt, conn, site).stages if stored.id in segments_of([each])]


def _funnel(rt: Runtime, conn: Connection, site: Site) -> Funnel:
    """The site's funnel as it is now."""
    found = get_site(conn, rt.sites.vault, site.id)
    return found.site.funnel if found is not None else site.funnel


def _refuse_stage(rt: Runtime, conn: Connection, site: Site, stored: StoredSegment, spec: SegmentSpec) -> None:
    """A mistake where a stage of the site's funnel asks for it, and it would ask for the stage."""
    others = [each.segment() for each in segments.list_segments(conn, site.id) if each.id != stored.id]
    edited = Segment(id=stored.id, site_id=site.id, spec=spec)
    if asking_back(segments_of(_funnel(rt, conn, site).stages), [*others, edited]) is not None:
        told = "The site's stages ask for this segment, so that it cannot ask in which stage somebody is."
        raise RuleErrors({"condition": [told]})


def _refuse_circle(conn: Connection, site: Site, stored: StoredSegment, spec: SegmentSpec) -> None:
    """A mistake with its place where the segment would ask for itself."""
    every, mistakes = segments.list_segments(conn, site.id), Mistakes()
    note_circle([each.segment() for each in every if each.id != stored.id], stored.id, spec, stored.known, mistakes)
    mistakes.raise_if_any()
