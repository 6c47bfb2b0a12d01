"""`/api/v1/sites/{site}/catalogue/properties`: which events, properties and traits a site reports."""

from collections.abc import Mapping
from typing import Any

from backend.domain.site import Site
from backend.schemas.page import page_of, read_cursor
from backend.schemas.vocabulary import NameOut, NamesQuery, name_view
from backend.storage import vocabularies
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.context import runtime

blueprint = Blueprint("properties", __name__, "Which events, properties and traits a site reports.")


@blueprint.route("/sites/<site>/catalogue/properties", methods=["GET"])
@blueprint.allow("read")
@blueprint.arguments(NamesQuery, location="query")
@blueprint.response(200, page_of(NameOut))
def list_all_properties(query: Mapping[str, Any], *, site: Site) -> dict[str, Any]:
    """List what is reported

    By kind (event, property, trait), event and name, with the types of the values and some of them. It is learned from
    a sample of what arrives, within some seconds. Values that may say who somebody is (addresses, numbers, names, what
    was typed into forms) are left out or masked. Rules and segments are checked against it: a name, or a type, that was
    never seen is a warning.
    """
    after = read_cursor(query.get("cursor"), str, str, str)
    filters = {"kind": query.get("kind"), "event": query.get("event"), "search": query.get("q")}
    with runtime().db.read() as conn:
        found = vocabularies.find(conn, site.id, **filters, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], name_view, vocabularies.place)
