"""`/api/v1/sites/{site}/funnel`: how far visitors come, and how long it takes them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError

from backend.domain.site import Site
from backend.pipeline.simulate import share_of
from backend.pipeline.trace import trace
from backend.schemas.funnel import FunnelOut, FunnelQuery, funnel_view
from backend.web.api.blueprint import Blueprint
from backend.web.context import runtime

blueprint = Blueprint("funnels", __name__, "How far visitors come.")

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@blueprint.route("/sites/<site>/funnel", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(FunnelQuery, location="query")
@blueprint.response(200, FunnelOut)
def report_the_funnel(query: Mapping[str, Any], *, site: Site) -> Mapping[str, Any]:
    """Report on the funnel

    Each stage of the site with how many persons came into it in the period, how many came at least so far, the share
    of those who reached the stage before, and the median time between the two. A person counts once, also where they
    were known by several browsers; who skips a stage has reached it. Counted exactly, so that years of a large site
    take a while.

    Another definition of `stages` is applied to everything that is stored: `building` until that is done.
    """
    rt = runtime()
    since, until = query.get("since"), query.get("until") or rt.clock()
    if since is not None and since >= until:
        raise ValidationError({"since": ["Must be before until."]})
    traced = trace(rt, site, since or BEGINNING, until, query.get("by"))
    progress = None if traced.cursor is None else share_of(traced.cursor) if traced.cursor else 0.0
    return funnel_view(traced.whole, traced.groups, progress, since, until)
