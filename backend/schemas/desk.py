"""How a site's desk is written in the API and for the page: who is there, and when it answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import fields, validate

from backend.domain.desk import LONGEST_PATIENCE, ROUTINGS, SHORTEST_PATIENCE
from backend.domain.duration import format_duration, parse_duration
from backend.domain.hours import read_hours
from backend.domain.presence import PRESENCES
from backend.schemas.fields import Duration, Moment, StrictSchema, format_moment
from backend.schemas.policy import Written


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


class DepartmentDesk(StrictSchema):
    """How a department differs from its site; what is left out is as in the site's `policy.desk`."""

    hours = Written(
        read_hours,
        allow_none=True,
        metadata={"description": "Its working hours, as in `policy.desk`.", "example": {"zone": "UTC", "windows": []}},
    )
    routing = fields.String(allow_none=True, validate=validate.OneOf(ROUTINGS))
    unanswered_after = Duration(
        allow_none=True,
        validate=validate.Range(SHORTEST_PATIENCE, LONGEST_PATIENCE, error="Must be 1m to 1d."),
    )


class PresencesOut(StrictSchema):
    """All who may answer on a site."""

    items = fields.List(fields.Nested(SeatOut))


class PresenceIn(StrictSchema):
    """What an operator chooses to be."""

    presence = fields.String(required=True, validate=validate.OneOf(PRESENCES))
    operator = fields.String(
        metadata={"description": "Whose presence it is, by their id. An operator who asks may leave it out: their own."}
    )


def department_document(told: Mapping[str, Any]) -> dict[str, Any]:
    """What `DepartmentDesk` loaded, as it is kept; None for what is as in the site."""
    span = told.get("unanswered_after")
    return {
        "hours": told.get("hours"),
        "routing": told.get("routing"),
        "unanswered_after": None if span is None else format_duration(span),
    }


def department_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a department's desk, as `DepartmentDesk` dumps it."""
    told = {name: document.get(name) for name in DepartmentDesk().fields}
    span = told["unanswered_after"]
    return {**told, "unanswered_after": None if span is None else parse_duration(span)}


def page_desk(*, online: bool, replies_in: float | None, opens_at: datetime | None) -> dict[str, Any]:
    """The desk as a page is told of it; `opens_at` is None where it is open, or never will be."""
    return {
        "online": online,
        "replies_in": None if replies_in is None else round(replies_in),
        "opens_at": None if opens_at is None else format_moment(opens_at),
    }
