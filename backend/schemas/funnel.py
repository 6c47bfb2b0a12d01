"""How a report on a site's funnel is written."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import fields, validate

from backend.domain.passage import Passage
from backend.schemas.fields import Moment, StrictSchema

MOST_GROUPS = 50
"""Groups that an answer shows, the largest."""


class FunnelQuery(StrictSchema):
    """Which period, and whether to tell groups apart."""

    since = Moment(metadata={"description": "From when on; from the beginning where left out."})
    until = Moment(metadata={"description": "Before when; now where left out."})
    by = fields.String(
        validate=validate.OneOf(("source", "device")),
        metadata={
            "description": "Also each group: by the campaign or site that they came from, or by the type of device. A "
            "person belongs to the group of their first entry in the period."
        },
    )


class FunnelStageOut(StrictSchema):
    """One stage in the period."""

    name = fields.String(metadata={"example": "cart"})
    entered = fields.Integer(metadata={"description": "Persons who came into exactly this stage."})
    reached = fields.Integer(metadata={"description": "Persons who came into it or into one behind it."})
    conversion = fields.Float(
        allow_none=True, metadata={"description": "Of those who reached the stage before, the share that reached it."}
    )
    share = fields.Float(allow_none=True, metadata={"description": "Of all persons of the period."})
    timed = fields.Integer(metadata={"description": "Persons who came into it after the stage before."})
    median_seconds = fields.Float(
        allow_none=True, metadata={"description": "Half of those took no longer, from first entry to the next."}
    )


class FunnelGroupOut(StrictSchema):
    """The funnel of one group."""

    name = fields.String(metadata={"example": "mobile"})
    persons = fields.Integer()
    stages = fields.List(fields.Nested(FunnelStageOut))


class FunnelOut(StrictSchema):
    """How far the visitors of a period came."""

    since = Moment(allow_none=True)
    until = Moment()
    persons = fields.Integer(metadata={"description": "Who came into any stage in the period."})
    stages = fields.List(fields.Nested(FunnelStageOut))
    groups = fields.List(
        fields.Nested(FunnelGroupOut), metadata={"description": f"The {MOST_GROUPS} largest, with `by`."}
    )
    building = fields.Boolean(
        metadata={"description": "True while the past of all visitors is still being found out: it lacks some."}
    )
    progress = fields.Float(metadata={"description": "The part of the visitors whose past is known, 0 to 1."})


def funnel_view(
    whole: Passage,
    groups: list[tuple[str, Passage]],
    progress: float | None,
    since: datetime | None,
    until: datetime,
) -> Mapping[str, Any]:
    """What `FunnelOut` dumps; `progress` is None where everybody's past is known."""
    return {
        "since": since,
        "until": until,
        "persons": whole.persons,
        "stages": whole.steps(),
        "groups": [
            {"name": name, "persons": each.persons, "stages": each.steps()} for name, each in groups[:MOST_GROUPS]
        ],
        "building": progress is not None,
        "progress": 1.0 if progress is None else progress,
    }
