"""Visitors as the API shows them."""

from collections.abc import Callable
from typing import Any

from backend.domain.fact import SPAN, WEIGHTS, Counted, Standards, facts_of
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.runtime import Runtime
from backend.schemas.visitor import visitor_view
from backend.storage import events, intervals, segments, visitors


def view_of(rt: Runtime, site: Site, profile: Profile) -> dict[str, Any]:
    """One visitor as `VisitorOut` dumps it, with the facts of this moment."""
    now = rt.clock()
    with rt.db.read() as conn:
        known = segments.known(conn, site.id)
        standards = Standards.of(site.policy, intervals.of_site(conn, site.id))
        liked = Counted(events.each_since(conn, visitors.members_of(profile), WEIGHTS, now - SPAN, now), now)
    return visitor_view(profile, site.currency, known, facts_of(profile, now, standards, liked))


def views(rt: Runtime, site: Site) -> Callable[[Profile], dict[str, Any]]:
    """How visitors of a site are dumped in lists, each with the facts of this moment, without what they like best."""
    with rt.db.read() as conn:
        known = segments.known(conn, site.id)
        standards = Standards.of(site.policy, intervals.of_site(conn, site.id))
    now = rt.clock()
    return lambda profile: visitor_view(profile, site.currency, known, facts_of(profile, now, standards, None))
