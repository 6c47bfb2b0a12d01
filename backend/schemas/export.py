"""How everything that is kept of one visitor is written."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields

from backend.domain.profile import Profile
from backend.schemas.conversation import ConversationOut, PartOut
from backend.schemas.enrolment import EnrolmentOut
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.merge import MergeRecordOut
from backend.schemas.message import MessageOut
from backend.schemas.privacy import AccessOut, ChoiceOut
from backend.schemas.stored_event import EventOut
from backend.schemas.visitor import VisitorOut
from backend.schemas.webhook import WebhookOut


class StandingOut(StrictSchema):
    """How they stand with a segment: in it since `entered_at` (null: not in it), left last at `left_at`."""

    id = fields.String()
    name = fields.String()
    entered_at = Moment(allow_none=True)
    left_at = Moment(allow_none=True)


class ExportOut(StrictSchema):
    """One visitor with everything that is kept of them, lists newest first."""

    visitor = fields.Nested(VisitorOut)
    events = fields.List(fields.Nested(EventOut))
    messages = fields.List(fields.Nested(MessageOut))
    webhooks = fields.List(fields.Nested(WebhookOut))
    enrolments = fields.List(fields.Nested(EnrolmentOut))
    conversations = fields.List(fields.Nested(ConversationOut))
    parts = fields.List(fields.Nested(PartOut), metadata={"description": "What was said in these conversations."})
    merges = fields.List(fields.Nested(MergeRecordOut))
    consents = fields.List(fields.Nested(ChoiceOut))
    segments = fields.List(fields.Nested(StandingOut))
    access_log = fields.List(fields.Nested(AccessOut))


def standings_view(profile: Profile, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """How a visitor stands with the site's segments, as `StandingOut` dumps it."""
    return [
        {"id": key, "name": names[key], "entered_at": each.entered_at, "left_at": each.left_at}
        for key, each in profile.segments.items()
        if key in names
    ]
