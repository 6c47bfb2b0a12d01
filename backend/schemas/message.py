"""How a message is written in the API."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.message import STATUSES, Message
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.page import PageQuery


class MessageOut(StrictSchema):
    """One message to one visitor, and how far it came."""

    id = fields.String()
    visitor_id = fields.String()
    rule_id = fields.String()
    enrolment_id = fields.String()
    channel = fields.String(metadata={"example": "popup"})
    variant = fields.String(metadata={"example": "A"})
    status = fields.String(metadata={"enum": list(STATUSES)})
    reason = fields.String(allow_none=True)
    content = fields.Dict(keys=fields.String(), metadata={"description": "What was said: title, body, subject, …"})
    anonymous_id = fields.String(allow_none=True, metadata={"description": "The browser whose event led to it."})
    address = fields.String(allow_none=True, metadata={"description": "Where an e-mail goes."})
    attempts = fields.Integer()
    created_at = Moment()
    expires_at = Moment()
    due_at = Moment(metadata={"description": "When it is tried next."})
    sent_at = Moment(allow_none=True)
    shown_at = Moment(allow_none=True)
    clicked_at = Moment(allow_none=True)
    dismissed_at = Moment(allow_none=True)
    replied_at = Moment(allow_none=True)
    reply = fields.String(allow_none=True)


class MessageQuery(PageQuery):
    """Which messages to list."""

    rule = fields.String(metadata={"description": "The id of a rule."})
    visitor = fields.String(metadata={"description": "The id of a visitor."})
    channel = fields.String(metadata={"example": "email"})
    status = fields.String(validate=validate.OneOf(STATUSES))


_PLAIN = tuple(name for name in MessageOut().fields if name != "content")


def message_view(message: Message) -> dict[str, Any]:
    """The message as `MessageOut` dumps it."""
    return {name: getattr(message, name) for name in _PLAIN} | {"content": dict(message.content)}
