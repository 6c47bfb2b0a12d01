"""How merges are written in the API: what two visitors would be together, and the journal of what was made one."""

from typing import Any

from marshmallow import fields, validate

from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.visitor import VisitorOut


class MergeIn(StrictSchema):
    """Whom to merge."""

    with_ = fields.String(
        required=True,
        data_key="with",
        metadata={"description": "The id of the other visitor.", "example": "0123456789abcdef0123456789abcdef"},
    )


class MergeQuery(StrictSchema):
    """How to merge."""

    preview = fields.String(
        validate=validate.OneOf(["true", "false"]),
        metadata={"description": "Only tell what would come of it; nothing changes.", "example": "true"},
    )


class DifferenceOut(StrictSchema):
    """Something on which the two do not agree."""

    field = fields.String(metadata={"example": "traits.plan"})
    kept = fields.Raw(metadata={"description": "What the merged profile has.", "example": "paid"})
    dropped = fields.Raw(metadata={"description": "What it does not show any more.", "example": "free"})


class MergeRecordOut(StrictSchema):
    """One merge: `member_id` turned out to be `visitor_id`."""

    id = fields.String()
    visitor_id = fields.String()
    member_id = fields.String()
    source = fields.String(
        metadata={
            "description": "`identify` (or another event that names both), `signed` with a valid userHash, `alias`, or "
            "`api`.",
            "example": "identify",
        }
    )
    message_id = fields.String(allow_none=True, metadata={"description": "Of the event that said so."})
    author = fields.String(allow_none=True, metadata={"description": "The name of the token that said so."})
    at = Moment()
    undone_at = Moment(allow_none=True)
    undone_by = fields.String(allow_none=True)


class MergeOut(StrictSchema):
    """What came of a merge, or would."""

    preview = fields.Boolean()
    visitor = fields.Nested(VisitorOut, metadata={"description": "The one person that they are."})
    conflicts = fields.List(fields.Nested(DifferenceOut))
    merge = fields.Nested(MergeRecordOut, allow_none=True, metadata={"description": "None for a preview."})


class UnmergeOut(StrictSchema):
    """The two, each folded from their own events."""

    merge = fields.Nested(MergeRecordOut)
    visitor = fields.Nested(VisitorOut, metadata={"description": "Who stays."})
    freed = fields.Nested(
        VisitorOut, allow_none=True, metadata={"description": "Who is somebody else again; none who never did a thing."}
    )


def merge_view(merge: Any) -> dict[str, Any]:
    """A merge of the journal as `MergeRecordOut` dumps it."""
    names = ("id", "visitor_id", "member_id", "source", "author", "at", "undone_at", "undone_by")
    return {name: getattr(merge, name) for name in names} | {"message_id": merge.message_id or None}
