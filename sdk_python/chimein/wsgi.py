"""How does any WSGI application know its visitors? By a middleware that keeps their id in a first-party cookie.

    application = ChimeinMiddleware(application, client, user=lambda environ: environ.get("REMOTE_USER"))

Then `environ["chimein.visitor"]` is the request's `Visitor`, and `environ["chimein.anonymous_id"]` its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from chimein.client import Client
from chimein.report import log
from chimein.signing import Id
from chimein.visitor import Visitor, cookie_header, is_page_view, keeps_cookie

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ChimeinMiddleware:
    """Keeps the visitor's id for the application inside; trouble here never becomes the application's.

    `client` defaults to the one of `chimein.configure`. `user(environ)` says who is signed in. With `page_views`,
    answers of HTML are reported as pages: for sites without the browser SDK, which reports them itself. With
    `create=False` only those are followed whom the browser SDK gave an id, for sites where a banner asks first.
    `honour_gpc` leaves alone whose browser sends `Sec-GPC: 1`. `cookie_domain` shares the id among host names.
    """

    def __init__(
        self,
        application: WSGIApplication,
        client: Client | None = None,
        *,
        user: Callable[[WSGIEnvironment], Id | None] | None = None,
        page_views: bool = False,
        create: bool = True,
        honour_gpc: bool = True,
        cookie_domain: str | None = None,
    ) -> None:
        self._application = application
        self._client = client
        self._user = user or _nobody
        self._page_views = page_views
        self._create = create
        self._honour_gpc = honour_gpc
        self._cookie_domain = cookie_domain

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visitor = Visitor(
            environ,
            self._client,
            lambda: self._user(environ),
            honour_gpc=self._honour_gpc,
            create=self._create,
        )
        environ["chimein.visitor"] = visitor
        environ["chimein.anonymous_id"] = visitor.anonymous_id
        begun = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
            nonlocal begun
            added = self._answered(visitor, environ, status, headers, is_first=not begun)
            begun = True
            return (
                start_response(status, headers + added, exc_info)
                if exc_info
                else start_response(status, headers + added)
            )

        return self._application(environ, start)

    def _answered(
        self, visitor: Visitor, environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]], *, is_first: bool
    ) -> list[tuple[str, str]]:
        """Reports the page, if it is to be, and returns the headers to add."""
        try:
            given = {name.lower(): value for name, value in headers}
            if self._page_views and is_first and is_page_view(environ, int(status[:3]), given.get("content-type", "")):
                visitor.page()
            if keeps_cookie(visitor, given.get("cache-control", "")):
                return [("Set-Cookie", cookie_header(visitor, environ, self._cookie_domain))]
        except Exception:
            log.exception("a visitor could not be followed")
        return []


def _nobody(_: WSGIEnvironment) -> None:
    """Nobody is signed in."""
