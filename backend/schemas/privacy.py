"""How consent, the access log and what was not let in are written in the API."""

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from backend.domain.access import ACTIONS, Access
from backend.domain.consent import CATEGORIES, TEXT_LIMIT, Choice, standing
from backend.schemas.fields import Flag, Line, Moment, StrictSchema
from backend.schemas.page import PageQuery


class ConsentIn(StrictSchema):
    """What somebody has agreed to; categories that are left out stay as they are."""

    necessary = Flag(metadata={"description": "Always true: it is no question."})
    analytics = Flag()
    marketing = Flag()
    text = fields.String(
        validate=validate.Length(1, TEXT_LIMIT), metadata={"description": "What was shown when they were asked."}
    )
    source = fields.String(
        validate=validate.OneOf(("api", "operator", "import")),
        load_default="api",
        metadata={"description": "Who took the answer down: a backend, a person, or an import."},
    )
    at = Moment(metadata={"description": "When they answered; now where left out."})

    @validates_schema
    def _answers(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if not any(category in data for category in CATEGORIES):
            raise ValidationError({"_schema": [f"Give at least one of {', '.join(CATEGORIES)}."]})
        if data.get("necessary") is False:
            raise ValidationError({"necessary": ["Cannot be refused."]})


class ChoiceOut(StrictSchema):
    """One answer; `last` is when the same was told last."""

    category = fields.String(metadata={"example": "marketing"})
    granted = fields.Boolean()
    at = Moment()
    last = Moment()
    source = fields.String(metadata={"description": "page, api, operator or import."})
    text = fields.String(allow_none=True)


class ConsentOut(StrictSchema):
    """What holds now, by category (one that is not named was never answered), and every answer, newest first."""

    consent = fields.Dict(keys=fields.String(), values=fields.Boolean(), metadata={"example": {"marketing": False}})
    history = fields.List(fields.Nested(ChoiceOut))


def consent_view(log: tuple[Choice, ...]) -> dict[str, Any]:
    """The answers as `ConsentOut` dumps them."""
    return {"consent": standing(log), "history": list(reversed(log))}


class AccessQuery(PageQuery):
    """Which looks to list."""

    visitor = Line(metadata={"description": "The id of a visitor; finds those who were erased too."})
    token = Line(metadata={"description": "The name of a token."})
    action = fields.String(validate=validate.OneOf(ACTIONS))


class AccessOut(StrictSchema):
    """One look at one visitor; or, with `visitor` null, at a list."""

    id = fields.String()
    at = Moment()
    token = fields.String(metadata={"description": "The name of the token.", "example": "support desk"})
    role = fields.String()
    action = fields.String(metadata={"description": f"One of {', '.join(ACTIONS)}."})
    operation = fields.String(metadata={"description": "What was called.", "example": "get_a_visitor"})
    visitor = fields.String(
        allow_none=True,
        metadata={
            "description": "The id; a keyed hash of it once they are erased. null: a list as a whole; the visitors in "
            "it stand in the log one by one, too."
        },
    )
    shown = fields.Integer(allow_none=True, metadata={"description": "How many the list showed."})
    filter = fields.Dict(
        allow_none=True,
        keys=fields.String(),
        values=fields.String(),
        metadata={
            "description": "What was asked for. Addresses and ids of persons stand there as keyed hashes: the same "
            "address, asked for again, has the same one.",
            "example": {"stage": "cart", "email": "hash:9f86d081…"},
        },
    )


def access_view(look: Access) -> dict[str, Any]:
    """A look as `AccessOut` dumps it."""
    own = {name: getattr(look, name) for name in ("id", "token", "role", "action", "shown")}
    return {**own, "at": look.at, "operation": look.detail, "visitor": look.visitor or None, "filter": look.asked}


class WithheldOut(StrictSchema):
    """Events of one day (UTC) that were accepted and not let in."""

    day = fields.String(metadata={"example": "2026-03-01"})
    reason = fields.String(
        metadata={"description": "erased, no_consent, privacy_signal, or retention (too old to be kept)."}
    )
    events = fields.Integer()


class ErasedOut(StrictSchema):
    """How many persons were erased; `scrubbed`: nothing of them is left in the log and in the database's files."""

    persons = fields.Integer()
    last_at = Moment(allow_none=True)
    scrubbed = fields.Boolean()


class PrivacyOut(StrictSchema):
    """What was not let in, and who was erased, in numbers."""

    withheld = fields.List(fields.Nested(WithheldOut))
    erased = fields.Nested(ErasedOut)


def privacy_view(withheld: list[tuple[str, str, int]], erased: tuple[int, datetime | None, bool]) -> dict[str, Any]:
    """The numbers as `PrivacyOut` dumps them."""
    days = [{"day": day, "reason": reason, "events": number} for day, reason, number in withheld]
    return {"withheld": days, "erased": dict(zip(("persons", "last_at", "scrubbed"), erased, strict=True))}
