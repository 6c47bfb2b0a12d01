"""The verb `try_out`: rules as they stand in files, over a history that is given, answered as the API answers it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.rule import Rule, parse_rule
from backend.domain.rule.exchange import resolved
from backend.domain.rule.model import Branch, Say, Split, Step, Steps, Wait
from backend.domain.site import Site
from backend.errors import ChimeinError
from backend.pipeline.rehearse import json_text, rehearse
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
    place = changed(place, SitePatch().load(settings))
    rules = written_rules(place, yaml)
    if not holdout:
        place, rules = open_to_all(place, rules)
    result = rehearse(place, rules, events, parse_moment(until))
    told: dict[str, Any] = SimulationOut().dump(result)
    return told


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


def written_rules(site: Site, texts: Sequence[str], segments: Mapping[str, str] | None = None) -> list[Rule]:
    """The rules of YAML texts; RuleErrors below `yaml`, text and document, each sentence with its line.

    `segments` are the names of those that they may ask for, by id; None: a history that is given knows of none.
    """
    known = segments or {}
    mistakes = Mistakes()
    found: list[tuple[Path, Written]] = []
    for place, text in enumerate(texts):
        try:
            found += [(("yaml", place, index), each) for index, each in enumerate(read_yaml(text))]
        except ChimeinError as error:
            mistakes.add(("yaml", place), error.message)
    if not found and not mistakes:
        mistakes.add(("yaml",), "There is no rule in it.")
    if len(found) > MOST_RULES:
        mistakes.add(("yaml",), f"At most {MOST_RULES} rules at a time.")
    mistakes.raise_if_any()
    for path, each in found:
        try:
            parse_rule(each.value, segments=known, stages=site.funnel.names)
        except RuleErrors as error:
            _note(error.errors, path, each, mistakes)
    mistakes.raise_if_any()
    ids = [rule_id_of(site, each.value) for _, each in found]
    documents = resolved([each.value for _, each in found], ids, [], mistakes)
    mistakes.raise_if_any()
    return [
        Rule(
            id=rule_id,
            site_id=site.id,
            spec=parse_rule(document, segments=known, stages=site.funnel.names),
            status="active",
        )
        for rule_id, document in zip(ids, documents, strict=True)
    ]


def _note(errors: Mapping[str, Any], path: Path, written: Written, mistakes: Mistakes, below: Path = ()) -> None:
    for key, told in errors.items():
        here = below if key == "_schema" else (*below, int(key) if key.isdecimal() else key)
        if isinstance(told, Mapping):
            _note(told, path, written, mistakes, here)
        else:
            for sentence in told:
                mistakes.add((*path, *here), f"{sentence} (line {written.line(here)})")
