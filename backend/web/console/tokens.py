"""The page of a site's tokens for the API: made, shown once, revoked."""

from typing import Any

from backend.domain.site import Site
from backend.errors import NotFound
from backend.schemas.token import ROLES, TokenIn
from backend.storage import tokens as stored
from backend.web.console.forms import KEPT, Form, loaded, typed
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.context import runtime

MOST_TOKENS = 200
TOLD = {
    "read_only": "Sees everything, changes nothing",
    "operator": "Records what visitors say",
    "marketer": "Writes rules and segments",
    "administrator": "May do everything",
}


@page("/settings/tokens", right="administer")
def tokens(*, site: Site) -> Answer:
    """All tokens that are bound to the site."""
    return _tokens(site)


def _tokens(site: Site, form: Form = KEPT, fresh: Any = None) -> str:
    with runtime().db.read() as connection:
        given = stored.list_tokens(connection, site_id=site.id, limit=MOST_TOKENS)
    roles = {each: TOLD[each] for each in reversed(ROLES)}
    return show("settings", "tokens", tokens=given, roles=roles, form=form, fresh=fresh)


@page("/settings/tokens", right="administer", methods=("POST",))
def new_token(*, site: Site) -> Answer:
    """Makes a token for this site; its text is shown this once."""
    rt = runtime()
    body, form = loaded(TokenIn(), {"name": typed("name"), "role": typed("role")}, {"name": "name", "role": "role"})
    if not form.fine:
        return _tokens(site, form)
    with rt.db.begin() as connection:
        made, text = stored.create_token(
            connection, rt.sites.vault, name=body["name"], role=body["role"], site_id=site.id, now=rt.clock()
        )
    return _tokens(site, fresh={"name": made.name, "text": text})


@page("/settings/tokens/<token_id>/revoke", right="administer", methods=("POST",))
def revoke_token(token_id: str, *, site: Site) -> Answer:
    """Revokes a token of this site."""
    with runtime().db.begin() as connection:
        found = stored.get_token(connection, token_id)
        if found is None or found.site_id != site.id:
            raise NotFound("There is no such token.")
        stored.delete_token(connection, token_id)
    return redirected(address("tokens", done="revoked"))
