"""What the pages of settings share: what was typed, what is wrong with it and beside which field, and what is saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from backend.domain.mistakes import RuleErrors
from backend.domain.site import Site
from backend.errors import ChimeinError
from backend.pipeline.settle import settle
from backend.schemas.site import SitePatch
from backend.web.console.phrases import sentences
from backend.web.context import runtime

LONGEST = 50_000
"""Characters of one field of a form that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A form as it is shown: as it is kept, or (`again`) as it was sent, with what is wrong with it.

    `beside` are sentences by the name of their field, `rest` those that belong to none, with their paths; `warnings`
    came with what was saved.
    """

    again: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)
    rest: Sequence[tuple[str, str]] = ()
    warnings: Sequence[tuple[str, str]] = ()

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.beside and not self.rest

    def value(self, name: str, kept: object = "") -> str:
        """What stands in a field."""
        return request.form.get(name, "") if self.again else "" if kept is None else str(kept)

    def on(self, name: str, kept: bool, value: str = "on") -> bool:
        """Whether a box is ticked."""
        return value in request.form.getlist(name) if self.again else kept


KEPT = Form()
"""A form as it is kept."""


def typed(name: str) -> str:
    """What was sent in a field, without space at its ends."""
    return request.form.get(name, "")[:LONGEST].strip()


def or_none(name: str) -> str | None:
    """The same; None where nothing was."""
    return typed(name) or None


def wrong(errors: Any, places: Mapping[str, str], message: str = "") -> Form:
    """The form with these mistakes; `places` are the fields by the beginning of the paths that belong beside them."""
    beside: dict[str, str] = {}
    rest: list[tuple[str, str]] = []
    for path, told in sentences(errors) or [("", message)]:
        name = next((places[each] for each in _beginnings(path) if each in places), None)
        if name is None:
            rest.append((path, told))
        elif told not in beside.get(name, ""):
            beside[name] = f"{beside[name]} {told}" if name in beside else told
    return Form(again=True, beside=beside, rest=rest)


def _beginnings(path: str) -> list[str]:
    """The path and all beginnings of it, the longest first."""
    keys = path.split(".")
    return [".".join(keys[:most]) for most in range(len(keys), 0, -1)]


def loaded(schema: Schema, body: Mapping[str, Any], places: Mapping[str, str]) -> tuple[dict[str, Any], Form]:
    """What a schema makes of a body, and the form with its mistakes."""
    try:
        return dict(schema.load(body)), KEPT
    except ValidationError as error:
        return {}, wrong(error.messages, places)


def saved(site: Site, body: Mapping[str, Any], places: Mapping[str, str]) -> Form:
    """Puts this into the site as `PATCH sites` does; the form with what is wrong, or what speaks against it."""
    told, form = loaded(SitePatch(), body, places)
    if not form.fine:
        return form
    try:
        _, warnings = settle(runtime(), site.id, told)
    except RuleErrors as error:
        return wrong(error.errors, places)
    except ChimeinError as error:
        return wrong(error.errors, places, error.message)
    return Form(warnings=[(each.path, each.message) for each in warnings])
