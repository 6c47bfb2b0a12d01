"""How a webhook is written in the API."""

from typing import Any

from marshmallow import fields, validate

from backend.domain.webhook import METHODS, STATUSES, Webhook
from backend.schemas.fields import Moment, StrictSchema
from backend.schemas.page import PageQuery


class WebhookOut(StrictSchema):
    """One promised webhook, and what came of it; its headers are not shown, for they may hold secrets."""

    id = fields.String(
        metadata={"description": "Also what the receiver gets as webhook-id and Idempotency-Key, at every try."}
    )
    visitor_id = fields.String()
    rule_id = fields.String(allow_none=True)
    enrolment_id = fields.String(allow_none=True)
    hook_id = fields.String(
        allow_none=True, metadata={"description": "The hook that promised it, where that was no rule."}
    )
    step = fields.String(
        metadata={"description": "The step of the rule; of a hook, what happened.", "example": "webhook 1"}
    )
    method = fields.String(metadata={"enum": list(METHODS)})
    url = fields.String(metadata={"example": "https://shop.example/hooks/chimein"})
    body = fields.Dict(keys=fields.String(), metadata={"description": "What is sent; to Slack, its short form."})
    status = fields.String(
        metadata={
            "enum": list(STATUSES),
            "description": "queued: waits for its next try; failed: refused for good, or given up after a day; "
            "skipped: its rule or hook was paused before it went out.",
        }
    )
    answered = fields.Integer(allow_none=True, metadata={"description": "The status of the last answer, if any came."})
    reason = fields.String(
        allow_none=True, metadata={"description": "What went wrong last: at most 500 characters of the answer."}
    )
    attempts = fields.Integer(metadata={"description": "How often it was tried, since it was last begun anew."})
    created_at = Moment()
    next_try_at = Moment(allow_none=True, metadata={"description": "When it is tried next; null: not any more."})
    ended_at = Moment(allow_none=True)


class WebhookQuery(PageQuery):
    """Which webhooks to list."""

    rule = fields.String(metadata={"description": "The id of a rule."})
    hook = fields.String(metadata={"description": "The id of a hook."})
    visitor = fields.String(metadata={"description": "The id of a visitor."})
    status = fields.String(validate=validate.OneOf(STATUSES))


_OF_RULES = ("rule_id", "enrolment_id")
_PLAIN = tuple(name for name in WebhookOut().fields if name not in {"body", "next_try_at", *_OF_RULES})


def webhook_view(webhook: Webhook) -> dict[str, Any]:
    """The webhook as `WebhookOut` dumps it."""
    next_try_at = webhook.due_at if webhook.status == "queued" else None
    told = {name: getattr(webhook, name) for name in _PLAIN}
    of_rule = {name: getattr(webhook, name) or None for name in _OF_RULES}
    return {**told, **of_rule, "body": dict(webhook.body), "next_try_at": next_try_at}
