"""Who sits at the console, may they, and did this request come from it? Cookies, sessions, forms that are ours.

A request that changes something must come from a page of ours (`Sec-Fetch-Site`, else `Origin`) and carry the token of
its session, in the header `X-CSRF-Token` or the field `csrf_token`.
"""

import hmac
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import g, request
from werkzeug.wrappers import Response

from backend.domain.operator import Operator
from backend.domain.site import Site
from backend.errors import Forbidden, NotFound, Unauthorized
from backend.pipeline.converse import Speaker
from backend.pipeline.desk import beat
from backend.storage import console_sessions, operators
from backend.storage.console_sessions import ABSOLUTE, form_token
from backend.storage.sites import get_site
from backend.web.auth import Principal, Right
from backend.web.context import runtime

View = TypeVar("View", bound=Callable[..., Any])

SESSION, FORM = "chimein-console", "chimein-form"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def seat() -> Operator:
    """The operator who asks; Unauthorized where nobody is logged in, or who is was disabled meanwhile."""
    found: Operator | None = g.get("operator")
    if found is None:
        found = g.operator = _seated()
    return found


def _seated() -> Operator:
    rt, text = runtime(), cookie(SESSION)
    now = rt.clock()
    found = session = None
    if text:
        with rt.db.read() as connection:
            session = console_sessions.find(connection, rt.sites.vault, text, now)
            found = operators.find(connection, session.operator_id) if session is not None else None
    if session is None or found is None or found.disabled_at is not None:
        raise Unauthorized("Please log in.")
    if session.stale(now):
        with rt.db.begin() as connection:
            console_sessions.touch(connection, session, now)
    return found


def allow(right: Right) -> Callable[[View], View]:
    """Lets only those pass who have the right, here. A view's `site` (id or name) becomes the `Site` itself.

    As in the API: 404 for a site that is not there or not theirs, 403 for the wrong role.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            operator = seat()
            if "site" in kwargs:
                kwargs["site"] = enter(operator, kwargs["site"])
            elif not any(_principal(operator, each.site_id).may(right) for each in operator.memberships):
                raise Forbidden("Your role may not do this.")
            if "site" in kwargs and not g.principal.may(right):
                raise Forbidden(f"Your role ({g.principal.role.replace('_', ' ')}) may not do this.")
            if "site" in kwargs and (request.method not in SAFE or "HX-Request" not in request.headers):
                beat(runtime(), kwargs["site"].id, operator.id, active=True)  # a page that renews itself is no activity
            return view(*args, **kwargs)

        guarded.__dict__["right"] = right
        return guarded  # type: ignore[return-value]

    return decorate


def enter(operator: Operator, ref: str) -> Site:
    """The site of this id or name, where the operator is something on it: from now on they act as that."""
    rt = runtime()
    with rt.db.read() as connection:
        stored = get_site(connection, rt.sites.vault, ref)
    if stored is None or operator.on(stored.site.id) is None:
        raise NotFound("There is no such site.")
    g.principal = _principal(operator, stored.site.id)
    g.site = stored.site
    return stored.site


def _principal(operator: Operator, site_id: str) -> Principal:
    member = operator.on(site_id)
    role = "" if member is None else member.role
    return Principal(role=role, site_id=site_id or None, name=operator.email, operator_id=operator.id)


def speaker() -> Speaker:
    """Whoever asks, as who speaks in conversations."""
    operator = seat()
    return Speaker(operator.id, operator.name, operator.photo)


def check_form() -> None:
    """Raises Forbidden where a request that changes something does not come from a page of ours."""
    if request.method in SAFE:
        return
    if not _from_here():
        raise Forbidden("This request came from another site.", code="foreign")
    told = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token") or ""
    kept = cookie(SESSION) or cookie(FORM)
    wanted = form_token(runtime().sites.vault, kept) if kept else ""
    if not wanted or not hmac.compare_digest(told.encode("utf-8", "replace"), wanted.encode()):
        raise Forbidden("This page is too old. Load it again.", code="stale_form")


def _from_here() -> bool:
    fetched = request.headers.get("Sec-Fetch-Site")
    if fetched is not None:
        return fetched == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin in {request.host_url.rstrip("/"), runtime().settings.public_url}


def token() -> str:
    """The token for the forms of this page; whoever is not logged in gets a cookie for it of its own."""
    kept = cookie(SESSION) or cookie(FORM)
    if not kept:
        kept = g.get("new_form_cookie") or secrets.token_urlsafe(24)
        g.new_form_cookie = kept
    return form_token(runtime().sites.vault, kept)


def cookie(name: str) -> str:
    """The text of a cookie of ours; empty where there is none."""
    return request.cookies.get(_named(name), "")


def set_cookie(response: Response, name: str, text: str) -> None:
    """Gives the browser a cookie that no script reads and no other site sends along."""
    age = int(ABSOLUTE.total_seconds()) if name == SESSION else None
    response.set_cookie(_named(name), text, max_age=age, path="/", secure=_secure(), httponly=True, samesite="Lax")


def drop_cookie(response: Response, name: str) -> None:
    """Takes the cookie away."""
    response.delete_cookie(_named(name), path="/", secure=_secure(), httponly=True, samesite="Lax")


def _named(name: str) -> str:
    # The prefix makes browsers refuse the cookie from any other host; they take it over https only.
    return f"__Host-{name}" if _secure() else name


def _secure() -> bool:
    public = urlsplit(runtime().settings.public_url)
    # A proxy that nobody told us of: the page is reached by https all the same.
    return request.is_secure or (public.scheme == "https" and request.host == public.netloc)
