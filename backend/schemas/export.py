"""How everything that is kept of one visitor is written."""

from marshmallow import fields

from backend.schemas.enrolment import EnrolmentOut
from backend.schemas.fields import StrictSchema
from backend.schemas.message import MessageOut
from backend.schemas.stored_event import EventOut
from backend.schemas.visitor import VisitorOut
from backend.schemas.webhook import WebhookOut


class ExportOut(StrictSchema):
    """One visitor with all their events, messages, webhooks and enrolments, newest first."""

    visitor = fields.Nested(VisitorOut)
    events = fields.List(fields.Nested(EventOut))
    messages = fields.List(fields.Nested(MessageOut))
    webhooks = fields.List(fields.Nested(WebhookOut))
    enrolments = fields.List(fields.Nested(EnrolmentOut))
