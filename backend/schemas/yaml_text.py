"""How YAML is read: strictly, within bounds, and knowing the line of every part.

Plain scalars mean what they mean in JSON: `yes`, `on`, `10:00` and `2026-03-01` are text, as people expect of them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from backend.errors import Malformed

Path: TypeAlias = tuple[str | int, ...]

LARGEST = 2 * 2**20
"""Bytes of one file."""

DEEPEST = 64
"""As in the JSON of the API."""

MOST_VALUES = 200_000
"""Values of one file, aliases followed: what a few lines of aliases can grow to is bounded by it."""

LONGEST_NUMBER = 40
"""Characters of a number."""

LARGEST_NUMBER = 2**53
"""As in the JSON of the API."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
WHOLE = re.compile(r"[-+]?[0-9]+", re.ASCII)
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
"""Plain scalars that are numbers."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Written:
    """One document of a file: its value, and the line (from 1) at which each part of it begins, by path."""

    value: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of the part at this path, or of the nearest part around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class _Open:
    """A list or object that is being read; `before` is how many values came before it."""

    value: Any
    anchor: str | None = None
    before: int = 0
    key: str | None = None
    line: int = 0


def read_yaml(text: str) -> list[Written]:
    """The documents of a text; Malformed with a sentence and a line where it cannot be read, or is not to be trusted.

    A document that is a list counts as so many documents.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise Malformed(f"The YAML is larger than {LARGEST // 2**20} MB.")
    try:
        found = list(_documents(yaml.parse(text, Loader=_LOADER)))
    except yaml.YAMLError as error:
        raise Malformed(_sentence(error)) from None
    return [each for document in found for each in _listed(document)]


def _listed(document: Written) -> Iterator[Written]:
    if not isinstance(document.value, list):
        if document.value is not None:
            yield document
        return
    for index, value in enumerate(document.value):
        below = {path[1:]: line for path, line in document.lines.items() if path[:1] == (index,)}
        yield Written(value, below)


def _documents(events: Iterator[Any]) -> Iterator[Written]:
    reader = _Reader()
    for event in events:
        if isinstance(event, DocumentStartEvent):
            reader.begin()
        elif isinstance(event, DocumentEndEvent):
            yield Written(reader.root, reader.lines)
        else:
            reader.take(event)


class _Reader:
    """Builds values from YAML's events without recursion, so that no depth and no alias can exhaust anything."""

    def __init__(self) -> None:
        self.values = 0
        self.begin()

    def begin(self) -> None:
        """A new document."""
        self.root: Any = None
        self.stack: list[_Open] = []
        self.lines: dict[Path, int] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}

    def take(self, event: Any) -> None:
        """One event: a scalar, an alias, the beginning or the end of a list or object."""
        if isinstance(event, SequenceEndEvent | MappingEndEvent):
            self._leave()
        elif not isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent | AliasEvent):
            return
        elif not isinstance(event, AliasEvent) and event.tag is not None and event.tag != "!":
            raise _wrong(f"Tags such as {event.tag[:60]} are not known here", event)
        elif self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            self._key(event)
        elif isinstance(event, ScalarEvent):
            self._put(_scalar(event), 1, event)
            if event.anchor:
                self.anchors[event.anchor] = (_scalar(event), 1)
        elif isinstance(event, AliasEvent):
            self._alias(event)
        else:
            self._enter(event)

    def _enter(self, event: Any) -> None:
        if len(self.stack) >= DEEPEST:
            raise _wrong(f"The YAML nests deeper than {DEEPEST} levels", event)
        before = self.values
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        self._put(value, 1, event, entering=True)
        self.stack.append(_Open(value, event.anchor, before))

    def _leave(self) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = (done.value, self.values - done.before)
        if self.stack:
            self.stack[-1].key = None

    def _alias(self, event: Any) -> None:
        found = self.anchors.get(event.anchor)
        if found is None:
            raise _wrong(f"The alias *{event.anchor[:50]} names nothing that ended before it", event)
        value, size = found
        self._count(size, event)
        self._put(_copy(value, DEEPEST - len(self.stack), event), 0, event)

    def _key(self, event: Any) -> None:
        here = self.stack[-1]
        if not isinstance(event, ScalarEvent) or event.anchor:
            raise _wrong("A key is plain text", event)
        key = event.value
        if event.implicit[0] and key in ("", "<<"):
            raise _wrong("A key is missing" if not key else "<< is not known here: write the parts out", event)
        if key in here.value:
            raise _wrong(f'The key "{key[:50]}" stands twice in one object', event)
        here.key, here.line = key, _line(event)

    def _put(self, value: Any, size: int, event: Any, *, entering: bool = False) -> None:
        self._count(size, event)
        if not self.stack:
            self.root = value
            self.lines[()] = _line(event)
            return
        here = self.stack[-1]
        if here.key is not None:
            here.value[here.key] = value
        else:
            here.value.append(value)
        path = tuple(each.key if each.key is not None else len(each.value) - 1 for each in self.stack)
        self.lines[path] = here.line if here.key is not None else _line(event)
        if not entering:
            here.key = None

    def _count(self, size: int, event: Any) -> None:
        self.values += size
        if self.values > MOST_VALUES:
            raise _wrong(f"The YAML holds more than {MOST_VALUES} values, aliases followed", event)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _wrong(sentence: str, event: Any) -> Malformed:
    return Malformed(f"{sentence} (line {_line(event)}).")


def _copy(value: Any, depth: int, event: Any) -> Any:
    """The value again, so that no two places share one; its size was counted before."""
    if not isinstance(value, dict | list):
        return value
    if depth <= 0:
        raise _wrong(f"The YAML nests deeper than {DEEPEST} levels, aliases followed", event)
    if isinstance(value, list):
        return [_copy(each, depth - 1, event) for each in value]
    return {key: _copy(each, depth - 1, event) for key, each in value.items()}


def _scalar(event: Any) -> Any:
    """What a scalar means: as in JSON where it is plain, text where it is quoted."""
    text: str = event.value
    if "\0" in text:
        raise _wrong("Text may not hold the character NUL", event)
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise _wrong("Text may not hold half of a surrogate pair", event)
    if not event.implicit[0]:
        return text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NULL.fullmatch(text):
        return None
    if WHOLE.fullmatch(text):
        if len(text) > LONGEST_NUMBER or abs(int(text)) > LARGEST_NUMBER:
            raise _wrong("A whole number lies beyond 2^53: put it into quotes", event)
        return int(text)
    if DECIMAL.fullmatch(text):
        if len(text) > LONGEST_NUMBER or not isfinite(float(text)):
            raise _wrong("A number is too large", event)
        return float(text)
    return text


def _sentence(error: yaml.YAMLError) -> str:
    """PyYAML's own words, in one line with the place."""
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"Not YAML: {' '.join(problem.split())[:200]}{where}."
