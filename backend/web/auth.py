"""Who asks, and may they? Bearer tokens, four roles, and sites that are not yours do not exist.

              read    record what visitors say    explain, simulate, write rules    sites, tokens, secrets, erasure
read_only      x
operator       x                 x
marketer       x                 x                         x
administrator  x                 x                         x                                  x
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeAlias, TypeVar

from flask import g, request

from backend.domain.site import Site
from backend.errors import Forbidden, NotFound, Unauthorized
from backend.storage.sites import StoredSite, get_site
from backend.storage.tokens import find_token
from backend.web.context import runtime

Right: TypeAlias = Literal["read", "record", "rules", "administer"]
View = TypeVar("View", bound=Callable[..., Any])

ROLES: dict[str, frozenset[Right]] = {
    "read_only": frozenset({"read"}),
    "operator": frozenset({"read", "record"}),
    "marketer": frozenset({"read", "record", "rules"}),
    "administrator": frozenset({"read", "record", "rules", "administer"}),
}
"""What each role may do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Whoever asks: a role, on one site or (None) on all, by a token of this name, or the operator of this address."""

    role: str
    site_id: str | None = None
    name: str = "administrator"
    operator_id: str | None = None

    def may(self, right: Right) -> bool:
        """Whether the role has this right."""
        return right in ROLES.get(self.role, frozenset())

    def reaches(self, site_id: str | None) -> bool:
        """Whether the site (None: what belongs to no single site) lies within the token's reach."""
        return self.site_id is None or self.site_id == site_id


def principal() -> Principal:
    """Who asks in the current request; Unauthorized where no valid token came with it."""
    found: Principal | None = g.get("principal")
    if found is None:
        found = g.principal = _authenticate()
    return found


def _authenticate() -> Principal:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthorized("A token is required: send `Authorization: Bearer TOKEN`.")
    rt = runtime()
    if is_secret(text, rt.settings.admin_token):
        return Principal(role="administrator")
    with rt.db.read() as conn:
        token = find_token(conn, rt.sites.vault, text)
    if token is None:
        raise Unauthorized("Nobody gave out this token, or it has been revoked.")
    return Principal(role=token.role, site_id=token.site_id, name=token.name)


def is_secret(text: str, secret: str) -> bool:
    """Whether the text is the secret, compared in constant time; an empty secret is never matched."""
    return bool(secret) and hmac.compare_digest(text.encode("utf-8", "replace"), secret.encode())


def allow(right: Right) -> Callable[[View], View]:
    """Lets only those pass who have the right, here. A view's `site` (id or name) becomes the `Site` itself.

    In this order: 401 without a token, 404 for a site that is not there or not theirs, 403 for the wrong role.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            who = principal()
            if "site" in kwargs:
                kwargs["site"] = found_site(kwargs["site"]).site
            if not who.may(right):
                raise Forbidden(f"A token with the role {who.role} may not do this.")
            return view(*args, **kwargs)

        guarded.__dict__["right"] = right
        return guarded  # type: ignore[return-value]

    return decorate


def found_site(ref: str) -> StoredSite:
    """The site with this id or name; NotFound where it does not exist or is not theirs who ask."""
    rt = runtime()
    who = principal()
    with rt.db.read() as conn:
        stored = get_site(conn, rt.sites.vault, ref)
    if stored is None or not who.reaches(stored.site.id):
        raise NotFound("There is no such site.")
    return stored


def everywhere() -> None:
    """Lets only those pass whose token holds for every site."""
    if principal().site_id is not None:
        raise Forbidden("A token that is bound to one site may not do this.")


__all__ = ["ROLES", "Principal", "Right", "Site", "allow", "everywhere", "found_site", "is_secret", "principal"]
