"""How an error is written: always this one body."""

from marshmallow import fields

from backend.schemas.fields import StrictSchema


class ErrorOut(StrictSchema):
    """What went wrong; `errors` is nested as the input was, down to each mistake."""

    code = fields.String(required=True, metadata={"example": "invalid"})
    status = fields.Integer(required=True, metadata={"example": 422})
    message = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"example": {"audience": {"all": {"1": {"op": ["Must be one of eq, ne, gt, …"]}}}}},
    )
