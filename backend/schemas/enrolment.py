"""How an enrolment is written in the API."""

from typing import Any

from marshmallow import fields

from backend.domain.enrolment import DEFERRED, Enrolment
from backend.domain.standing import Standing
from backend.schemas.fields import Moment, StrictSchema


class NoteOut(StrictSchema):
    """What happened at one step."""

    at = Moment()
    step = fields.String()
    result = fields.String(
        metadata={
            "description": "sent, skipped, deferred, came, timeout, reported, promised, moved, ended, or the arm."
        }
    )
    reason = fields.String(allow_none=True)
    detail = fields.String(allow_none=True)


class EnrolmentOut(StrictSchema):
    """One visitor's way through one rule; `outcome` is null while it waits, `deferred` while a message must wait."""

    id = fields.String()
    visitor_id = fields.String()
    rule_id = fields.String()
    rule_version = fields.Integer()
    key = fields.String(metadata={"description": "The value it was entered with, where re-entry is per key."})
    event_id = fields.String(metadata={"description": "The messageId of the trigger."})
    entered_at = Moment()
    due_at = Moment(metadata={"description": "The moment of firing, or of going on."})
    outcome = fields.String(allow_none=True, metadata={"example": "sent"})
    reason = fields.String(allow_none=True, metadata={"example": "not_matching"})
    at = Moment(allow_none=True, metadata={"description": "The moment at which it ended."})
    variant = fields.String(allow_none=True)
    channel = fields.String(allow_none=True)
    message_id = fields.String(allow_none=True)
    step = fields.String(
        allow_none=True, metadata={"description": "While it waits: the step at which it stands.", "example": "delay"}
    )
    place = fields.String(
        allow_none=True, metadata={"description": "Where its version of the rule has that step.", "example": "steps.1"}
    )
    waits_for = fields.String(
        allow_none=True, metadata={"example": "Order Completed, or the time-out.", "description": "Until `due_at`."}
    )
    history = fields.List(
        fields.Nested(NoteOut), metadata={"description": "What happened at each step, and what made it wait."}
    )


_STANDING = ("step", "place", "waits_for")
_PLAIN = tuple(name for name in EnrolmentOut().fields if name not in {"event_id", "history", *_STANDING})


def enrolment_view(enrolment: Enrolment, standing: Standing | None = None) -> dict[str, Any]:
    """The enrolment as `EnrolmentOut` dumps it."""
    view = {name: getattr(enrolment, name) for name in _PLAIN}
    view |= {name: getattr(standing, name, None) for name in _STANDING}
    if enrolment.waiting and enrolment.deferred is not None:
        view |= {"outcome": DEFERRED, "reason": enrolment.deferred}
    return view | {"event_id": enrolment.trigger.message_id, "history": enrolment.notes}
