"""`/api/v1/sites/{site}/visitors/{id}/identifiers`: addresses of a visitor, and the proof that they are theirs."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from backend.domain.identifier import NOTED, Reading, normalised
from backend.domain.site import Site
from backend.errors import Conflict, Invalid
from backend.pipeline.confirm import ask
from backend.pipeline.signals import send_signals
from backend.schemas.identifier import ConfirmIn, ConfirmOut, IdentifierAccepted, IdentifierIn
from backend.web.api.blueprint import Blueprint
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("identifiers", __name__, "Addresses of visitors, and the proof that they are theirs.")


@blueprint.route("/sites/<site>/visitors/<visitor_id>/identifiers", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(IdentifierIn)
@blueprint.response(202, IdentifierAccepted)
@blueprint.alt_response(409, "CONFLICT")
def add_an_identifier(body: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Add an identifier

    An address that you know from elsewhere. It takes effect in its turn, like an event. Two visitors with one address
    stay two: merge them yourself where they are one person.
    """
    profile = visitor_of(site, visitor_id)
    if Reading.of(site.policy).names_nobody(body["value"]):
        raise Invalid("This names nobody.", {"value": ["Is a placeholder, not somebody's address."]})
    if body["verified"] and normalised(body["kind"], body["value"], site.policy.phone_region) is None:
        raise Invalid("This cannot be verified.", {"value": [f"Is no valid {body['kind']}, so it cannot be verified."]})
    told = {name: body[name] for name in ("kind", "value", "source", "verified")}
    accepted = send_signals(runtime(), site.id, NOTED, None, [(profile, uuid4().hex, told)])
    if not accepted:
        raise Conflict("This visitor has no id by which they could be named.")
    return {"accepted": accepted}


@blueprint.route("/sites/<site>/visitors/<visitor_id>/identifiers/confirm", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(ConfirmIn, example={"value": "ada@example.com"})
@blueprint.response(202, ConfirmOut)
@blueprint.alt_response(409, "CONFLICT")
def ask_for_confirmation(body: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Ask for confirmation

    Double opt-in: a mail with a link, good for two days, goes to an address that the visitor is known by. Whoever
    presses the button behind it proves that they read its mails: the identifier is then `verified`, from
    `double_opt_in`. Opening the link proves nothing, for mail scanners do. At most one such mail an hour is sent.
    """
    profile = visitor_of(site, visitor_id)
    message = ask(runtime(), site, profile, body["value"], body)
    return {"message_id": message.id, "status": message.status}
