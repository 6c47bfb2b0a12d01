"""`/api/v1/sites/{site}/push`: in which browsers operators are called while their console is closed."""

from collections.abc import Mapping
from typing import Any

from backend.channels.outbound import Allowed
from backend.channels.web_push import public_key, push_key, readable, refused
from backend.domain.notice import Subscription, subscription_id
from backend.domain.site import Site
from backend.errors import Forbidden, Invalid
from backend.schemas.hook import PushIn, PushKeyOut, PushOff, PushOut
from backend.storage import notices
from backend.web.api.blueprint import Blueprint
from backend.web.auth import principal
from backend.web.context import runtime

blueprint = Blueprint("pushes", __name__, "Browsers in which operators are called.")


@blueprint.route("/sites/<site>/push/key", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, PushKeyOut)
def show_the_push_key(*, site: Site) -> dict[str, str]:  # noqa: ARG001
    """Show the push key

    The same for every site; it changes with `CHIMEIN_SECRET_KEY`, and browsers must subscribe again then.
    """
    return {"key": public_key(push_key(runtime().settings.secret_key))}


@blueprint.route("/sites/<site>/push/subscriptions", methods=["POST"])
@blueprint.allow("record")
@blueprint.arguments(
    PushIn,
    example={
        "endpoint": "https://fcm.googleapis.com/fcm/send/…",
        "keys": {"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-…", "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
    },
)
@blueprint.response(201, PushOut)
def call_an_operator_here(body: Mapping[str, Any], *, site: Site) -> Subscription:
    """Call an operator in a browser

    When a visitor begins to wait in a conversation that is theirs, or nobody's. The note is encrypted for that browser
    alone: `{"title", "body", "conversation_id", "site_id", "url", "at"}`. Who subscribes in it next takes its place;
    what its push service says is gone is forgotten.
    """
    rt = runtime()
    operator_id = _operator(body.get("operator"))
    endpoint, keys = body["endpoint"], body["keys"]
    reason = refused(endpoint, Allowed.of(rt.settings.allow_private))
    if reason is not None:
        raise Invalid("This is no push service.", {"endpoint": [reason]})
    if not readable(keys["p256dh"], keys["auth"]):
        raise Invalid("These are no keys of a browser.", {"keys": ["Expected those of the subscription."]})
    made = Subscription(
        id=subscription_id(endpoint),
        site_id=site.id,
        operator_id=operator_id,
        endpoint=endpoint,
        p256dh=keys["p256dh"],
        auth=keys["auth"],
        created_at=rt.clock(),
    )
    with rt.db.begin() as conn:
        if not notices.is_member(conn, site.id, operator_id):
            raise Invalid("Nobody of this site can be called there.", {"operator": ["Is no operator of this site."]})
        notices.subscribe(conn, made)
    return made


@blueprint.route("/sites/<site>/push/subscriptions", methods=["DELETE"])
@blueprint.allow("record")
@blueprint.arguments(PushOff, example={"endpoint": "https://fcm.googleapis.com/fcm/send/…"})
@blueprint.response(204)
def call_nobody_here(body: Mapping[str, Any], *, site: Site) -> None:
    """Call nobody in a browser any more

    Whoever knows its address may say so, such as the next one to log in there. It is no mistake to say it twice.
    """
    with runtime().db.begin() as conn:
        notices.remove(conn, site.id, subscription_id(body["endpoint"]))


def _operator(told: str | None) -> str:
    """Whose browser it is: the operator's who asks, or of whom a token speaks."""
    own: str | None = getattr(principal(), "operator_id", None)
    if own is not None and told not in (None, own):
        raise Forbidden("An operator subscribes for nobody else.")
    if own is None and told is None:
        raise Invalid("Whose browser is it?", {"operator": ["A token says whose browser it is."]})
    return own or str(told)
