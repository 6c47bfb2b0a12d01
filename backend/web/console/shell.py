"""The frame of every page of the console: navigation, sites, errors as pages, and strict headers.

A page joins the navigation with one line, `shell.entry("rules", "Rules", "console.rules")`, and answers with
`shell.page("console/rules.html", here="rules", …)`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.operator import EVERY_SITE
from backend.domain.site import Site
from backend.errors import ChimeinError, Unauthorized
from backend.storage import sites
from backend.web.auth import Right
from backend.web.console import guard, words
from backend.web.context import runtime

HERE = Path(__file__).parent

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates", static_folder="static")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A page in the navigation; `icon` names a symbol of `_icons.html`, `place` where it stands."""

    name: str
    label: str
    endpoint: str
    icon: str
    right: Right
    place: int


ENTRIES: dict[str, Entry] = {}
PLACES = ("inbox", "live", "visitors", "segments", "rules", "overview", "settings")


def entry(name: str, label: str, endpoint: str, *, right: Right = "read", icon: str | None = None) -> None:
    """Adds a page to the navigation; its endpoint takes the `site`. Known names stand in the order of `PLACES`."""
    place = PLACES.index(name) if name in PLACES else len(PLACES) + len(ENTRIES)
    ENTRIES[name] = Entry(name=name, label=label, endpoint=endpoint, icon=icon or name, right=right, place=place)


def page(template: str, *, here: str = "", **values: Any) -> str:
    """A page of the console; `here` is the name of its entry."""
    return render_template(template, here=here, **values)


def partial() -> bool:
    """Whether htmx asks for a piece of a page, and no whole one."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


@blueprint.before_request
def _check() -> None:
    if (request.endpoint or "").endswith(".static"):
        return
    guard.check_form()


@blueprint.context_processor
def _frame() -> dict[str, Any]:
    operator, site = g.get("operator"), g.get("site")
    return {
        "csrf": guard.token,
        "me": operator,
        "site": site,
        "role": g.principal.role if site is not None else None,
        "entries": list(_entries()) if site is not None else [],
        "my_sites": my_sites,
        "asset": asset,
        "live_url": runtime().settings.live_url,
        "now": runtime().clock(),
        "may": lambda right: site is not None and g.principal.may(right),
        **words.FILTERS,
    }


def _entries() -> Iterator[Entry]:
    for each in sorted(ENTRIES.values(), key=lambda each: each.place):
        if g.principal.may(each.right):
            yield each


def my_sites() -> list[Site]:
    """The sites on which whoever asks is something."""
    rt = runtime()
    with rt.db.read() as connection:
        return [each for each in sites.all_sites(connection, rt.sites.vault) if guard.seat().on(each.id)]


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:10]


def asset(name: str) -> str:
    """The address of a static file, another one whenever its content is another."""
    return url_for("console.static", filename=name, v=_digest(name))


@blueprint.get("/")
def home() -> BaseResponse:
    """The first page of the first site."""
    operator = guard.seat()
    if not (mine := my_sites()):
        return make_response(
            page("console/nothing.html", everywhere=any(each.site_id == EVERY_SITE for each in operator.memberships))
        )
    guard.enter(operator, mine[0].id)
    first = next(_entries(), None)
    if first is None:
        return make_response(page("console/nothing.html", everywhere=False))
    return redirect(url_for(first.endpoint, site=mine[0].id))


@blueprint.errorhandler(ChimeinError)
def _named_error(error: ChimeinError) -> BaseResponse:
    if isinstance(error, Unauthorized):
        return _to_login()
    return _error(error.status, error.message, error.errors)


@blueprint.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> BaseResponse:
    status = error.code or 500
    if status < 400:
        return make_response(error)
    told = {404: "There is nothing at this address.", 405: "This address does not take that."}
    return _error(status, told.get(status) or error.description or error.name, {})


def _to_login() -> BaseResponse:
    here = request.full_path.rstrip("?") if request.method == "GET" else ""
    if partial():
        told = urlsplit(request.headers.get("HX-Current-URL", ""))
        here = f"{told.path}?{told.query}" if told.query else told.path
        response = make_response("", 401)
        response.headers["HX-Redirect"] = _login_url(here)
        return response
    if request.method != "GET" or "application/json" in request.headers.get("Accept", ""):
        return make_response(jsonify({"message": "Please log in."}), 401)
    return redirect(_login_url(here))


def _login_url(here: str) -> str:
    target = url_for("console.login")
    return f"{target}?next={quote(here, safe='/')}" if here.startswith("/console/") else target


def _error(status: int, message: str, errors: Any) -> BaseResponse:
    if partial() or "application/json" in request.headers.get("Accept", ""):
        return make_response(jsonify({"status": status, "message": message, "errors": errors}), status)
    return make_response(page("console/error.html", status=status, message=message), status)


@blueprint.after_request
def _strict(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if (request.endpoint or "").endswith(".static"):
        if "v" in request.args:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Vary", "HX-Request")
    live = urlsplit(runtime().settings.live_url)
    headers.setdefault(
        "Content-Security-Policy",
        f"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: {_pictures()}; "
        f"connect-src 'self' {live.scheme}://{live.netloc}; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'",
    )
    if "new_form_cookie" in g:
        guard.set_cookie(response, guard.FORM, g.new_form_cookie)
    return response


def _pictures() -> str:
    """From where pictures may come: in conversations those of products too, wherever a shop keeps them."""
    if "site" not in g or "/inbox" not in request.path:
        return ""
    return " ".join(("https:", *g.site.origins))
