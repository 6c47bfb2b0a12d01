"""How a rule is written: its shape for the documentation and for answers; `domain.rule.parse_rule` reads and judges."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.message import CHANNELS, DISPLAYS
from backend.domain.profile import STAGES
from backend.schemas.condition import CONDITION
from backend.schemas.fields import Moment, StrictSchema, Whole
from backend.schemas.product_trigger import PRODUCT_TRIGGER
from backend.schemas.rule_content import CONTENT

_DURATION = {"type": "string", "pattern": "^[0-9]+[smhd]$", "example": "30m"}
_EVENT = {"type": "string", "minLength": 1, "maxLength": 255, "example": "Order Completed"}
_WHERE = {**CONDITION, "description": "A condition, as in audience."}


def _object(description: str, required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": "object", "description": description, "properties": properties}
    return shape | ({"required": list(required)} if required else {})


_STEPS = (
    "A journey, in the place of `message`: a list of steps, of which each is one of "
    '`{"delay": "1h"}` or `{"delay": {"days": 1, "at": "09:00", "weekdays": ["mon"]}}` (days of the visitor\'s), '
    '`{"wait": {"events": [{"event"}], "until": condition, "timeout": "3d"}, "then": [...], "else": [...]}`, '
    '`{"branch": {"if": condition, "then": [...], "else": [...]}}`, '
    '`{"split": [{"weight": 1, "steps": [...]}, ...]}`, `{"message": {...}}`, `{"set_trait": {"name": "Liquid"}}`, '
    '`{"emit": {"event", "properties"}}`, `{"stop": true}`, and '
    '`{"webhook": {"url": "https://…", "method": "POST" or "PUT", "headers": {...}, "body": {...}}}`: its texts are '
    "Liquid (in the url only path and query, where values are percent-encoded); without `body` it sends rule, step, "
    "enrolment_id, visitor, event and at. It is signed, sent by a worker and retried (see webhooks); the journey goes "
    "on at once. It is no message: unsubscribing, caps, quiet hours and holdouts do not stop it, pausing the rule and "
    "erasing the visitor do, and so does a missing `policy.consent.mail`, unless the rule is transactional."
)


class RuleIn(StrictSchema):
    """A rule as it is written down; only name, trigger, and message or steps are needed."""

    name = fields.String(required=True, metadata={"maxLength": 200})
    key = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "maxLength": 100,
            "description": "By it rules as code find the rule everywhere; unique in a site, such as cart-left.",
        },
    )
    priority = fields.Integer(load_default=0, metadata={"description": "The higher goes first."})
    category = fields.String(load_default="promotional", metadata={"enum": ["promotional", "transactional"]})
    trigger = fields.Raw(
        required=True,
        metadata=_object(
            "What starts it, one of: event (with where); stage (entered); segment (entered or left); trait (with to, "
            "from); session (started or returned); inactive; date (a trait, with days, at and every); "
            "replenishment (a product runs out by the habit of whoever buys it, with before and at; templates see it "
            "as product, and without reentry it comes once for each purchase); message (of the rule with that id; "
            "not_shown with within); product (what became of one, for those with an interest in it); broadcast; api "
            "(POST rules/{id}/trigger).",
            replenishment={
                "type": "object",
                "properties": {
                    "product": {"description": "The id of a product, or a list of them; left out: any."},
                    "before": {**_DURATION, "default": "3d"},
                    "at": {"type": "string", "default": "09:00", "description": "Local time of the day."},
                },
                "example": {"product": "COFFEE-1KG", "before": "3d", "at": "10:00"},
            },
            event=_EVENT,
            where=_WHERE,
            stage={"type": "string", "description": f"One of the site's stages; built in: {', '.join(STAGES)}."},
            segment={"type": "string", "description": "The id or the name of a segment."},
            change={"type": "string", "enum": ["entered", "left"], "default": "entered"},
            trait={"type": "string", "description": "Its value changed.", "example": "plan"},
            to={"description": "The value that it got; left out: any."},
            session={"type": "string", "enum": ["started", "returned"]},
            inactive={**_DURATION, "description": "Nothing was heard of them for so long."},
            date={"type": "string", "description": "A trait that holds a date.", "example": "birthday"},
            days={"type": "integer", "description": "So many days after it, before where negative.", "default": 0},
            at={"type": "string", "description": "The time of day there.", "default": "09:00"},
            every={"type": "string", "enum": ["year"]},
            message={
                "type": "string",
                "enum": ["sent", "shown", "clicked", "replied", "dismissed", "answered", "not_shown"],
            },
            rule={"type": "string", "description": "The id of the rule whose message it is."},
            within={
                **_DURATION,
                "description": "Of not_shown: so long after it was sent. Of product: so long ago at most the visitor "
                "showed an interest in it (30d).",
            },
            **PRODUCT_TRIGGER,
            broadcast=_object(
                "To everybody, or to a segment: at a moment, or at once; again after `every`, which of whole "
                "days is counted by the calendar in the site's time zone, so that 7d stays the same hour of the week.",
                segment={"type": "string"},
                at={"type": "string", "format": "date-time"},
                every=_DURATION,
                rate={"type": "integer", "description": "Messages a minute.", "default": 1000},
                most={"type": "integer", "description": "Messages in all, of one round."},
            ),
            api={"type": "boolean"},
        ),
    )
    audience = fields.Raw(allow_none=True, load_default=None, metadata={**CONDITION, "nullable": True})
    delay = fields.String(load_default="0s", metadata=_DURATION)
    cancel = fields.List(
        fields.Raw(
            metadata=_object(
                "An event that ends an enrolment.",
                ("event",),
                event=_EVENT,
                where=_WHERE,
                same={"type": "string", "example": "properties.cart_id"},
            )
        ),
    )
    reentry = fields.Raw(
        metadata=_object(
            "How often one visitor may enter; at_most and per belong to every, key to per_key.",
            policy={"type": "string", "enum": ["once", "every", "per_key"], "default": "once"},
            at_most={"type": "integer", "minimum": 1},
            per=_DURATION,
            key={"type": "string", "example": "properties.cart_id"},
        )
    )
    exit = fields.Raw(
        metadata=_object(
            "What ends an enrolment at once, in the middle of whatever it waits for.",
            goal={"type": "boolean"},
            not_matching={"type": "boolean"},
        )
    )
    steps = fields.List(
        fields.Raw(metadata={"type": "object"}),
        metadata={
            "description": _STEPS,
            "example": [{"delay": "1h"}, {"webhook": {"url": "https://shop.example/hooks/chimein"}}],
        },
    )
    caps = fields.List(
        fields.Raw(metadata={"type": "object"}),
        metadata={
            "description": "How much this rule may say to one person; written as in a site's policy, whose caps count "
            "the messages of all rules."
        },
    )
    overflow = fields.String(metadata={"enum": ["drop", "defer"], "description": "What a cap does to a message."})
    ignore_caps = fields.Boolean(metadata={"description": "Caps of the site do not hold this rule back."})
    quiet_hours = fields.Raw(metadata={"description": "As in a site's policy, in the place of those; false: none."})
    send_windows = fields.Raw(
        metadata={
            "description": "When messages of this rule may go out, in the visitor's own time zone, else the site's.",
            "example": [{"from": "09:00", "to": "18:00", "weekdays": ["mon", "tue"]}],
        }
    )
    message = fields.Raw(
        metadata=_object(
            "What is said, by the first of the channels that can reach the visitor.",
            ("channels", "variants"),
            channels={"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(CHANNELS)}},
            variants={
                "type": "array",
                "minItems": 1,
                "items": _object(
                    "One wording.",
                    ("content",),
                    name={"type": "string"},
                    weight={"type": "number", "minimum": 0, "default": 1},
                    content=CONTENT,
                ),
            },
            holdout={"type": "number", "minimum": 0, "maximum": 100, "default": 0},
            fallback_after=_DURATION,
            expires_after={**_DURATION, "default": "7d"},
            winner=_object(
                "When the variants are compared: one that beats all others beyond chance then gets everybody who is "
                "new. Looked at after the time (or number of people) that is named, and after twice, four and eight "
                "times that; the risk of error is shared out between the looks. New wordings begin a new contest.",
                ("after",),
                after={
                    "oneOf": [
                        _DURATION,
                        {"type": "object", "properties": {"persons": {"type": "integer", "minimum": 100}}},
                    ],
                    "example": "7d",
                },
                by={"type": "string", "enum": ["goal", "clicked"], "default": "goal"},
                confidence={"type": "number", "minimum": 80, "maximum": 99.9, "default": 95},
            ),
            requires_operator={
                "type": "boolean",
                "description": "Said only while somebody is there to answer: online, within working hours; else it is "
                "skipped (no_operator). Asked again before it is shown. Simulations know the working hours alone.",
            },
            display={
                "type": "string",
                "enum": list(DISPLAYS),
                "description": "How a pop-up comes into sight: a small bubble that opens into the window, the window, "
                "or the window at once where it answers a click. Left out: as the site's attention.teaser_first says.",
            },
        ),
    )
    goal = fields.Raw(
        allow_none=True,
        load_default=None,
        metadata={
            **_object(
                "What counts as success, within so long after the message was sent, shown or clicked.",
                ("event",),
                event=_EVENT,
                within={**_DURATION, "default": "7d"},
                **{"from": {"type": "string", "enum": ["sent", "shown", "clicked"], "default": "sent"}},
                value={"type": "string", "example": "properties.revenue"},
            ),
            "nullable": True,
        },
    )


class WarningOut(StrictSchema):
    """Something that is no mistake, and hardly meant."""

    path = fields.String(metadata={"example": "trigger.event"})
    message = fields.String(
        metadata={
            "example": 'No event named "Order Complete" was seen among the latest 200 visitors of this site. '
            'Did you mean "Order Completed"?'
        }
    )


class InsideOut(StrictSchema):
    """What became of those who were in the rule when it was edited."""

    kept = fields.Integer(metadata={"description": "They go on by the version that they are in."})
    moved = fields.Integer(metadata={"description": "They go on with the new version."})
    ended = fields.Integer(metadata={"description": "Nothing follows their place there: they ended as rule_changed."})
    moving = fields.Integer(
        metadata={
            "description": "Too many for one answer: they move in the next seconds, and in any case before anything "
            "else happens to them."
        }
    )


class RuleOut(RuleIn):
    """A rule and where it stands."""

    id = fields.String()
    version = fields.Integer(metadata={"description": "Grows by one with every edit."})
    status = fields.String(metadata={"enum": ["draft", "active", "paused", "archived"]})
    created_at = Moment()
    updated_at = Moment()


class SavedRuleOut(RuleOut):
    """A rule that was saved or switched on, and what to know of it."""

    warnings = fields.List(fields.Nested(WarningOut), metadata={"description": "Left out where a new rule has none."})
    enrolments = fields.Nested(InsideOut, metadata={"description": "After an edit."})


class VersionOut(StrictSchema):
    """What a rule said in one version."""

    version = fields.Integer()
    enrolled = fields.String(
        metadata={"enum": ["keep", "move"], "description": "What became of those who were in it when it was written."}
    )
    author = fields.String(allow_none=True, metadata={"description": "The name of the token by which it was written."})
    created_at = Moment()
    rule = fields.Raw(metadata={"type": "object", "description": "The rule as it was written, ready to be sent back."})


class RestoreIn(StrictSchema):
    """How to put a version back."""

    enrolled = fields.String(
        load_default="keep",
        validate=validate.OneOf(["keep", "move"]),
        metadata={"description": "What becomes of those who are in the rule, as in an edit."},
    )
    version = Whole(
        metadata={"description": "The version that the rule has now; where it has another, nothing is done."}
    )


class CheckOut(StrictSchema):
    """A rule that could be saved."""

    valid = fields.Boolean(metadata={"description": "Always true: mistakes are answered with 422."})
    warnings = fields.List(fields.Nested(WarningOut))
    rule = fields.Raw(metadata={"type": "object", "description": "The rule with its defaults filled in."})
