"""`/api/v1/tokens`: who may use this API, where, and for what."""

from collections.abc import Mapping
from typing import Any

from backend.errors import Forbidden, NotFound
from backend.schemas.page import PageQuery, page_of, read_cursor
from backend.schemas.token import NewTokenOut, TokenIn, TokenOut
from backend.storage.tokens import Token, create_token, delete_token, get_token, list_tokens, place
from backend.web.api.blueprint import Blueprint
from backend.web.api.paging import page
from backend.web.auth import found_site, principal
from backend.web.context import runtime

blueprint = Blueprint("tokens", __name__, "Keys to this API. Only a keyed hash of each is kept.")


@blueprint.route("/tokens", methods=["GET"])
@blueprint.allow("administer")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_of(TokenOut))
def list_all_tokens(query: Mapping[str, Any]) -> dict[str, Any]:
    """List tokens

    Oldest first. An administrator of one site sees that site's tokens only.
    """
    after = read_cursor(query.get("cursor"), int, str)
    with runtime().db.read() as conn:
        found = list_tokens(conn, site_id=principal().site_id, limit=query["limit"] + 1, after=after)
    return page(found, query["limit"], _view, place)


@blueprint.route("/tokens", methods=["POST"])
@blueprint.allow("administer")
@blueprint.arguments(TokenIn)
@blueprint.response(201, NewTokenOut)
def create_a_token(body: Mapping[str, Any]) -> dict[str, Any]:
    """Create a token

    The answer's `token` is shown this once: only its hash is kept.
    """
    rt = runtime()
    site_id = None if body["site"] is None else found_site(body["site"]).site.id
    if not principal().reaches(site_id):
        raise Forbidden("A token for every site can be made only with a token for every site.")
    with rt.db.begin() as conn:
        token, text = create_token(
            conn, rt.sites.vault, name=body["name"], role=body["role"], site_id=site_id, now=rt.clock()
        )
    return _view(token) | {"token": text}


@blueprint.route("/tokens/<token_id>", methods=["DELETE"])
@blueprint.allow("administer")
@blueprint.response(204)
def delete_a_token(token_id: str) -> None:
    """Revoke a token

    It stops working with the next request.
    """
    with runtime().db.begin() as conn:
        token = get_token(conn, token_id)
        if token is None or not principal().reaches(token.site_id):
            raise NotFound("There is no such token.")
        delete_token(conn, token_id)


def _view(token: Token) -> dict[str, Any]:
    return {name: getattr(token, name) for name in ("id", "name", "role", "site_id", "created_at")}
