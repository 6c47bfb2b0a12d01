"""What is a template of a rule? A ready rule with a few blanks, each with a default and a word on what it is for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from backend.domain.duration import parse_duration
from backend.domain.mistakes import Mistakes, nearest, quoted

Kind: TypeAlias = Literal["duration", "number", "text", "list"]

_BLANK = re.compile(r"\$\{([a-z_]+)\}")
LONGEST_TEXT = 2_000
MOST_PARTS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One blank of a template."""

    name: str
    about: str
    kind: Kind
    default: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleTemplate:
    """A ready rule: `summary` says in a sentence what it is for, `needs` which events the site must report.

    `rule` is the document, with `${name}` where a parameter goes.
    """

    id: str
    name: str
    summary: str
    needs: Sequence[str]
    parameters: Sequence[Parameter]
    rule: Mapping[str, Any]


def filled(template: RuleTemplate, given: object = None) -> dict[str, Any]:
    """The rule with these values, else the defaults; RuleErrors below `parameters` for what does not fit."""
    mistakes = Mistakes()
    values = {each.name: each.default for each in template.parameters}
    if given is not None and not isinstance(given, Mapping):
        mistakes.add(("parameters",), 'Expected an object such as {"delay": "1h"}.')
        mistakes.raise_if_any()
    for name, value in (given or {}).items() if isinstance(given, Mapping) else ():
        known = next((each for each in template.parameters if each.name == name), None)
        if known is None:
            hint = nearest(name, values)
            mistakes.add(("parameters", str(name)[:100]), f"This template has no parameter {quoted(name)}.{hint}")
        elif wrong := _wrong(known.kind, value):
            mistakes.add(("parameters", name), wrong)
        else:
            values[name] = value
    mistakes.raise_if_any()
    document: dict[str, Any] = _fill(template.rule, values)
    return document


def read_text(kind: Kind, text: str) -> Any:
    """A value as it is written on a command line; what is no such value stays text, and will be told."""
    if kind == "number":
        try:
            return int(text) if text.lstrip("-").isdecimal() and len(text) < 20 else float(text)
        except ValueError:
            return text
    return [part.strip() for part in text.split(",")] if kind == "list" else text


def _wrong(kind: Kind, value: object) -> str | None:
    if kind == "duration":
        try:
            parse_duration(value)
        except ValueError as error:
            return str(error)
    elif kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
            return "Expected a number."
    elif kind == "text":
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            return f"Expected text of at most {LONGEST_TEXT} characters."
    elif not isinstance(value, list) or len(value) > MOST_PARTS or not all(isinstance(each, str) for each in value):
        return "Expected a list of texts."
    return None


def _fill(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, Mapping):
        return {key: _fill(below, values) for key, below in part.items()}
    if isinstance(part, list):
        return [_fill(below, values) for below in part]
    if not isinstance(part, str):
        return part
    whole = _BLANK.fullmatch(part)
    if whole is not None:
        return values[whole[1]]
    return _BLANK.sub(lambda found: str(values[found[1]]), part)
