"""How it is written why a rule would, or would not, say something to a visitor."""

from marshmallow import fields

from backend.schemas.fields import Moment, StrictSchema


class ExplanationQuery(StrictSchema):
    """For whom to explain."""

    visitor = fields.String(required=True, metadata={"description": "The id of a visitor."})


class GateOut(StrictSchema):
    """One gate and its verdict."""

    gate = fields.String(metadata={"example": "audience"})
    open = fields.Boolean()
    reason = fields.String(allow_none=True, metadata={"example": "not_matching"})
    detail = fields.String(allow_none=True)


class ExplanationOut(StrictSchema):
    """Every gate of the rule, in the order in which they are asked."""

    rule_id = fields.String()
    visitor_id = fields.String()
    at = Moment(metadata={"description": "The moment for which it holds."})
    gates = fields.List(fields.Nested(GateOut))
