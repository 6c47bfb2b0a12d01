"""How a site's desk is written in the API and for the page: who is there, and when it answers."""

from datetime import datetime
from typing import Any

from marshmallow import fields, validate

from backend.domain.desk import ROUTINGS
from backend.domain.presence import PRESENCES
from backend.schemas.fields import Moment, StrictSchema, format_moment


class SeatOut(StrictSchema):
    """One who may answer on a site."""

    operator_id = fields.String()
    name = fields.String()
    presence = fields.String(
        metadata={
            "enum": list(PRESENCES),
            "description": "As others see it: off where no console of theirs was heard of for 90 s, away where they "
            "did nothing for 10 minutes.",
        }
    )
    chosen = fields.String(metadata={"enum": list(PRESENCES), "description": "As they chose it."})
    departments = fields.List(fields.String())
    conversations = fields.Integer(
        metadata={"description": "Open conversations of theirs in which somebody waits, or spoke within the last hour."}
    )
    capacity = fields.Integer(metadata={"description": "With so many they are given no more."})


class DepartmentDeskOut(StrictSchema):
    """A department's desk."""

    id = fields.String()
    name = fields.String()
    open = fields.Boolean()
    opens_at = Moment(allow_none=True)
    routing = fields.String(metadata={"enum": list(ROUTINGS)})


class DeskOut(StrictSchema):
    """Who is there to answer, and when somebody will be."""

    online = fields.Boolean(metadata={"description": "Whether somebody is online, within their working hours."})
    open = fields.Boolean(metadata={"description": "Whether the working hours of the site or of a department hold."})
    opens_at = Moment(
        allow_none=True, metadata={"description": "When they hold next: now where they do; null: not within 400 days."}
    )
    replies_in = fields.Float(
        allow_none=True,
        metadata={"description": "The median time to the first answer in the last 7 days, in seconds of working time."},
    )
    routing = fields.String(metadata={"enum": list(ROUTINGS)})
    operators = fields.List(fields.Nested(SeatOut))
    departments = fields.List(fields.Nested(DepartmentDeskOut))


class PresencesOut(StrictSchema):
    """All who may answer on a site."""

    items = fields.List(fields.Nested(SeatOut))


class PresenceIn(StrictSchema):
    """What an operator chooses to be."""

    presence = fields.String(required=True, validate=validate.OneOf(PRESENCES))
    operator = fields.String(
        metadata={"description": "Whose presence it is, by their id. An operator who asks may leave it out: their own."}
    )


def page_desk(*, online: bool, replies_in: float | None, opens_at: datetime | None) -> dict[str, Any]:
    """The desk as a page is told of it; `opens_at` is None where it is open, or never will be."""
    return {
        "online": online,
        "replies_in": None if replies_in is None else round(replies_in),
        "opens_at": None if opens_at is None else format_moment(opens_at),
    }
