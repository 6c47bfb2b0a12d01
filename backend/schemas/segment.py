"""How a segment is written: a name and a condition in the rule language, or a list that is kept by hand."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.segment import LONGEST_DESCRIPTION, LONGEST_NAME
from backend.schemas.condition import CONDITION
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.rule import WarningOut
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

MOST_PROBLEMS = 1_000
"""Rows that the answer to an import tells of, where it is not made of lines."""

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
    left_at = Moment(allow_none=True, metadata={"description": "When they had left it before."})


class ImportQuery(StrictSchema):
    """What to do with the visitors of a file."""

    remove = fields.Boolean(load_default=False, metadata={"description": "Take them off the list."})
    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only tell what would become of each row."})


class ProblemOut(StrictSchema):
    """A row that was left out."""

    line = fields.Integer(metadata={"description": "Of the file, from 1; that at which the row ends.", "example": 17})
    code = fields.String(validate=validate.OneOf(("broken", "not_found", "ambiguous", "unnamed")))
    message = fields.String(metadata={"example": 'No visitor has the email "jo@shop.example".'})


class ImportOut(StrictSchema):
    """What came of a file; who is put on the list takes their turn in the log, like any event."""

    rows = fields.Integer(metadata={"description": "Rows that were looked at; empty lines are none."})
    accepted = fields.Integer()
    not_found = fields.Integer(metadata={"description": "Rows that name nobody of this site."})
    ambiguous = fields.Integer(metadata={"description": "Rows that several visitors match."})
    broken = fields.Integer(metadata={"description": "Rows that cannot be read."})
    unnamed = fields.Integer(metadata={"description": "Visitors who have no id by which the log could name them."})
    stopped_at = fields.Integer(
        allow_none=True,
        metadata={
            "description": "Only where the log stayed full: the line from which on nothing was done; send again."
        },
    )
    problems = fields.List(
        fields.Nested(ProblemOut), metadata={"description": f"The first {MOST_PROBLEMS}; as lines, all of them."}
    )


class MemberRowOut(StrictSchema):
    """One row of a file of members."""

    visitor_id = fields.String()
    user_id = fields.String(allow_none=True)
    anonymous_id = fields.String(allow_none=True, metadata={"description": "Of the browser that came last."})
    email = fields.String(allow_none=True)
    stage = fields.String()
    first_seen = Moment(allow_none=True)
    last_seen = Moment(allow_none=True)
    orders = fields.Integer()
    revenue = fields.String(metadata={"example": "19.90"})
    currency = fields.String()
    entered_at = Moment()
    left_at = Moment(allow_none=True, metadata={"description": "When they had left before."})


class ExportQuery(StrictSchema):
    """How the file is written."""

    format = fields.String(
        load_default="csv",
        validate=validate.OneOf(("csv", "jsonl")),
        metadata={"description": "csv has a first line with the columns' names; jsonl is one JSON object a line."},
    )
