"""How it is written why a rule would, or would not, say something to a visitor."""

from marshmallow import fields

from backend.schemas.enrolment import EnrolmentOut
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


class DeniedOut(StrictSchema):
    """A trigger that started nothing."""

    event_id = fields.String(metadata={"description": "Its messageId."})
    at = Moment()
    reason = fields.String(
        allow_none=True,
        metadata={
            "description": "live (an enrolment waited already), once, at_most or per_key; null: it was not re-entry: "
            "the audience did not hold then, the event came too late, or the rule was not active.",
            "example": "once",
        },
    )


class ExplanationOut(StrictSchema):
    """Every gate of the rule, in the order in which they are asked."""

    rule_id = fields.String()
    visitor_id = fields.String()
    at = Moment(metadata={"description": "The moment for which it holds."})
    rule_version = fields.Integer(
        metadata={"description": "The version that is explained: the one in which the visitor is, else the present."}
    )
    enrolment = fields.Nested(
        EnrolmentOut,
        allow_none=True,
        metadata={"description": "Where they stand in it, or how the last one ended."},
    )
    denied = fields.Nested(
        DeniedOut, allow_none=True, metadata={"description": "The last trigger, where it started nothing."}
    )
    gates = fields.List(fields.Nested(GateOut))
