"""How does a Flask application know its visitors? By this extension; nothing else in the package needs Flask.

    chimein = Chimein(app)                      # app.config: CHIMEIN_WRITE_KEY, CHIMEIN_HOST, CHIMEIN_SITE_SECRET_KEY

    @app.post("/cart")
    def add_to_cart():
        current_visitor.track("Product Added", {"product_id": "17", "price": 20})

In templates, `{{ chimein_snippet() }}` is the browser SDK for the page's head, `{{ chimein_user_hash() }}` its proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from flask import Flask, Response, current_app, request
from markupsafe import Markup
from werkzeug.local import LocalProxy

from chimein.client import Client
from chimein.report import log
from chimein.signing import Id, user_hash
from chimein.snippet import snippet
from chimein.visitor import Visitor, cookie_header, is_page_view, keeps_cookie

Loader = TypeVar("Loader", bound=Callable[[], "Id | None"])


class Chimein:
    """The extension; one object may serve several applications, each with its own client.

    From `app.config`: `CHIMEIN_WRITE_KEY`, `CHIMEIN_HOST` (`http://127.0.0.1:8000`), `CHIMEIN_PUBLIC_HOST` (what
    browsers call it, if that differs), `CHIMEIN_SITE_SECRET_KEY` (none: no proofs), `CHIMEIN_SEND` (True), and as in
    `ChimeinMiddleware` `CHIMEIN_PAGE_VIEWS`, `CHIMEIN_CREATE`, `CHIMEIN_HONOUR_GPC`, `CHIMEIN_COOKIE_DOMAIN`.
    """

    def __init__(self, app: Flask | None = None, client: Client | None = None) -> None:
        self._client = client
        self._load_user: Callable[[], Id | None] = lambda: None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Joins the application; raises `ConfigurationError` where its settings cannot work."""
        config = app.config
        config.setdefault("CHIMEIN_WRITE_KEY", "")
        config.setdefault("CHIMEIN_HOST", "http://127.0.0.1:8000")
        config.setdefault("CHIMEIN_PUBLIC_HOST", config["CHIMEIN_HOST"])
        config.setdefault("CHIMEIN_SITE_SECRET_KEY", None)
        config.setdefault("CHIMEIN_SEND", True)
        config.setdefault("CHIMEIN_PAGE_VIEWS", False)
        config.setdefault("CHIMEIN_CREATE", True)
        config.setdefault("CHIMEIN_HONOUR_GPC", True)
        config.setdefault("CHIMEIN_COOKIE_DOMAIN", None)
        client = self._client or Client(
            config["CHIMEIN_WRITE_KEY"],
            config["CHIMEIN_HOST"],
            send=config["CHIMEIN_SEND"],
            secret_key=config["CHIMEIN_SITE_SECRET_KEY"],
        )
        app.extensions["chimein"] = (self, client)
        app.after_request(_answered)
        app.add_template_global(chimein_snippet)
        app.add_template_global(chimein_user_hash)

    def user_loader(self, load: Loader) -> Loader:
        """Registers the function that says who is signed in: it returns the user's id, or None."""
        self._load_user = load
        return load

    @property
    def client(self) -> Client:
        """The client of the current application, for events that belong to no request."""
        return _client()

    def _visitor(self, client: Client) -> Visitor:
        config = current_app.config
        return Visitor(
            request.environ,
            client,
            lambda: self._load_user(),
            honour_gpc=config["CHIMEIN_HONOUR_GPC"],
            create=config["CHIMEIN_CREATE"],
        )


def chimein_snippet(nonce: str | None = None) -> Markup:
    """The browser SDK for the page's head, with the proof of who is signed in, if anybody is."""
    config = current_app.config
    user_id = current_visitor.user_id
    html = snippet(
        config["CHIMEIN_WRITE_KEY"],
        config["CHIMEIN_PUBLIC_HOST"],
        user_id=user_id,
        user_hash=chimein_user_hash(),
        nonce=nonce,
    )
    return Markup(html)  # noqa: S704 - every value in it is escaped


def chimein_user_hash() -> str | None:
    """The proof of who is signed in; None where nobody is, or no secret key is set."""
    secret_key = current_app.config["CHIMEIN_SITE_SECRET_KEY"]
    user_id = current_visitor.user_id
    return user_hash(secret_key, user_id) if secret_key and user_id is not None else None


def _client() -> Client:
    _, client = current_app.extensions["chimein"]
    return cast(Client, client)


def _current_visitor() -> Visitor:
    # In the environ, not in `g`: an application context that is already open would share `g` between requests.
    visitor = request.environ.get("chimein.visitor")
    if visitor is None:
        extension, client = current_app.extensions["chimein"]
        visitor = request.environ["chimein.visitor"] = extension._visitor(client)
    return cast(Visitor, visitor)


def _answered(response: Response) -> Response:
    """Keeps the visitor's id in the cookie and reports the page, if it is to be."""
    try:
        visitor = _current_visitor()
        config = current_app.config
        if config["CHIMEIN_PAGE_VIEWS"] and is_page_view(
            request.environ, response.status_code, response.content_type or ""
        ):
            visitor.page()
        if keeps_cookie(visitor, response.headers.get("Cache-Control", "")):
            response.headers.add("Set-Cookie", cookie_header(visitor, request.environ, config["CHIMEIN_COOKIE_DOMAIN"]))
    except Exception:
        log.exception("a visitor could not be followed")
    return response


current_visitor = cast(Visitor, LocalProxy(_current_visitor))
"""The visitor of the current request."""
