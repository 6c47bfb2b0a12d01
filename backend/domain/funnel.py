"""What is a funnel? A site's stages in order: those that are built in, some with conditions of its own, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.domain.condition import Comparison, Condition, InSegment, read_condition
from backend.domain.condition.tree import walk
from backend.domain.mistakes import Mistakes, nearest, quoted
from backend.domain.profile import STAGES

KEYS = ("name", "enter", "leave")
MOST_STAGES = 30
LONGEST_NAME = 50

KEY = ":"
"""Begins the key under which a profile keeps how it stands with a stage, among segments: no id of those does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage: built in where it is neither `own` nor the first; else in it is for whom `enter` has come to hold.

    Without `leave` whoever `enter` does not hold for any more is out; with it, whoever `leave` holds for.
    """

    name: str
    own: bool = False
    enter: Condition | None = None
    leave: Condition | None = None

    @property
    def key(self) -> str:
        """Where a profile keeps how it stands with it."""
        return KEY + self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Funnel:
    """A site's stages. A visitor is in the furthest that holds, and in the first where none does.

    `document` is what was written; `revision` counts the definitions that the site has had, from 0 for the built-in.
    """

    stages: tuple[Stage, ...]
    document: tuple[Any, ...] = field(repr=False)
    revision: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names, in order."""
        return tuple(each.name for each in self.stages)

    @property
    def own(self) -> bool:
        """Whether it is another than the built-in one."""
        return any(each.own for each in self.stages) or self.names != STAGES


BUILT_IN = Funnel(stages=tuple(Stage(name=name) for name in STAGES), document=STAGES)
"""That of a site which says nothing of it."""


def read_stages(doc: object, path: Sequence[str | int], mistakes: Mistakes) -> tuple[Stage, ...]:
    """Read a list of names and of `{"name", "enter", "leave"}` into `mistakes`."""
    here = tuple(path)
    if not isinstance(doc, list | tuple) or not doc:
        mistakes.add(here, 'Expected a list of stages: names, and objects such as {"name": "trial", "enter": …}.')
        return ()
    if not 2 <= len(doc) <= MOST_STAGES:
        mistakes.add(here, f"A funnel has 2 to {MOST_STAGES} stages.")
        return ()
    stages: list[Stage] = []
    for place, each in enumerate(doc):
        found = _read(each, place, (*here, place), mistakes)
        if found is None:
            continue
        if any(found.name == other.name for other in stages):
            mistakes.add((*here, place), f"There is a stage {quoted(found.name)} before.")
        built_in = [STAGES.index(other.name) for other in stages if not other.own]
        if not found.own and built_in and STAGES.index(found.name) < max(built_in):
            mistakes.add((*here, place), f"The built-in stages stand in their order: {', '.join(STAGES)}.")
        stages.append(found)
    return tuple(stages)


def _read(doc: object, place: int, here: tuple[str | int, ...], mistakes: Mistakes) -> Stage | None:
    if isinstance(doc, str):
        if doc in STAGES:
            return Stage(name=doc)
        known = f"built in are {', '.join(STAGES)}.{nearest(doc, STAGES)}"
        mistakes.add(here, f"{quoted(doc)} needs to be defined, with name and enter; {known}")
        return None
    if not isinstance(doc, dict):
        mistakes.add(here, 'A stage is a name, or an object: {"name": "trial", "enter": CONDITION}.')
        return None
    mistakes.known_keys(doc, KEYS, here)
    name = doc.get("name")
    if not isinstance(name, str) or not name.strip() or any(each < " " for each in name):
        mistakes.add((*here, "name"), "A stage needs a name: one line of text.")
        name = ""
    elif len(name) > LONGEST_NAME:
        mistakes.add((*here, "name"), f"At most {LONGEST_NAME} characters.")
    conditions = {key: _condition(doc.get(key), (*here, key), mistakes) for key in ("enter", "leave")}
    if place == 0:
        for key in ("enter", "leave"):
            if doc.get(key) is not None:
                mistakes.add((*here, key), "In the first stage is everybody who is in no other: it has no condition.")
    elif doc.get("enter") is None:
        mistakes.add((*here, "enter"), "A stage needs a condition by which it is entered.")
    return Stage(name=name.strip(), own=True, **conditions) if name else None


def _condition(doc: object, here: tuple[str | int, ...], mistakes: Mistakes) -> Condition | None:
    if doc is None:
        return None
    condition = read_condition(doc, here, mistakes, entered=False, lasting=True)
    if condition is not None and reads_stage(condition):
        mistakes.add(here, "A stage cannot ask for the stage: it would depend on itself.")
    return condition


def reads_stage(condition: Condition | None) -> bool:
    """Whether a condition asks in which stage a visitor is."""
    return condition is not None and any(
        isinstance(each, Comparison) and each.field.root == "profile" and each.field.parts[0] == "stage"
        for each in walk(condition)
    )


def segments_of(stages: Sequence[Stage]) -> frozenset[str]:
    """The ids of the segments that these stages ask for."""
    conditions = [each for stage in stages for each in (stage.enter, stage.leave) if each is not None]
    return frozenset(node.segment for each in conditions for node in walk(each) if isinstance(node, InSegment))


def by_id(doc: Any, segments: dict[str, str]) -> Any:
    """The document with the ids of segments (by their names) in the place of names, so that they can be renamed."""
    if isinstance(doc, list | tuple):
        return [by_id(each, segments) for each in doc]
    if not isinstance(doc, dict):
        return doc
    told = doc.get("segment")
    if isinstance(told, str):
        return {**doc, "segment": segments.get(told, told)}
    return {key: value if key == "value" else by_id(value, segments) for key, value in doc.items()}
