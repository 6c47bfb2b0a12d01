"""How a report is asked for and written."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema
from webargs.fields import DelimitedList

from backend.schemas.fields import Moment, Money, StrictSchema

DIMENSIONS = ("day", "step", "variant", "channel")


class ReportQuery(StrictSchema):
    """Which days."""

    since = fields.Date(metadata={"description": "The first day, of the site's calendar.", "example": "2026-03-01"})
    until = fields.Date(metadata={"description": "The last day.", "example": "2026-03-31"})

    @validates_schema
    def _in_order(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        since, until = data.get("since"), data.get("until")
        if since is not None and until is not None and until < since:
            raise ValidationError("Must not lie before since.", "until")


class RuleReportQuery(ReportQuery):
    """Which days, and by what to tell the numbers apart."""

    by = DelimitedList(
        fields.String(validate=validate.OneOf(DIMENSIONS)),
        metadata={
            "description": "Dimensions of `rows`, separated by commas: day, step, variant, channel.",
            "example": "day,variant",
        },
    )


class EnrolmentsOut(StrictSchema):
    """How many entered the rule, and how that ended."""

    entered = fields.Integer()
    outcomes = fields.Dict(keys=fields.String(), values=fields.Integer())
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())


class CountsOut(StrictSchema):
    """What was counted. A message counts on the day of its decision, by the channel by which it goes."""

    sent = fields.Integer(
        metadata={
            "description": "Messages that were decided on. Each is, or will be, one of delivered, failed, withheld, "
            "expired and uncertain; until then it is waiting."
        }
    )
    delivered = fields.Integer(metadata={"description": "Handed over to the channel; on the site: shown."})
    failed = fields.Integer(metadata={"description": "Refused for good, or given up after many attempts."})
    withheld = fields.Integer(
        metadata={"description": "Not sent after all: since the decision the audience has ceased to match, and so on."}
    )
    expired = fields.Integer(metadata={"description": "Nobody fetched it in time."})
    uncertain = fields.Integer(metadata={"description": "Handed over, but the answer was lost; not sent again."})
    waiting = fields.Integer(metadata={"description": "Decided on, and not ended in any of these ways yet."})
    shown = fields.Integer()
    clicked = fields.Integer()
    replied = fields.Integer()
    dismissed = fields.Integer()
    unsubscribed = fields.Integer(
        metadata={"description": "Put down to the latest mail before, or to the latest message where there was none."}
    )
    converted = fields.Integer(
        metadata={
            "description": "Messages after which the goal was reached, within its window from sent, shown or "
            "clicked, as the rule says; each goal is put down to the latest of them."
        }
    )
    revenue = Money(metadata={"description": "A decimal, in the site's currency.", "example": "129.90"})


class NumbersOut(CountsOut):
    """What was counted of one rule."""

    persons = fields.Integer(
        metadata={"description": "People, each counted once for a step, at the first message; also after a merge."}
    )


class VariantOut(NumbersOut):
    """One wording; `share` is that of its people who reached the goal after the decision, seen or not."""

    variant = fields.String()
    goal_persons = fields.Integer()
    share = fields.Float()
    interval = fields.List(fields.Float(), metadata={"description": "Wilson's 95 % interval of the share."})


class StepOut(NumbersOut):
    """One step of a journey; "" is the message of a rule that has no steps."""

    step = fields.String()
    entered = fields.Integer(metadata={"description": "Those who came to it: sent, held_out and skipped together."})
    held_out = fields.Integer()
    skipped = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "By reason; for journeys."}
    )


class ChannelOut(NumbersOut):
    """One channel."""

    channel = fields.String()


class DayOut(NumbersOut):
    """One day."""

    day = fields.Date()
    entered = fields.Integer(metadata={"description": "Enrolments."})


class RowOut(NumbersOut):
    """One combination of the dimensions that were asked for; those held out stand among the variants."""

    day = fields.Date()
    step = fields.String()
    variant = fields.String()
    channel = fields.String()
    held_out = fields.Integer()
    entered = fields.Integer(metadata={"description": "Enrolments; only by day."})


class ArmOut(StrictSchema):
    """People (or sessions), and how many of them reached the goal (or what else is compared)."""

    persons = fields.Integer()
    reached = fields.Integer()


class DifferenceOut(StrictSchema):
    """Those who were told against those held out, with the 95 % interval in which the truth may lie."""

    difference = fields.Float(allow_none=True, metadata={"description": "Of shares (0.02 is two points), or of means."})
    difference_interval = fields.List(
        fields.Float(),
        allow_none=True,
        metadata={"description": "Of shares: Newcombe's hybrid score interval. Of means: Welch's t interval."},
    )
    relative = fields.Float(allow_none=True, metadata={"description": "The ratio, less one."})
    relative_interval = fields.List(
        fields.Float(), allow_none=True, metadata={"description": "Of shares: by the log method of Katz."}
    )
    certain = fields.Boolean(metadata={"description": "Whether the interval of the difference leaves out 0."})
    sentence = fields.String(metadata={"description": "What may be concluded."})


class SharesOut(DifferenceOut):
    """Two shares compared."""

    treated_arm = fields.Nested(ArmOut)
    control_arm = fields.Nested(ArmOut)


class MeansOut(DifferenceOut):
    """Two means compared. Where most have 0, as with revenue, the interval is right only for many people."""

    treated_mean = fields.Float()
    control_mean = fields.Float()


class GuardRailsOut(StrictSchema):
    """What a message must not harm, measured alike for those who were told and those held out."""

    unsubscribes = fields.Nested(
        SharesOut, metadata={"description": "People who unsubscribed within 7 days of the moment."}
    )
    sessions_ended = fields.Nested(
        SharesOut,
        metadata={
            "description": "Sessions that were going on at the moment and in which nothing came after it (within 30 "
            "minutes of the last event) but reports on messages."
        },
    )
    session_length = fields.Nested(
        MeansOut,
        metadata={"description": "Seconds from the moment to the last event of the session that was going on."},
    )


class LiftOut(SharesOut):
    """Those who were to be told against those held out, as they were dealt out (by intention to treat).

    A person counts once for each step: from the first moment on at which they were told, or would have been.
    """

    step = fields.String()
    control = fields.String(metadata={"enum": ["holdout", "global_holdout"]})
    revenue = fields.Nested(MeansOut, metadata={"description": "For each person, by the first goal that they reached."})
    guard_rails = fields.Nested(GuardRailsOut)


class ContestVariantOut(ArmOut):
    """A variant in a contest."""

    variant = fields.String()
    share = fields.Float()
    interval = fields.List(fields.Float())


class WinnerOut(StrictSchema):
    """A contest between the variants of a step, for a rule that asks for a winner."""

    step = fields.String()
    status = fields.String(
        metadata={
            "enum": ["running", "decided", "undecided"],
            "description": "undecided: no variant beat all others at any look, or they were edited before.",
        }
    )
    current = fields.Boolean(metadata={"description": "false: of wordings that the rule no longer has."})
    began_at = Moment()
    looks = fields.Integer(metadata={"description": "How often it was looked at, of at most 4 times."})
    looked_at = Moment(allow_none=True)
    next_look_at = Moment()
    next_look_persons = fields.Integer(metadata={"description": "So many people are waited for."})
    persons = fields.Integer(metadata={"description": "People in the contest so far."})
    variant = fields.String(allow_none=True, metadata={"description": "The one that has won."})
    since = Moment(allow_none=True, metadata={"description": "From then on whoever is new gets it."})
    by = fields.String(allow_none=True)
    confidence = fields.Float(
        allow_none=True, metadata={"description": "What one comparison had to reach, so that all looks are as asked."}
    )
    sentence = fields.String(allow_none=True)
    variants = fields.List(fields.Nested(ContestVariantOut), allow_none=True)


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
    rows = fields.List(fields.Nested(RowOut), metadata={"description": "Only with `by`."})
    leading = fields.String(
        allow_none=True,
        metadata={
            "description": "The variant that beats all others now, at 95 % each. Whoever looks often finds one among "
            "equals: for a decision let the rule choose (`message.winner`)."
        },
    )
    winners = fields.List(fields.Nested(WinnerOut))


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
