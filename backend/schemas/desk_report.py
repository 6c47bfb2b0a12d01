"""How a report on conversations, and an export of them, are asked for and written."""

from datetime import timedelta

from marshmallow import ValidationError, fields, validate

from backend.domain.desk_report import DIMENSIONS
from backend.schemas.fields import Duration, Moment, Money, StrictSchema
from backend.schemas.report import ReportQuery

LONGEST_WINDOW = timedelta(days=90)


def _window(value: timedelta) -> None:
    if not timedelta(0) < value <= LONGEST_WINDOW:
        raise ValidationError("At most 90d, and more than nothing.")


class DeskReportQuery(ReportQuery):
    """Which days, by what to tell the numbers apart, and how long an order is put down to what was said."""

    by = fields.String(validate=validate.OneOf(DIMENSIONS), metadata={"description": "The dimension of `rows`."})
    window = Duration(
        load_default=timedelta(days=7),
        validate=_window,
        metadata={"description": "So long after something was said an order counts.", "example": "7d"},
    )


class SpreadOut(StrictSchema):
    """How long it took, in seconds."""

    median = fields.Float(allow_none=True)
    p90 = fields.Float(allow_none=True, metadata={"description": "Nine of ten took no longer."})


class TimesOut(SpreadOut):
    """How long it took, in seconds by the clock, and in `working` hours."""

    working = fields.Nested(SpreadOut)


class RatingsOut(StrictSchema):
    """What visitors gave, from 1 to 5; of each conversation the last."""

    count = fields.Integer()
    mean = fields.Float(allow_none=True)
    values = fields.Dict(keys=fields.String(), values=fields.Integer())


class LoadOut(StrictSchema):
    """How many conversations were not closed."""

    most = fields.Integer(metadata={"description": "At most at the same time."})
    at_end = fields.Integer(metadata={"description": "At the end of the last day, or now."})


class DeskNumbersOut(StrictSchema):
    """What was counted."""

    opened = fields.Integer(
        metadata={"description": "Conversations that began; an operator's: that they answered first."}
    )
    answered = fields.Integer(metadata={"description": "Of these: whose visitor got an answer."})
    first_response = fields.Nested(
        TimesOut, metadata={"description": "From the visitor's first message to the first answer."}
    )
    closed = fields.Integer(metadata={"description": "Of these: that are closed; an operator's: who answered last."})
    resolution = fields.Nested(TimesOut, metadata={"description": "From the beginning to the last closing."})
    reopened = fields.Integer(metadata={"description": "Of these: that went on after they had been closed."})
    parts = fields.Integer(metadata={"description": "Messages that operators said in this time."})
    ratings = fields.Nested(RatingsOut)
    orders = fields.Integer(
        metadata={
            "description": "Orders of this time within `window` of what was said in a conversation. Each counts once, "
            "for the operator who answered last before it within `window`, else for nobody (null)."
        }
    )
    revenue = Money()


class DeskTotalsOut(DeskNumbersOut):
    """Everything that was counted."""

    open = fields.Nested(LoadOut)


class DeskRowOut(DeskNumbersOut):
    """The numbers of one day, operator or department; null stands for none. They add up to the totals."""

    day = fields.String(allow_none=True)
    operator = fields.String(allow_none=True, metadata={"description": "An operator's id."})
    name = fields.String(allow_none=True, metadata={"description": "The operator's."})
    department = fields.String(allow_none=True)


class DeskReportOut(StrictSchema):
    """What conversations brought about."""

    currency = fields.String(metadata={"description": "Of the site, and of `revenue`."})
    since = fields.Date()
    until = fields.Date()
    working_hours = fields.Boolean(metadata={"description": "false: none are told, and every hour counts as one."})
    totals = fields.Nested(DeskTotalsOut)
    rows = fields.List(fields.Nested(DeskRowOut))


class TalkExportQuery(StrictSchema):
    """Which conversations, and whether with operators' notes."""

    format = fields.String(load_default="jsonl", validate=validate.OneOf(("jsonl",)))
    since = Moment(metadata={"description": "Those that began at this moment or later."})
    until = Moment(metadata={"description": "Those that began before this moment."})
    notes = fields.Boolean(
        load_default=True, metadata={"description": "false: only what visitors may read themselves."}
    )


class ThreadExportQuery(StrictSchema):
    """How one conversation is written."""

    format = fields.String(load_default="html", validate=validate.OneOf(("html", "jsonl")))
    notes = fields.Boolean(load_default=True, metadata={"description": "false: only what the visitor may read."})


class TalkLineOut(StrictSchema):
    """One line of an export: a conversation as `GET conversations` tells it, or a part with its author's name."""

    record = fields.String(metadata={"enum": ["conversation", "part"]})
    id = fields.String()
    author_name = fields.String(allow_none=True, metadata={"description": "Of a part: the operator's."})
