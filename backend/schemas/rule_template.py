"""How a ready template of a rule is shown."""

from marshmallow import fields

from backend.schemas.fields import StrictSchema


class ParameterOut(StrictSchema):
    """One blank of a template."""

    name = fields.String()
    about = fields.String(metadata={"description": "What it is for."})
    kind = fields.String(metadata={"enum": ["duration", "number", "text", "list"]})
    default = fields.Raw(metadata={"description": "What stands there where nobody says anything else."})


class RuleTemplateOut(StrictSchema):
    """A ready rule with blanks."""

    id = fields.String(metadata={"description": "As in `POST rules` with `template`."})
    name = fields.String()
    summary = fields.String(metadata={"description": "What it is for."})
    needs = fields.List(fields.String(), metadata={"description": "The events that the site must report."})
    parameters = fields.List(fields.Nested(ParameterOut))
    rule = fields.Dict(metadata={"description": "The rule with its defaults, ready for `POST rules`."})


class RuleTemplatesOut(StrictSchema):
    """All templates, in the order of the funnel."""

    items = fields.List(fields.Nested(RuleTemplateOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)
