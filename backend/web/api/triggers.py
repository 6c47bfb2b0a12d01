"""`/api/v1/sites/{site}/rules/{id}/trigger`: a backend starts a rule for one visitor."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from marshmallow import ValidationError, fields, validate, validates_schema

from backend.domain.identity import anonymous_visitor, derive, known_visitor
from backend.domain.profile import Profile
from backend.domain.rule.compile import TRIGGERED
from backend.domain.rule.trigger import ApiTrigger
from backend.domain.site import Site
from backend.errors import Conflict
from backend.pipeline.signals import send_signals
from backend.schemas.fields import Line, StrictSchema
from backend.storage import visitors
from backend.web.api.blueprint import Blueprint
from backend.web.api.rules import rule_of
from backend.web.context import runtime

blueprint = Blueprint("triggers", __name__, "A backend starts a rule for one visitor.")

WHO = ("visitor_id", "user_id", "anonymous_id")
MOST_DATA = 50


class TriggerIn(StrictSchema):
    """For whom, and with what."""

    visitor_id = Line()
    user_id = Line()
    anonymous_id = Line()
    data = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 128)),
        values=fields.Raw(),
        load_default=dict,
        validate=validate.Length(max=MOST_DATA),
        metadata={"description": "What conditions and templates see as `event.properties`."},
    )
    idempotency_key = Line(
        metadata={"description": "The same key starts the rule once for this visitor, however often it is sent."}
    )

    @validates_schema
    def _one(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        if sum(name in data for name in WHO) != 1:
            raise ValidationError({"_schema": ["Give one of visitor_id, user_id and anonymous_id."]})
        if "rule_id" in data.get("data", {}):
            raise ValidationError({"data": {"rule_id": ["Is filled in here."]}})


class TriggerOut(StrictSchema):
    """What was put into the log."""

    event_id = fields.String(metadata={"description": "The messageId of the trigger; an enrolment carries it."})


@blueprint.route("/sites/<site>/rules/<rule_id>/trigger", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(TriggerIn, example={"user_id": "customer-7", "data": {"coupon": "SPRING"}})
@blueprint.response(202, TriggerOut)
@blueprint.alt_response(409, "CONFLICT")
def trigger_a_rule(body: Mapping[str, Any], rule_id: str, *, site: Site) -> dict[str, str]:
    """Start a rule for a visitor

    The rule's trigger is `{"api": true}`, and it is active. Taken into the log like any event: audience, re-entry, caps
    and all other gates are asked in its turn, and `rules/{id}/explain` tells what came of it.
    """
    stored = rule_of(site, rule_id)
    if not isinstance(stored.rule().spec.trigger, ApiTrigger):
        raise Conflict('This rule does not start by the API: its trigger is not {"api": true}.')
    if stored.status != "active":
        raise Conflict(f"This rule is {stored.status}; activate it first.")
    profile = _visitor(site, body)
    key = body.get("idempotency_key") or uuid4().hex
    event_id = derive("trigger", rule_id, profile.id, key)
    send_signals(runtime(), site.id, TRIGGERED, rule_id, [(profile, event_id, body["data"])])
    return {"event_id": event_id}


def _visitor(site: Site, body: Mapping[str, Any]) -> Profile:
    """The visitor who is meant; somebody never seen can be named by a user id or an anonymous id."""
    if "visitor_id" in body:
        visitor_id = body["visitor_id"]
    elif "user_id" in body:
        visitor_id = known_visitor(site.id, body["user_id"])
    else:
        visitor_id = anonymous_visitor(site.id, body["anonymous_id"])
    with runtime().db.read() as connection:
        profile = visitors.load_profile(connection, visitor_id)
    if profile is not None and profile.site_id == site.id:
        return profile
    if "visitor_id" in body:
        raise ValidationError({"visitor_id": ["There is no visitor with this id."]})
    user_id, anonymous_id = body.get("user_id"), body.get("anonymous_id")
    return Profile(
        id=visitor_id,
        site_id=site.id,
        user_id=user_id,
        anonymous_ids=(anonymous_id,) if anonymous_id is not None else (),
    )
