"""`chimein rules simulate`: a rule over what is stored, from the command line, with a bar that shows how far it is."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from backend.domain.condition.values import read_time
from backend.domain.mistakes import Mistakes, RuleErrors
from backend.domain.rule import Rule, parse_rule
from backend.domain.segment import Segment
from backend.domain.segment_exchange import is_segment
from backend.domain.site import Site
from backend.errors import ChimeinError, Invalid, NotFound
from backend.pipeline.simulate import simulating
from backend.pipeline.simulated import Progress, SimulationResult
from backend.pipeline.try_out import written_segments
from backend.runtime import Runtime
from backend.schemas.yaml_text import read_yaml
from backend.storage.rules import get_rule
from backend.storage.segments import known
from backend.storage.sites import get_site

MOST_BYTES = 2**20
"""Of a file of rules."""


def simulate(
    rt: Runtime,
    what: str,
    site_name: str,
    since: str | None,
    until: str | None,
    show: Callable[[float, str], None],
) -> SimulationResult:
    """Simulates the rule, or the rules, of a file (JSON or YAML), or the stored rule with this id.

    `show` is told now and then how far it is, from 0 to 1, and what was looked at so far. Raises `Invalid` and
    `NotFound` with a sentence.
    """
    with rt.db.read() as connection:
        found = get_site(connection, rt.sites.vault, site_name)
    if found is None:
        raise NotFound(f"There is no site {site_name!r}.")
    site = found.site
    begin, end = _moment(since, "--since"), _moment(until, "--until")
    if begin is not None and begin >= (end or rt.clock()):
        raise Invalid("--since must be earlier than --until.")
    with rt.db.read() as connection:
        segments = known(connection, site.id)
    given: list[Segment] = []
    if Path(what).is_file():
        rules, given = _of_file(site, Path(what), segments)
    else:
        rules = [_stored(rt, site, what)]
    for step in simulating(rt, site, rules, begin, end, limit=1, segments=given):
        if isinstance(step, SimulationResult):
            return step
        show(step.share, _told(step))
    raise AssertionError("a simulation ends with its result")


def _told(step: Progress) -> str:
    return f"{step.visitors:,} visitors, {step.events:,} events"


def _stored(rt: Runtime, site: Site, rule_id: str) -> Rule:
    with rt.db.read() as connection:
        stored = get_rule(connection, site.id, rule_id)
    if stored is None:
        raise NotFound(f"{rule_id} is neither a file here nor the id of a rule of the site {site.name}.")
    return stored.rule()


def _of_file(site: Site, path: Path, known: Mapping[str, str]) -> tuple[list[Rule], list[Segment]]:
    """The rules of a file: one object, a list of them, an object with `rules`, or several documents; its segments."""
    if path.stat().st_size > MOST_BYTES:
        raise Invalid(f"{path} is larger than {MOST_BYTES:,} bytes.")
    try:
        found = read_yaml(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except UnicodeError:
        raise Invalid(f"{path} is not text.") from None
    except ChimeinError as error:
        raise Invalid(f"{path}: {error.message}") from None
    documents = [each.value for each in found if not is_segment(each.value)]
    if len(documents) == 1 and isinstance(documents[0], dict) and isinstance(documents[0].get("rules"), list):
        documents = documents[0]["rules"]
    if not documents:
        raise Invalid(f"{path} holds no rule.")
    mistakes = Mistakes()
    filed = [(("segment", place), each) for place, each in enumerate(found) if is_segment(each.value)]
    segments, named = written_segments(site, filed, known, mistakes)
    if mistakes:
        raise Invalid(f"{path}: a segment cannot work.\n" + "\n".join(_lines(mistakes.errors)))
    return [_rule(site, each, place, path, named) for place, each in enumerate(documents)], segments


def _rule(site: Site, document: Any, place: int, path: Path, segments: Mapping[str, str]) -> Rule:
    if not isinstance(document, dict):
        raise Invalid(f"{path}: expected a rule, which is an object, at place {place}.")
    try:
        spec = parse_rule(document, simulated=True, segments=segments, stages=site.funnel.names)
    except RuleErrors as error:
        raise Invalid(f"{path}: the rule at place {place} cannot work.\n" + "\n".join(_lines(error.errors))) from None
    rule_id = document.get("id")
    if not isinstance(rule_id, str):
        rule_id = uuid.uuid5(uuid.UUID(int=0), f"{site.id}{place}{spec.document}").hex
    return Rule(id=rule_id, site_id=site.id, spec=spec, status="active")


def _lines(errors: Any, at: str = "") -> list[str]:
    """Each mistake with its path."""
    if isinstance(errors, dict):
        return [line for key, below in errors.items() for line in _lines(below, f"{at}.{key}" if at else str(key))]
    return [f"  {at}: {sentence}" for sentence in errors]


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    moment = read_time(text)
    if moment is None:
        raise Invalid(f"{option}: expected a time such as 2026-03-01T12:00:00Z, or a date as 2026-03-01.")
    return moment
