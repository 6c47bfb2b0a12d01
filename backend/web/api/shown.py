"""Visitors as the API shows them."""

from collections.abc import Callable
from typing import Any

from backend.domain.fact import Standards, facts_of
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.schemas.visitor import visitor_view
from backend.storage import intervals, segments


def view_of(rt: Runtime, site: Site, profile: Profile) -> dict[str, Any]:
    """One visitor as `VisitorOut` dumps it, with the facts of this moment."""
    return views(rt, site)(profile)


def views(rt: Runtime, site: Site) -> Callable[[Profile], dict[str, Any]]:
    """How visitors of a site are dumped, each with the facts of this moment."""
    with rt.db.read() as conn:
        known = segments.known(conn, site.id)
        standards = Standards.of(site.policy, intervals.of_site(conn, site.id))
    now = rt.clock()
    return lambda profile: visitor_view(profile, site.currency, known, facts_of(profile, now, standards))
