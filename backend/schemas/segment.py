"""How a segment is written: a name and a condition in the rule language, or a list that is kept by hand."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.segment import LONGEST_DESCRIPTION, LONGEST_NAME
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.rule import CONDITION, WarningOut
from backend.schemas.visitor import VisitorOut

EXAMPLE: dict[str, Any] = {
    "name": "Bought lately, not here for a week",
    "condition": {
        "all": [
            {"performed": "Order Completed", "within": "30d"},
            {"field": "profile.last_seen", "op": "before", "value": {"ago": "7d"}},
        ]
    },
}
"""A segment that people enter and leave though nothing happens."""

MOST_AT_ONCE = 1_000
"""Visitors that one request puts on a list."""

_LASTING = "; about profile. fields and performed, and other segments, never about the event at hand"


class SegmentIn(StrictSchema):
    """A segment as it is written down: a name, and a condition or `"manual": true`."""

    name = fields.String(
        required=True,
        metadata={"maxLength": LONGEST_NAME, "description": "Unique in the site; rules may refer to it."},
    )
    description = fields.String(load_default="", metadata={"maxLength": LONGEST_DESCRIPTION})
    condition = fields.Raw(
        allow_none=True,
        load_default=None,
        metadata={**CONDITION, "description": CONDITION["description"] + _LASTING, "nullable": True},
    )
    manual = fields.Boolean(load_default=False, metadata={"description": "Kept by hand, by `members`."})


class SegmentOut(SegmentIn):
    """A segment and where it stands."""

    id = fields.String()
    version = fields.Integer(metadata={"description": "Grows by one with every edit."})
    size = fields.Integer(metadata={"description": "How many visitors are members now."})
    building = fields.Boolean(
        metadata={"description": "True while visitors from before its condition was written are still being asked."}
    )
    created_at = Moment()
    updated_at = Moment()
    warnings = fields.List(
        fields.Nested(WarningOut),
        metadata={"description": "When it is saved: names and types that were never seen. Left out where none."},
    )


class PreviewIn(StrictSchema):
    """A condition whose members are to be counted."""

    condition = fields.Raw(required=True, metadata=CONDITION)


class PreviewOut(StrictSchema):
    """How many would be members now."""

    size = fields.Integer(metadata={"description": "Visitors for whom the condition holds, exactly."})
    visitors = fields.Integer(metadata={"description": "Visitors of the site."})
    at = Moment(metadata={"description": "The moment for which it was asked."})


class MembersIn(StrictSchema):
    """Visitors to put on a list, or to take off it."""

    visitors = fields.List(
        fields.String(validate=validate.Length(1, 100)),
        required=True,
        validate=validate.Length(1, MOST_AT_ONCE),
        metadata={"description": "Their ids."},
    )


class MembersOut(StrictSchema):
    """What was put into the log; it takes effect in its turn, like any event."""

    accepted = fields.Integer()
    not_found = fields.List(fields.String(), metadata={"description": "Ids that no visitor of this site has."})


class MemberOut(VisitorOut):
    """A visitor, and since when they are a member."""

    entered_at = Moment()
