"""The verb `try_out`: rules as they stand in files, over a history that is given, answered as the API answers it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from backend.domain.funnel import Funnel, read_stages, segments_of
from backend.domain.identity import derive
from backend.domain.mistakes import Mistakes, RuleErrors, quoted
from backend.domain.rule import Rule, parse_rule
from backend.domain.rule.exchange import resolved
from backend.domain.rule.model import Branch, Say, Split, Step, Steps, Wait
from backend.domain.segment import MOST_SEGMENTS, Segment, note_circle, parse_segment
from backend.domain.segment_exchange import from_file, is_segment
from backend.domain.site import Site
from backend.errors import ChimeinError
from backend.pipeline.rehearse import json_text, rehearse
from backend.pipeline.simulated_rules import asked_among
from backend.schemas.fields import parse_moment
from backend.schemas.simulation import SimulationOut
from backend.schemas.site import SitePatch, changed
from backend.schemas.yaml_text import Written, read_yaml

Path: TypeAlias = tuple[str | int, ...]

MOST_RULES = 200


def try_out(
    site: Mapping[str, Any], yaml: Sequence[str], events: Sequence[Any], until: str, *, holdout: bool = True
) -> dict[str, Any]:
    """What `POST simulations` would answer on a site of these settings (`id`, and what `PATCH sites` takes).

    RuleErrors and ValidationError with the place of each mistake.
    """
    settings = {name: value for name, value in site.items() if name != "id"}
    place = Site(id=str(site.get("id", "site")), name="site", write_key="", secret_key="")
    settings = SitePatch().load(settings)
    place = changed(place, settings, _funnel(settings["stages"]) if "stages" in settings else None)
    rules, given = written(place, yaml)
    if not holdout:
        place, rules = open_to_all(place, rules)
    result = rehearse(place, rules, events, parse_moment(until), segments=asked_among(given, rules, place.funnel))
    told: dict[str, Any] = SimulationOut().dump(result)
    return told


def _funnel(document: Sequence[Any]) -> Funnel:
    """The funnel that these stages make; segments are read with the rules, too late for it to ask for one."""
    mistakes = Mistakes()
    stages = read_stages(document, ("stages",), mistakes)
    if segments_of(stages):
        mistakes.add(("stages",), "Stages cannot ask for segments here.")
    mistakes.raise_if_any()
    return Funnel(stages=stages, document=tuple(document))


def open_to_all(site: Site, rules: Sequence[Rule]) -> tuple[Site, list[Rule]]:
    """The same with nobody held out, for whoever asks what a rule does and not for whom it is left out by chance."""
    opened = [replace(rule, spec=replace(rule.spec, steps=_open(rule.spec.steps))) for rule in rules]
    return replace(site, policy=replace(site.policy, holdout=0)), opened


def _open(steps: Steps) -> Steps:
    return tuple(_open_step(step) for step in steps)


def _open_step(step: Step) -> Step:
    match step:
        case Say():
            return replace(step, message=replace(step.message, holdout=0))
        case Wait() | Branch():
            return replace(step, then=_open(step.then), otherwise=_open(step.otherwise))
        case Split():
            return replace(step, arms=tuple(replace(arm, steps=_open(arm.steps)) for arm in step.arms))
    return step


def rule_id_of(site: Site, document: Mapping[str, Any]) -> str:
    """The id under which a rule that is only tried out deals out its variants: the same rule, the same id."""
    told = document.get("id")
    return told if isinstance(told, str) else uuid.uuid5(uuid.UUID(int=0), site.id + json_text(document)).hex


def written(
    site: Site, texts: Sequence[str], known: Mapping[str, str] | None = None
) -> tuple[list[Rule], list[Segment]]:
    """The rules and segments of YAML texts; RuleErrors below `yaml`, text and document, each sentence with its line.

    `known` are the names of the site's segments by id; those of the texts take the place of the ones that are so named.
    """
    mistakes = Mistakes()
    found: list[tuple[Path, Written]] = []
    for place, text in enumerate(texts):
        try:
            found += [(("yaml", place, index), each) for index, each in enumerate(read_yaml(text))]
        except ChimeinError as error:
            mistakes.add(("yaml", place), error.message)
    rules = [each for each in found if not is_segment(each[1].value)]
    if not rules and not mistakes:
        mistakes.add(("yaml",), "There is no rule in it.")
    if len(rules) > MOST_RULES:
        mistakes.add(("yaml",), f"At most {MOST_RULES} rules at a time.")
    mistakes.raise_if_any()
    segments, named = written_segments(
        site, [each for each in found if is_segment(each[1].value)], known or {}, mistakes
    )
    for path, each in rules:
        try:
            parse_rule(each.value, segments=named, stages=site.funnel.names)
        except RuleErrors as error:
            _note(error.errors, path, each, mistakes)
    mistakes.raise_if_any()
    ids = [rule_id_of(site, each.value) for _, each in rules]
    documents = resolved([each.value for _, each in rules], ids, [], mistakes)
    mistakes.raise_if_any()
    return [
        Rule(
            id=rule_id,
            site_id=site.id,
            spec=parse_rule(document, segments=named, stages=site.funnel.names),
            status="active",
        )
        for rule_id, document in zip(ids, documents, strict=True)
    ], segments


def written_segments(
    site: Site, found: Sequence[tuple[Path, Written]], known: Mapping[str, str], mistakes: Mistakes
) -> tuple[list[Segment], dict[str, str]]:
    """The segments that were found, and the names of all by id, `known` ones too; mistakes are noted.

    Each has the id of the known one of its name, if there is one.
    """
    if len(found) + len(known) > MOST_SEGMENTS:
        mistakes.add(("yaml",), f"At most {MOST_SEGMENTS} segments.")
        mistakes.raise_if_any()
    ids = {name: segment_id for segment_id, name in known.items()}
    for _, each in found:
        name = each.value["segment"]
        if isinstance(name, str):
            ids.setdefault(name.strip(), derive("segment", site.id, name.strip()))
    named = {segment_id: name for name, segment_id in ids.items()}
    read: dict[str, tuple[Path, Written, Segment]] = {}
    for path, each in found:
        noted = Mistakes()
        try:
            spec = parse_segment(from_file(each.value), named)
        except RuleErrors as error:
            errors = {"segment" if key == "name" else key: told for key, told in error.errors.items()}
            _note(errors, path, each, mistakes)
            continue
        if spec.name in read:
            noted.add(("segment",), f"Another segment here has the name {quoted(spec.name)}.")
        segment = Segment(id=ids[spec.name], site_id=site.id, spec=spec)
        note_circle((other for _, _, other in read.values()), segment.id, spec, named, noted)
        _note(noted.errors, path, each, mistakes)
        read[spec.name] = (path, each, segment)
    return [segment for _, _, segment in read.values()], named


def _note(errors: Mapping[str, Any], path: Path, written: Written, mistakes: Mistakes, below: Path = ()) -> None:
    for key, told in errors.items():
        here = below if key == "_schema" else (*below, int(key) if key.isdecimal() else key)
        if isinstance(told, Mapping):
            _note(told, path, written, mistakes, here)
        else:
            for sentence in told:
                mistakes.add((*path, *here), f"{sentence} (line {written.line(here)})")
