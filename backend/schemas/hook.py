"""How a hook, and a browser that operators are called in, are written in the API."""

from marshmallow import fields, validate

from backend.domain.hook import EVENTS, FORMATS
from backend.schemas.fields import Flag, Moment, StrictSchema

_EVENTS = fields.List(
    fields.String(validate=validate.OneOf(EVENTS)),
    validate=validate.Length(min=1),
    metadata={
        "description": "What it is told of. opened: a conversation began; part: a message was said, by whomever (notes "
        "are not told); assigned, closed, rated; waiting: its visitor begins to wait for an answer."
    },
)
_URL = {"description": "https, on a public host.", "example": "https://shop.example/hooks/chimein"}
_FORMAT = {"description": "slack: a line of text as Slack, Mattermost and their like take it.", "example": "chimein"}


class HookOut(StrictSchema):
    """An address that is told of conversations."""

    id = fields.String()
    url = fields.String(metadata=_URL)
    events = fields.List(fields.String(metadata={"enum": list(EVENTS)}))
    format = fields.String(metadata={"enum": list(FORMATS)})
    active = fields.Boolean()
    created_at = Moment()
    updated_at = Moment()


class HooksOut(StrictSchema):
    """A site's hooks, oldest first."""

    items = fields.List(fields.Nested(HookOut))
    next_cursor = fields.String(allow_none=True, metadata={"description": "Always null: a site has few."})


class HookPatch(StrictSchema):
    """What to change; what is left out stays."""

    url = fields.String(metadata=_URL)
    events = _EVENTS
    format = fields.String(validate=validate.OneOf(FORMATS), metadata=_FORMAT)
    active = Flag(metadata={"description": "false: it is told nothing, and what waits is skipped."})


class HookIn(StrictSchema):
    """A new hook."""

    url = fields.String(required=True, metadata=_URL)
    events = fields.List(
        fields.String(validate=validate.OneOf(EVENTS)),
        load_default=list(EVENTS),
        validate=validate.Length(min=1),
        metadata={"description": "Left out: all of them."},
    )
    format = fields.String(load_default="chimein", validate=validate.OneOf(FORMATS), metadata=_FORMAT)
    active = Flag(load_default=True)


class PushKeyOut(StrictSchema):
    """What a page passes to `pushManager.subscribe`."""

    key = fields.String(metadata={"description": "The applicationServerKey, in base64url."})


class PushKeysIn(StrictSchema):
    """The keys of a browser's subscription, in base64url."""

    p256dh = fields.String(required=True, validate=validate.Length(max=100))
    auth = fields.String(required=True, validate=validate.Length(max=30))


class PushIn(StrictSchema):
    """A browser's subscription, as `PushSubscription.toJSON()` makes it."""

    endpoint = fields.String(required=True, validate=validate.Length(max=1_000))
    expirationTime = fields.Raw(allow_none=True)  # noqa: N815  # as browsers write it
    keys = fields.Nested(PushKeysIn, required=True)
    operator = fields.String(metadata={"description": "Whose browser it is; left out by operators, whose own it is."})


class PushOut(StrictSchema):
    """A browser in which an operator is called."""

    id = fields.String()
    operator_id = fields.String()
    created_at = Moment()


class PushOff(StrictSchema):
    """The browser that is not to be called any more."""

    endpoint = fields.String(required=True, validate=validate.Length(max=1_000))
