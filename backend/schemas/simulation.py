"""How a simulation is asked for and answered."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from backend.schemas.fields import Flag, Moment, StrictSchema
from backend.schemas.page import USUAL, Limit


class RuleOrId(fields.Field[Any]):
    """A rule as written down, or the id of a stored one."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not isinstance(value, (dict, str)):
            raise ValidationError("Must be a rule, or the id of one.")
        return value


class SimulationIn(StrictSchema):
    """A rule to try out on what is stored."""

    rule = RuleOrId(metadata={"description": "A rule as in `POST rules`, or the id of a stored one."})
    rules = fields.List(
        RuleOrId(),
        validate=validate.Length(1, 200),
        metadata={"description": "Several of them, to be tried out together; `summary.collisions` tells of caps."},
    )
    yaml = fields.List(
        fields.String(),
        validate=validate.Length(1, 200),
        metadata={"description": "Rules as they stand in files; each text may hold several, and segments."},
    )
    events = fields.List(
        fields.Raw(metadata={"type": "object"}),
        allow_none=True,
        load_default=None,
        metadata={
            "description": (
                "A history instead of the stored one: up to 10,000 calls of the HTTP Tracking API, each with its "
                "`timestamp`. Large ones may be sent with `Content-Encoding: gzip`, 8 MB unpacked."
            )
        },
    )
    holdout = Flag(
        load_default=True, metadata={"description": "With false nobody is held out, by the site neither: for tests."}
    )
    since = Moment(
        allow_none=True, load_default=None, metadata={"description": "From when on; null: from the first event."}
    )
    until = Moment(allow_none=True, load_default=None, metadata={"description": "Up to when; null: up to now."})
    limit = Limit(load_default=USUAL, metadata={"description": "As in the query."})
    cursor = fields.String(allow_none=True, load_default=None, metadata={"description": "As in the query."})

    @validates_schema
    def _order(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        if sum(name in data for name in ("rule", "rules", "yaml")) != 1:
            raise ValidationError({"rule": ["Give a rule, or several as rules, or as yaml."]})
        since, until = data.get("since"), data.get("until")
        if since is not None and until is not None and until <= since:
            raise ValidationError({"until": ["Must be later than since."]})


class SaidOut(StrictSchema):
    """One message that would have been sent."""

    at = Moment()
    channel = fields.String()
    step = fields.String(metadata={"description": "Which step of a journey; empty in a rule of one message."})
    variant = fields.String()
    content = fields.Dict(metadata={"description": "As it would have read."})


class SimulatedOut(StrictSchema):
    """One enrolment that the rule would have had."""

    rule_id = fields.String()
    rule = fields.String(metadata={"description": "The rule's name."})
    visitor_id = fields.String()
    anonymous_id = fields.String(allow_none=True)
    user_id = fields.String(allow_none=True)
    event_id = fields.String(metadata={"description": "The messageId of the trigger."})
    entered_at = Moment()
    at = Moment(allow_none=True, metadata={"description": "The moment of firing."})
    outcome = fields.String(metadata={"enum": ["sent", "skipped", "pending", "deferred", "completed"]})
    reason = fields.String(allow_none=True)
    variant = fields.String(allow_none=True)
    channel = fields.String(allow_none=True)
    messages = fields.List(fields.Nested(SaidOut), metadata={"description": "What would have been said, in order."})
    webhooks = fields.Integer(metadata={"description": "How many webhooks it would have called."})


class ProgressOut(StrictSchema):
    """How far a simulation is."""

    progress = fields.Float(required=True, metadata={"description": "From 0 to 1, by the visitors looked at so far."})
    visitors = fields.Integer(required=True)
    events = fields.Integer(required=True)


class SimulationOut(StrictSchema):
    """What the rule would have done; nothing was sent and nothing was stored."""

    items = fields.List(fields.Nested(SimulatedOut), required=True)
    summary = fields.Dict(keys=fields.String(), required=True, metadata={"description": "Totals over the whole span."})
    next_cursor = fields.String(required=True, allow_none=True)
