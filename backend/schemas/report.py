"""How a report is asked for and written."""

from marshmallow import fields

from backend.schemas.fields import StrictSchema


class ReportQuery(StrictSchema):
    """Which days."""

    since = fields.Date(metadata={"description": "The first day, of the site's calendar.", "example": "2026-03-01"})
    until = fields.Date(metadata={"description": "The last day.", "example": "2026-03-31"})


class EnrolmentsOut(StrictSchema):
    """How many entered the rule, and how that ended."""

    entered = fields.Integer()
    outcomes = fields.Dict(keys=fields.String(), values=fields.Integer())
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())


class CountsOut(StrictSchema):
    """What was counted. A message counts on the day of its decision."""

    sent = fields.Integer()
    shown = fields.Integer()
    clicked = fields.Integer()
    replied = fields.Integer()
    dismissed = fields.Integer()
    unsubscribed = fields.Integer()
    converted = fields.Integer(metadata={"description": "Messages after which the goal was reached."})
    revenue = fields.String(metadata={"description": "A decimal, in the site's currency.", "example": "129.90"})


class NumbersOut(CountsOut):
    """What was counted of one rule."""

    persons = fields.Integer(metadata={"description": "People, each counted once for a rule."})


class VariantOut(NumbersOut):
    """One wording; `share` is that of its people who reached the goal after the decision, seen or not."""

    variant = fields.String()
    goal_persons = fields.Integer()
    share = fields.Float()
    interval = fields.List(fields.Float(), metadata={"description": "Wilson's 95 % interval of the share."})


class StepOut(NumbersOut):
    """One step of a journey."""

    step = fields.String()


class ChannelOut(NumbersOut):
    """One channel."""

    channel = fields.String()


class DayOut(NumbersOut):
    """One day."""

    day = fields.Date()


class ArmOut(StrictSchema):
    """People, and how many of them reached the goal."""

    persons = fields.Integer()
    reached = fields.Integer()


class LiftOut(StrictSchema):
    """Those who were to get the message against those held out, as they were dealt out (by intention to treat)."""

    control = fields.String(metadata={"enum": ["holdout", "global_holdout"]})
    treated_arm = fields.Nested(ArmOut)
    control_arm = fields.Nested(ArmOut)
    difference = fields.Float(allow_none=True, metadata={"description": "Of the shares; 0.02 is two points."})
    difference_interval = fields.List(
        fields.Float(), allow_none=True, metadata={"description": "Newcombe's hybrid score interval, 95 %."}
    )
    relative = fields.Float(allow_none=True, metadata={"description": "The ratio of the shares, less one."})
    relative_interval = fields.List(
        fields.Float(), allow_none=True, metadata={"description": "By the log method of Katz, 95 %."}
    )
    certain = fields.Boolean(metadata={"description": "Whether the interval of the difference leaves out 0."})
    sentence = fields.String(metadata={"description": "What may be concluded."})


class RuleReportOut(StrictSchema):
    """What a rule changed."""

    rule_id = fields.String()
    currency = fields.String()
    enrolments = fields.Nested(EnrolmentsOut)
    totals = fields.Nested(NumbersOut)
    variants = fields.List(fields.Nested(VariantOut))
    steps = fields.List(fields.Nested(StepOut))
    channels = fields.List(fields.Nested(ChannelOut))
    days = fields.List(fields.Nested(DayOut))
    lift = fields.List(fields.Nested(LiftOut))
    winner = fields.String(
        allow_none=True, metadata={"description": "The variant that beats all others beyond chance."}
    )


class RuleTotalsOut(StrictSchema):
    """One rule of the site."""

    rule_id = fields.String()
    name = fields.String(allow_none=True, metadata={"description": "null: the rule was deleted."})
    enrolments = fields.Nested(EnrolmentsOut)
    totals = fields.Nested(NumbersOut)
    lift = fields.List(fields.Nested(LiftOut))


class SiteReportOut(StrictSchema):
    """What all rules of a site changed."""

    currency = fields.String()
    totals = fields.Nested(CountsOut)
    rules = fields.List(fields.Nested(RuleTotalsOut))
