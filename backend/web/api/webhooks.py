"""`/api/v1/sites/{site}/webhooks`: what was told to the site's own systems, and what they answered."""

import re
from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.errors import Conflict, NotFound
from backend.schemas.page import page_of, read_cursor
from backend.schemas.webhook import WebhookOut, WebhookQuery, webhook_view
from backend.storage import webhooks
from backend.storage.queue import WEBHOOKS
from backend.storage.visitors import members_of
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import listed, looked
from backend.web.api.paging import page
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("webhooks", __name__, "What rules and hooks told the site's own systems.")


@blueprint.route("/sites/<site>/webhooks", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(WebhookQuery, location="query")
@blueprint.response(200, page_of(WebhookOut))
def list_all_webhooks(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List webhooks

    Newest first: what journeys promised by their step `webhook`, and hooks for conversations, and how far it came. Each
    is signed by the convention of [Standard Webhooks](https://www.standardwebhooks.com) (`webhook-id`,
    `webhook-timestamp`, `webhook-signature`) with the site's `webhook_secret`. It is tried until it is answered with
    2xx: again after 10 s, 1 min, 5 min, 30 min, 2 h, and every 6 h, for a day, or when the receiver's `Retry-After`
    says; a 4xx other than 408, 425 and 429 ends it. A receiver may get one several times, and knows it by its id.
    """
    before = read_cursor(query.get("cursor"), int, str)
    try:
        members = members_of(visitor_of(site, query["visitor"])) if "visitor" in query else None
    except NotFound:  # a filter that nothing fits is no mistake
        return {"items": [], "next_cursor": None}
    with runtime().db.read() as conn:
        found = webhooks.list_webhooks(
            conn,
            site.id,
            rule=query.get("rule"),
            hook=query.get("hook"),
            visitor_ids=members,
            status=query.get("status"),
            limit=query["limit"] + 1,
            before=before,
        )
    listed(site, [each.visitor_id for each in found[: query["limit"]]], query)
    return page(found, query["limit"], webhook_view, webhooks.cursor_of)


@blueprint.route("/sites/<site>/webhooks/<webhook_id>/retry", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(200, WebhookOut)
@blueprint.alt_response(409, "CONFLICT")
def retry_a_webhook(webhook_id: str, *, site: Site) -> dict[str, Any]:
    """Retry a webhook

    One that failed, was skipped, or waits for its next try is tried at once, with the same id and body, and for another
    day. One that was delivered is not sent again.
    """
    rt = runtime()
    if not re.fullmatch(r"[0-9a-f]{32}\.[0-9a-f]{32}", webhook_id):
        raise NotFound("There is no such webhook.")
    with rt.db.begin() as conn:
        ref = webhooks.find(conn, site.id, webhook_id)
        webhook = None if ref is None else webhooks.get(conn, ref)
        if ref is None or webhook is None:
            raise NotFound("There is no such webhook.")
        if not webhooks.requeue(conn, ref, rt.clock()):
            raise Conflict(f"The webhook is {webhook.status}: it cannot be sent again.")
        webhook = webhooks.get(conn, ref)
        assert webhook is not None
    looked(site, "read", [webhook.visitor_id])
    rt.queue.enqueue([ref], WEBHOOKS)
    return webhook_view(webhook)
