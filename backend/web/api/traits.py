"""`/api/v1/sites/{site}/visitors/{id}/traits`: a backend changes what is known of a visitor."""

from typing import Any
from uuid import uuid4

from backend.domain.identity import derive
from backend.domain.site import Site
from backend.domain.trait import CHANGED
from backend.pipeline.signals import send_signals
from backend.schemas.traits_change import EXAMPLE, TraitsIn, TraitsOut, as_told
from backend.web.api.blueprint import Blueprint
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("traits", __name__, "A backend changes what is known of a visitor.")


@blueprint.route("/sites/<site>/visitors/<visitor_id>/traits", methods=["PATCH"])
@blueprint.allow("rules")
@blueprint.arguments(TraitsIn, example=EXAMPLE)
@blueprint.response(202, TraitsOut)
def change_traits_of_a_visitor(body: dict[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Change a visitor's traits

    All of it or nothing, through the log: after the events that were accepted before, once, and visible as soon as it
    is processed. It is no visit: `last_seen` and the counts stay. Rules that wait for a trait start as if it had been
    told by `identify`.

    Pages and backends do the same with `$set`, `$set_once`, `$add`, `$subtract`, `$append`, `$remove` and `$unset`
    among the `traits` of `identify`, or in any event's `context.traits`. Operations count by their time, whenever they
    arrive: a `set` from before an `add` becomes what that adds to.
    """
    profile = visitor_of(site, visitor_id)
    event_id = derive("traits", profile.id, body.get("idempotency_key") or uuid4().hex)
    send_signals(runtime(), site.id, CHANGED, None, [(profile, event_id, as_told(body))])
    return {"event_id": event_id}
