"""The console as an app of its own: its manifest, its service worker, and in which browsers operators are called."""

from collections.abc import Mapping
from typing import Any

from flask import make_response, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from backend.channels.outbound import Allowed
from backend.channels.web_push import public_key, push_key, readable, refused
from backend.domain.notice import Subscription, subscription_id
from backend.domain.site import Site
from backend.errors import Invalid
from backend.storage import console_sessions, notices
from backend.web.console import guard, shell
from backend.web.console.shell import blueprint
from backend.web.context import runtime

LONGEST = 2_000


@blueprint.get("/manifest.webmanifest")
def manifest() -> BaseResponse:
    """What a browser reads to install the console."""
    sizes = (("icon-192.png", "192x192", "any"), ("icon-512.png", "512x512", "any"))
    icons = [
        {"src": shell.asset(name), "sizes": told, "type": "image/png", "purpose": purpose}
        for name, told, purpose in (*sizes, ("icon-maskable.png", "512x512", "maskable"))
    ]
    told: Mapping[str, Any] = {
        "id": url_for("console.home"),
        "name": "chimein",
        "short_name": "chimein",
        "description": "Conversations with the visitors of your site.",
        "start_url": url_for("console.home"),
        "scope": url_for("console.home"),
        "display": "standalone",
        "background_color": "#f5f7f6",
        "theme_color": "#0f766e",
        "icons": icons,
    }
    response = make_response(dict(told))
    response.mimetype = "application/manifest+json"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@blueprint.get("/worker.js")
def worker() -> BaseResponse:
    """The service worker; it stands here, and not among the other files, so that its scope is the whole console."""
    response: BaseResponse = blueprint.send_static_file("worker.js")
    response.headers["Content-Type"] = "text/javascript; charset=utf-8"
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Service-Worker-Allowed"] = url_for("console.home")
    return response


@blueprint.post("/<site>/push")
@guard.allow("record")
def push_here(*, site: Site) -> BaseResponse:
    """Calls the operator in this browser, as long as this login lasts."""
    rt = runtime()
    endpoint, p256dh, auth = (request.form.get(name, "")[:LONGEST] for name in ("endpoint", "p256dh", "auth"))
    reason = refused(endpoint, Allowed.of(rt.settings.allow_private))
    if reason is not None:
        raise Invalid("This browser's push service is not one that is called.", {"endpoint": [reason]})
    if not readable(p256dh, auth):
        raise Invalid("These are no keys of a browser.", {"keys": ["Expected those of the subscription."]})
    made = Subscription(
        id=subscription_id(endpoint),
        site_id=site.id,
        operator_id=guard.seat().id,
        endpoint=endpoint,
        p256dh=p256dh,
        auth=auth,
        created_at=rt.clock(),
        session=console_sessions.digest_of(rt.sites.vault, guard.cookie(guard.SESSION)),
    )
    with rt.db.begin() as connection:
        notices.subscribe(connection, made)
    return make_response("", 204)


@blueprint.post("/<site>/push/off")
@guard.allow("read")
def push_off(*, site: Site) -> BaseResponse:
    """Calls nobody in this browser any more; with `everywhere`, as somebody else logged in here, on no site."""
    endpoint = request.form.get("endpoint", "")[:LONGEST]
    with runtime().db.begin() as connection:
        if "everywhere" in request.form:
            notices.expired(connection, endpoint)
        else:
            notices.remove(connection, site.id, subscription_id(endpoint))
    return make_response("", 204)


@blueprint.context_processor
def _key() -> dict[str, object]:
    return {"push_key": lambda: public_key(push_key(runtime().settings.secret_key))}
