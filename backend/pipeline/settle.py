"""The verb `settle`: what a site says of itself is changed, and what follows from it is set right."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.errors import NotFound
from backend.pipeline.check import Warned, doubts_of_stages
from backend.pipeline.restage import redefine
from backend.runtime import Runtime
from backend.schemas.site import changed
from backend.storage.segments import ask_anew
from backend.storage.sites import StoredSite, get_site, update_site


def settle(rt: Runtime, site_id: str, changes: Mapping[str, Any]) -> tuple[StoredSite, Sequence[Warned]]:
    """Puts what `SitePatch` loaded into the site; its parts are merged key by key. NotFound, Conflict.

    Answers the site as it is kept now, and the rules and segments that ask for stages which are gone.
    """
    with rt.db.begin() as conn:
        stored = present(get_site(conn, rt.sites.vault, site_id, lock="stages" in changes))
        funnel = redefine(conn, stored.site, changes["stages"], rt.clock()) if "stages" in changes else None
        after = changed(stored.site, changes, funnel)
        update_site(conn, rt.sites.vault, after)
        if (after.policy.rfm, after.policy.loyalty) != (stored.site.policy.rfm, stored.site.policy.loyalty):
            for fact in ("rfm", "loyalty"):
                ask_anew(conn, site_id, f'"profile.facts.{fact}')
        warnings = doubts_of_stages(conn, after, stored.site.funnel.names) if funnel is not None else []
        stored = present(get_site(conn, rt.sites.vault, site_id))
    rt.sites.forget()
    return stored, warnings


def present(stored: StoredSite | None) -> StoredSite:
    """The site; NotFound where it was deleted between two transactions."""
    if stored is None:
        raise NotFound("There is no such site.")
    return stored
