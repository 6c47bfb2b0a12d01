"""What of a segment travels between installations? Its name, by which rules and segments ask for it, and its text.

In a file it is an object with the key `segment`, which holds the name. Nothing in it holds here only: whom it asks for
it names. Who stands on a list that is kept by hand does not travel.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from backend.domain.mistakes import RuleErrors
from backend.domain.rule.parse import parse_rule
from backend.domain.segment import parse_segment

Path: TypeAlias = tuple[str | int, ...]
Document: TypeAlias = Mapping[str, Any]


def is_segment(document: object) -> bool:
    """Whether what stands in a file is a segment; else it is a rule."""
    return isinstance(document, Mapping) and "segment" in document and "trigger" not in document


def from_file(document: Document) -> dict[str, Any]:
    """A segment as it stands in a file, as the API takes it; beside a `name` the key `segment` is one too many."""
    if "name" in document:
        return dict(document)
    return {"name": document["segment"], **{key: value for key, value in document.items() if key != "segment"}}


def exported_segments(rules: Iterable[Document], segments: Iterable[Document]) -> list[dict[str, Any]]:
    """Of the site's segments those for which these rules ask, and for which those ask, as they are written to files.

    Each stands behind those that it asks for, and else in the order of their names.
    """
    every = {str(each["id"]): each for each in segments}
    known = names_of(every.values())
    asked = {key: set(_ids(_asked_by_segment(each), known)) & every.keys() for key, each in every.items()}
    todo = [each for rule in rules for each in _ids(asked_by_rule(rule), known)]
    wanted = set[str]()
    while todo:
        segment_id = todo.pop()
        if segment_id in every and segment_id not in wanted:
            wanted.add(segment_id)
            todo.extend(asked[segment_id])
    told: list[dict[str, Any]] = []
    while wanted:  # the API refuses circles, so that there always is one that asks for none of the others
        first = min(wanted, key=lambda each: (bool(asked[each] & wanted), str(every[each]["name"])))
        wanted.remove(first)
        told.append(_filed(every[first], known))
    return told


def names_of(segments: Iterable[Document]) -> dict[str, str]:
    """The name of each of these segments by its id."""
    return {str(each["id"]): str(each["name"]) for each in segments}


def asked_by_rule(rule: Document) -> Mapping[str, Sequence[Path]]:
    """The places at which a rule asks for segments, by the id or name that stands there."""
    try:
        return parse_rule(dict(rule), stored=True).segments
    except RuleErrors:  # what this version does not understand is written out as it stands
        return {}


def by_name(document: Document, places: Mapping[str, Sequence[Path]], known: Mapping[str, str]) -> dict[str, Any]:
    """The document, asking at these places for segments by name where it went by an id that is `known`."""
    found: Any = document
    for reference, paths in places.items():
        for path in paths if reference in known else ():
            found = _put(found, path, known[reference])
    return dict(found)


def _filed(segment: Document, known: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {"segment": segment["name"]}
    if segment.get("description"):
        told["description"] = segment["description"]
    if segment.get("manual"):
        return {**told, "manual": True}
    return {**told, "condition": by_name(segment, _asked_by_segment(segment), known)["condition"]}


def _asked_by_segment(segment: Document) -> Mapping[str, Sequence[Path]]:
    try:
        return parse_segment(dict(segment)).referred
    except RuleErrors:
        return {}


def _ids(references: Iterable[str], known: Mapping[str, str]) -> list[str]:
    ids = {name: key for key, name in known.items()}
    return [each if each in known else ids.get(each, each) for each in references]


def _put(value: Any, path: Path, new: str) -> Any:
    """The value with another one at this place; what it holds is not changed."""
    if not path:
        return new
    step, *rest = path
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)
    copy[step] = _put(copy[step], tuple(rest), new)
    return copy
