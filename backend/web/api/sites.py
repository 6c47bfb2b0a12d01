"""`/api/v1/sites`: the sites, their keys and what they allow."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.pipeline.remove import remove_site
from backend.pipeline.restage import redefine
from backend.pipeline.settle import present, settle
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.site import SiteChangedOut, SiteIn, SiteOut, SitePatch, changed, site_view
from backend.storage.sites import StoredSite, create_site, get_site, list_sites, new_site, place
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.auth import everywhere, principal
from backend.web.context import runtime

blueprint = Blueprint("sites", __name__, "The shops and pages that report here.")


@blueprint.route("/sites", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(SiteOut))
def list_all_sites(query: Mapping[str, Any]) -> dict[str, Any]:
    """List sites

    Oldest first; only those that the token reaches. `secret_key` is shown to administrators only.
    """
    rt = runtime()
    after = read_cursor(query.get("cursor"), int, str)
    with rt.db.read() as conn:
        found = list_sites(conn, rt.sites.vault, only=principal().site_id, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], _view, place)


@blueprint.route("/sites", methods=["POST"])
@blueprint.allow("administer")
@blueprint.arguments(SiteIn)
@blueprint.response(201, SiteOut)
@blueprint.alt_response(409, "CONFLICT")
def create_a_site(body: dict[str, Any]) -> dict[str, Any]:
    """Create a site

    Keys are made where they are left out. Needs a token for every site.
    """
    everywhere()
    rt = runtime()
    with rt.db.begin() as conn:
        fresh = new_site(body["name"])
        funnel = redefine(conn, fresh, body["stages"], rt.clock()) if "stages" in body else None
        site = changed(fresh, body, funnel)
        stored = create_site(conn, rt.sites.vault, site, rt.clock())
    rt.sites.forget()
    return _view(stored)


@blueprint.route("/sites/<site>", methods=["GET"])
@blueprint.allow("read")
@blueprint.response(200, SiteOut)
def get_a_site(*, site: Site) -> dict[str, Any]:
    """Get a site"""
    rt = runtime()
    with rt.db.read() as conn:
        return _view(present(get_site(conn, rt.sites.vault, site.id)))


@blueprint.route("/sites/<site>", methods=["PATCH"])
@blueprint.allow("administer")
@blueprint.arguments(SitePatch, example={"timezone": "Europe/Berlin"})
@blueprint.response(200, SiteChangedOut)
@blueprint.alt_response(409, "CONFLICT")
def change_a_site(body: dict[str, Any], *, site: Site) -> dict[str, Any]:
    """Change a site

    What is left out stays; `policy` and `capture` are merged key by key. Other processes follow within five seconds.
    Other `stages` are applied to what is stored (see `GET funnel`); one at which a rule starts cannot be taken away,
    and `warnings` name the rules and segments whose conditions ask for one that is gone.
    """
    stored, warnings = settle(runtime(), site.id, body)
    return _view(stored) | ({"warnings": warnings} if warnings else {})


@blueprint.route("/sites/<site>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def delete_a_site(*, site: Site) -> None:
    """Delete a site

    With everything that is kept of it: rules, tokens, visitors, events, messages. There is no way back.
    """
    remove_site(runtime(), site.id)


def _view(stored: StoredSite) -> dict[str, Any]:
    view = site_view(stored.site) | {"created_at": stored.created_at}
    if not principal().may("administer"):
        del view["secret_key"], view["webhook_secret"]
    return view
