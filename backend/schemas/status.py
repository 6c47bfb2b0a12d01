"""How the state of the installation is written in the API."""

from marshmallow import fields

from backend.schemas.fields import StrictSchema


class StatusOut(StrictSchema):
    """What waits to be done."""

    pending_events = fields.Integer(
        required=True, metadata={"description": "Accepted and not yet folded and decided on; 0: all is up to date."}
    )
    pending_jobs = fields.Integer(required=True, metadata={"description": "Messages that wait for a worker."})
    due_timers = fields.Integer(required=True, metadata={"description": "Enrolments whose moment has come."})
    waiting_timers = fields.Integer(metadata={"description": "Enrolments whose moment has not come."})
    dead_events = fields.Integer(metadata={"description": "Events that were set aside because they cannot be folded."})
    log_bytes = fields.Integer(metadata={"description": "What lies in the log."})
    partitions = fields.Integer(metadata={"description": "Into how many streams the log is split."})
