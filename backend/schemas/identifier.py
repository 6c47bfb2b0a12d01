"""How identifiers are told to the API."""

from marshmallow import fields, validate

from backend.domain.identifier import CONTACTS
from backend.schemas.fields import Flag, Line, StrictSchema


class IdentifierIn(StrictSchema):
    """An address of a visitor that comes from elsewhere than a page."""

    kind = fields.String(required=True, validate=validate.OneOf(CONTACTS), metadata={"example": "email"})
    value = Line(longest=255, required=True, metadata={"example": "ada@example.com"})
    source = fields.String(
        load_default="api",
        validate=validate.OneOf(["api", "operator"]),
        metadata={"description": "`operator`: somebody wrote it down by hand."},
    )
    verified = Flag(
        load_default=False, metadata={"description": "Your own system has proof that the address is this visitor's."}
    )


class IdentifierAccepted(StrictSchema):
    """It is in the log, and takes effect in its turn."""

    accepted = fields.Integer()


class ConfirmIn(StrictSchema):
    """Which address to ask about, and in which words; what is left out is said in English."""

    value = Line(longest=255, required=True, metadata={"example": "ada@example.com"})
    subject = Line(longest=200)
    title = Line(longest=200)
    body = fields.String(validate=validate.Length(1, 5_000))
    button = Line(longest=100)


class ConfirmOut(StrictSchema):
    """The mail that asks."""

    message_id = fields.String()
    status = fields.String(metadata={"example": "queued"})
