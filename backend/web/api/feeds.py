"""`/api/v1/sites/{site}/feeds`: addresses from which products are fetched, again and again."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

from backend.channels.outbound import Allowed, refusal
from backend.domain.site import Site
from backend.domain.web_address import parse_web_address
from backend.errors import Conflict, Invalid, NotFound
from backend.schemas.product import FeedIn, FeedOut, FeedsOut
from backend.storage import feeds
from backend.storage.feeds import Feed
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("feeds", __name__, "Addresses from which products are fetched, again and again.")

MOST_FEEDS = 20
SOONEST, SELDOMEST = timedelta(minutes=15), timedelta(days=30)


@blueprint.route("/sites/<site>/feeds", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, FeedsOut)
def list_feeds(*, site: Site) -> dict[str, Any]:
    """List feeds

    Oldest first, each with the report of the last time.
    """
    with runtime().db.read() as conn:
        return {"items": feeds.of_site(conn, site.id), "next_cursor": None}


@blueprint.route("/sites/<site>/feeds", methods=["POST"])
@blueprint.allow("rules")
@blueprint.arguments(FeedIn, example={"url": "https://shop.example/feeds/google.xml", "every": "6h"})
@blueprint.response(201, FeedOut)
@blueprint.alt_response(409, "CONFLICT")
def add_a_feed(body: Mapping[str, Any], *, site: Site) -> Feed:
    """Add a feed

    It is fetched at once, and again after `every`. The address is called as webhooks are: https on public hosts only,
    unless `CHIMEIN_ALLOW_PRIVATE` says otherwise, and no redirect is followed. Up to 256 MB, unpacked, in ten minutes;
    a file that does not come whole changes nothing.
    """
    rt = runtime()
    every = body["every"]
    if every is not None and not SOONEST <= every <= SELDOMEST:
        raise Invalid("This is no feed.", {"every": ["From 15m to 30d."]})
    try:
        address = parse_web_address(body["url"])
        refused = refusal(address, Allowed.of(rt.settings.allow_private))
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        raise Invalid("This is no feed.", {"url": [refused]})
    now = rt.clock()
    feed = Feed(
        id=uuid4().hex,
        site_id=site.id,
        url=str(address),
        format=body["format"],
        every=every,
        complete=body["complete"],
        created_at=now,
        due_at=now,
    )
    with rt.db.begin() as conn:
        if len(feeds.of_site(conn, site.id)) >= MOST_FEEDS:
            raise Conflict(f"A site has at most {MOST_FEEDS} feeds.")
        feeds.add(conn, feed)
    return feed


@blueprint.route("/sites/<site>/feeds/<feed_id>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, FeedOut)
def get_a_feed(feed_id: str, *, site: Site) -> Feed:
    """Get a feed

    `report` tells what became of it the last time, with the first hundred bad rows.
    """
    with runtime().db.read() as conn:
        return _present(feeds.get(conn, site.id, feed_id))


@blueprint.route("/sites/<site>/feeds/<feed_id>", methods=["DELETE"])
@blueprint.allow("rules")
@blueprint.response(204)
def delete_a_feed(feed_id: str, *, site: Site) -> None:
    """Delete a feed

    It is not fetched any more; its products stay.
    """
    with runtime().db.begin() as conn:
        if not feeds.remove(conn, site.id, feed_id):
            raise NotFound("There is no such feed.")


@blueprint.route("/sites/<site>/feeds/<feed_id>/fetch", methods=["POST"])
@blueprint.allow("rules")
@blueprint.response(202, FeedOut)
def fetch_a_feed(feed_id: str, *, site: Site) -> Feed:
    """Fetch a feed now

    Within some seconds; GET tells what became of it.
    """
    rt = runtime()
    with rt.db.begin() as conn:
        _present(feeds.get(conn, site.id, feed_id))
        feeds.ask(conn, feed_id, rt.clock())
        return _present(feeds.get(conn, site.id, feed_id))


def _present(feed: Feed | None) -> Feed:
    if feed is None:
        raise NotFound("There is no such feed.")
    return feed
