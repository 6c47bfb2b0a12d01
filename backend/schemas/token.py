"""How an API token is written in the API."""

from marshmallow import fields, validate

from backend.schemas.fields import Line, Moment, StrictSchema

ROLES = ("administrator", "marketer", "operator", "read_only")


class TokenIn(StrictSchema):
    """A new token."""

    name = Line(required=True, metadata={"description": "What it is for.", "example": "nightly report"})
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    site = fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "The id or name of the one site; null: every site."},
    )


class TokenOut(StrictSchema):
    """A token as it is kept."""

    id = fields.String()
    name = fields.String()
    role = fields.String(metadata={"enum": list(ROLES)})
    site_id = fields.String(allow_none=True, metadata={"description": "The one site; null: every site."})
    created_at = Moment()


class NewTokenOut(TokenOut):
    """A token just made; its text is shown here and never again."""

    token = fields.String(metadata={"example": "chi_tok_…"})
