"""What is an answer? A button under a message on the site; pressing it sets a trait to what the rule's author wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from backend.domain.mistakes import Mistakes, quoted

MOST_OPTIONS = 6
LONGEST_TRAIT = 100
LONGEST_TEXT = 300
LONGEST_VALUE = 200
NOT_ANSWERED = frozenset({"email", "phone"})
"""Traits by which people are reached: nobody's address is known from a button."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The answers that one message offers: which trait they set, and to what, in the order of their buttons."""

    trait: str
    values: tuple[Any, ...]

    def chosen(self, value: object) -> Any:
        """The offered value that this is, as it was written; None for what was never offered."""
        wanted = _kind(value)
        return next((each for each in self.values if each == value and _kind(each) == wanted), None)


def answers_of(content: Mapping[str, Any]) -> Answers | None:
    """What a content (its sources, or rendered) offers; None where it asks nothing."""
    told = content.get("answers")
    if told is None:
        return None
    return Answers(trait=told["trait"], values=tuple(option["value"] for option in told["options"]))


def read_answers(value: object, path: Sequence[str | int], mistakes: Mistakes) -> dict[str, Any] | None:
    """Read `{"trait", "options": ["…", {"text", "value"}]}`; give it back with a value beside each text.

    The texts are Liquid and are looked at by whoever reads the content. None where there are mistakes.
    """
    if not isinstance(value, dict):
        mistakes.add(path, 'Answers are an object: {"trait": "why_not_bought", "options": ["Too dear", "Shipping"]}.')
        return None
    before = mistakes.total
    mistakes.known_keys(value, ("trait", "options"), path)
    trait, told = value.get("trait"), value.get("options")
    _check_trait(trait, (*path, "trait"), mistakes)
    if not isinstance(told, list) or not 1 <= len(told) <= MOST_OPTIONS:
        mistakes.add((*path, "options"), f"Expected a list of 1 to {MOST_OPTIONS} answers.")
        return None
    options: list[dict[str, Any]] = []
    for place, each in enumerate(told):
        option = _option(each, (*path, "options", place), mistakes)
        if option is None:
            continue
        if any(
            _kind(option["value"]) == _kind(other["value"]) and option["value"] == other["value"] for other in options
        ):
            mistakes.add((*path, "options", place), f"Two answers have the value {quoted(option['value'])}.")
        options.append(option)
    return {"trait": trait, "options": options} if mistakes.total == before else None


def _check_trait(trait: object, path: Sequence[str | int], mistakes: Mistakes) -> None:
    if not isinstance(trait, str) or not 0 < len(trait.strip()) <= LONGEST_TRAIT or not trait.isprintable():
        mistakes.add(path, f'Expected the name of a trait, 1 to {LONGEST_TRAIT} characters, such as "why_not_bought".')
    elif "{{" in trait or "{%" in trait:
        mistakes.add(path, "The name of the trait is the same for everybody: no Liquid here.")
    elif trait.lower() in NOT_ANSWERED:
        mistakes.add(path, f"{quoted(trait)} is an address to reach people at, which no button can tell.")


def _option(told: object, path: Sequence[str | int], mistakes: Mistakes) -> dict[str, Any] | None:
    """One answer as text and value; a plain text is both."""
    before = mistakes.total
    if isinstance(told, dict):
        mistakes.known_keys(told, ("text", "value"), path)
        text, value = told.get("text"), told.get("value", told.get("text"))
        where = (*path, "value" if "value" in told else "text")
    else:
        text, value, where = told, told, tuple(path)
    if not isinstance(text, str) or not 0 < len(text.strip()) <= LONGEST_TEXT:
        mistakes.add(
            (*path, "text") if isinstance(told, dict) else path,
            f"An answer is a text of 1 to {LONGEST_TEXT} characters.",
        )
        return None
    wrong = _value_mistake(value)
    if wrong is not None:
        mistakes.add(where, wrong)
    return {"text": text, "value": value} if mistakes.total == before else None


def _value_mistake(value: object) -> str | None:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            return 'Liquid in the text of an answer needs a value beside it: {"text": "…", "value": "…"}.'
        return None if 0 < len(value.strip()) <= LONGEST_VALUE else f"A value has 1 to {LONGEST_VALUE} characters."
    if isinstance(value, bool) or (isinstance(value, int | float) and isfinite(value) and abs(value) < 2**53):
        return None
    return "A value is a text, a number, true or false."


def _kind(value: object) -> str:
    """Texts, numbers and flags are never taken for each other."""
    return "flag" if isinstance(value, bool) else "number" if isinstance(value, int | float) else type(value).__name__
