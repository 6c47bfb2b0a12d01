"""How a stored event is written in the API."""

from typing import Any

from marshmallow import fields

from backend.domain.event import Event
from backend.schemas.fields import Moment, StrictSchema


class EventOut(StrictSchema):
    """One event as it was accepted; `event` is the name that rules listen to."""

    id = fields.String(metadata={"description": "The messageId that it came with."})
    type = fields.String(metadata={"example": "track"})
    event = fields.String(metadata={"example": "Product Added"})
    timestamp = Moment()
    received_at = Moment()
    anonymous_id = fields.String(allow_none=True)
    user_id = fields.String(allow_none=True)
    previous_id = fields.String(allow_none=True)
    group_id = fields.String(allow_none=True)
    properties = fields.Dict(keys=fields.String())
    traits = fields.Dict(keys=fields.String())
    context = fields.Dict(keys=fields.String())


_PLAIN = ("type", "timestamp", "received_at", "anonymous_id", "user_id", "previous_id", "group_id")


def event_view(event: Event) -> dict[str, Any]:
    """The event as `EventOut` dumps it."""
    plain = {name: getattr(event, name) for name in _PLAIN}
    bags = {name: dict(getattr(event, name)) for name in ("properties", "traits", "context")}
    return {"id": event.message_id, "event": event.name, **plain, **bags}
