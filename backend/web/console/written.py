"""What the editors share: JSON that somebody wrote, the version that they began with, and what keeping it answers."""

import json
from collections.abc import Callable
from typing import Any

from flask import jsonify
from werkzeug.wrappers import Response

from backend.domain.mistakes import RuleErrors
from backend.errors import ChimeinError
from backend.web.console.phrases import sentences


def value_of(text: str) -> Any:
    """What the JSON tells; RuleErrors where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RuleErrors({"": [f"This is no JSON: {error}."]}) from None


def object_of(text: str, name: str) -> dict[str, Any]:
    """The object that the JSON tells; RuleErrors where it is none. `name` is what should stand there."""
    told = value_of(text)
    if not isinstance(told, dict):
        raise RuleErrors({"": [f"A {name} is an object."]})
    return told


def version_of(text: str) -> int | None:
    """The number of a version, as a form tells it; None where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def kept(keep: Callable[[], str]) -> Response:
    """Keeps what was written, and answers with the address where that stands, or with what is wrong with it."""
    try:
        where = keep()
    except RuleErrors as error:
        return jsonify({"mistakes": sentences(error.errors), "warnings": []})
    except ChimeinError as error:
        if error.status == 404:
            raise
        return jsonify({"mistakes": [("", error.message)], "warnings": []})
    return jsonify({"saved": where, "mistakes": [], "warnings": []})
