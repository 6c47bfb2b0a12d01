"""`/api/v1/sites/{site}/privacy`, `…/access-log` and `…/visitors/{id}/consent`: what visitors allow, and who looked."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.errors import Invalid, NotFound
from backend.pipeline import access
from backend.pipeline.consent import change_consent
from backend.schemas.page import page_of, read_cursor
from backend.schemas.privacy import (
    AccessOut,
    AccessQuery,
    ConsentIn,
    ConsentOut,
    PrivacyOut,
    access_view,
    consent_view,
    privacy_view,
)
from backend.storage import access_log, tombstones, withheld
from backend.web.api.blueprint import Blueprint
from backend.web.api.looks import looked
from backend.web.api.paging import page
from backend.web.api.visitors import visitor_of
from backend.web.context import runtime

blueprint = Blueprint("privacy", __name__, "What visitors allow, who looked at them, and what was not let in.")


@blueprint.route("/sites/<site>/visitors/<visitor_id>/consent", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, ConsentOut)
def get_the_consent(visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Get a visitor's consent

    What they have agreed to by category, and every answer with its time, its source and the text that was shown.
    """
    return consent_view(visitor_of(site, visitor_id).consents)


@blueprint.route("/sites/<site>/visitors/<visitor_id>/consent", methods=["PUT"])
@blueprint.allow("record")
@blueprint.arguments(ConsentIn, example={"marketing": False, "source": "operator", "text": "Asked on the phone."})
@blueprint.response(200, ConsentOut)
def set_the_consent(body: Mapping[str, Any], visitor_id: str, *, site: Site) -> dict[str, Any]:
    """Record a visitor's consent

    Takes effect at once: what waits to be shown or sent and may not be any more ends as `no_consent`. An answer with
    an earlier `at` takes its place in the history.
    """
    rt = runtime()
    if "at" in body and body["at"] > rt.clock():
        raise Invalid("Nobody answers in the future.", {"at": ["Must not lie in the future."]})
    looked(site, "consent", [visitor_of(site, visitor_id).id])
    log = change_consent(rt, site, visitor_id, body)
    if log is None:
        raise NotFound("There is no such visitor.")
    return consent_view(log)


@blueprint.route("/sites/<site>/access-log", methods=["GET"])
@blueprint.allow("administer")
@blueprint.arguments(AccessQuery, location="query")
@blueprint.response(200, page_of(AccessOut))
def list_the_access_log(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List who looked at whom

    Newest first: who read, listed, exported or erased which visitor, or changed their consent. Each list and each
    export of a segment stands there as a whole, too (`visitor` null): how many it showed, and by which filter. Kept for
    the site's `policy.access_log_kept`.
    """
    rt = runtime()
    before = read_cursor(query.get("cursor"), int, str)
    access.bring_in(rt)
    about = access.names_of(rt, site.id, query["visitor"]) if "visitor" in query else None
    with rt.db.read() as conn:
        found = access_log.list_looks(
            conn,
            site.id,
            visitors=about,
            token=query.get("token"),
            action=query.get("action"),
            limit=query["limit"] + 1,
            before=before,
        )
    return page(found, query["limit"], access_view, access_log.place)


@blueprint.route("/sites/<site>/privacy", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, PrivacyOut)
def get_privacy_numbers(*, site: Site) -> dict[str, Any]:
    """Count what was not let in

    Accepted events that took no effect, by day and reason, and how many persons were erased.
    """
    with runtime().db.read() as conn:
        return privacy_view(withheld.of_site(conn, site.id), tombstones.numbers(conn, site.id))
