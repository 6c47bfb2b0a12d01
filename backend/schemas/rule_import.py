"""How rules are imported as a whole, and how what that changes is told."""

from typing import Any

from marshmallow import fields, validate

from backend.schemas.fields import Flag, StrictSchema
from backend.schemas.rule import WarningOut


class RuleImportIn(StrictSchema):
    """The rules that a site is to have."""

    rules = fields.List(
        fields.Raw(metadata={"type": "object"}),
        required=True,
        metadata={"description": "As in `POST rules`; `status` is applied, `id` and `key` tell which rule is meant."},
    )
    segments = fields.List(
        fields.Raw(metadata={"type": "object"}),
        load_default=list,
        metadata={
            "description": "Segments, as in `POST segments`, that these rules ask for; one is found by its name."
        },
    )
    prune = Flag(load_default=False, metadata={"description": "Archive the rules that are not among these."})
    keep_status = Flag(load_default=False, metadata={"description": "Leave active and paused what is there."})
    enrolled = fields.String(
        load_default="keep",
        validate=validate.OneOf(["keep", "move"]),
        metadata={
            "description": "What becomes of those who are in a rule that changes: they go on by the version that they "
            "are in (`keep`), or with the new one from the step at which they stand (`move`)."
        },
    )
    dry_run = Flag(load_default=False, metadata={"description": "Only tell what would change."})


class FieldChangeOut(StrictSchema):
    """One place of a rule that differs."""

    path = fields.List(fields.Raw(), metadata={"description": 'Such as `["audience", "all", 0, "op"]`.'})
    old = fields.Raw(allow_none=True)
    new = fields.Raw(allow_none=True)


class RuleChangeOut(StrictSchema):
    """What becomes of one rule."""

    action = fields.String(validate=validate.OneOf(("new", "changed", "same", "only_there", "archived")))
    index = fields.Integer(allow_none=True, metadata={"description": "Its place among those sent."})
    id = fields.String()
    key = fields.String(allow_none=True)
    name = fields.String()
    status = fields.String()
    fields_ = fields.List(fields.Nested(FieldChangeOut), data_key="fields", attribute="fields")
    warnings = fields.List(fields.Nested(WarningOut), metadata={"description": "As `POST rules` gives them."})
    kept = fields.Integer(metadata={"description": "So many are in it and go on by the version that they are in."})
    moving = fields.Integer(
        metadata={"description": "So many are in it and are moved, within seconds, to the new one."}
    )


class SegmentChangeOut(StrictSchema):
    """What becomes of one segment."""

    action = fields.String(validate=validate.OneOf(("new", "changed", "same")))
    index = fields.Integer(metadata={"description": "Its place among those sent."})
    id = fields.String()
    name = fields.String()
    fields_ = fields.List(fields.Nested(FieldChangeOut), data_key="fields", attribute="fields")


class RulePlanOut(StrictSchema):
    """What the import did, or would do."""

    changes = fields.List(fields.Nested(RuleChangeOut), required=True)
    segments = fields.List(fields.Nested(SegmentChangeOut), required=True)
    summary = fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "Rules by action."}
    )
    applied = fields.Boolean(required=True)


EXAMPLE: dict[str, Any] = {
    "rules": [
        {
            "key": "welcome",
            "name": "Welcome",
            "status": "draft",
            "trigger": {"session": "started"},
            "message": {"channels": ["chat"], "variants": [{"content": {"body": "Ask us anything."}}]},
        }
    ],
    "dry_run": True,
}
