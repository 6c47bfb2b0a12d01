"""Who is behind a request? The id in the cookie that the browser SDK writes too, and what the request tells."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote
from wsgiref.util import request_uri

from chimein import default
from chimein.client import Client, Properties
from chimein.report import log
from chimein.signing import Id

COOKIE = "chimein_id"
COOKIE_SECONDS = 31_536_000

Environ = Mapping[str, Any]
User = Callable[[], "Id | None"]

_COOKIE = re.compile(rf"(?:^|;\s*){COOKIE}=([\w-]{{16,64}})(?:;|$)", re.ASCII)


class Visitor:
    """The visitor of one request. `anonymous_id` is always there: for one who objects, made up and kept nowhere."""

    def __init__(self, environ: Environ, client: Client | None, user: User, *, honour_gpc: bool, create: bool) -> None:
        self._environ = environ
        self._client = client
        self._user = user
        found = _COOKIE.search(environ.get("HTTP_COOKIE", ""))
        # The browser SDK writes its cookie only for those who may be observed: it outweighs the general signal.
        objects = honour_gpc and environ.get("HTTP_SEC_GPC") == "1"
        self.is_observed = found is not None or (create and not objects)
        self.is_new = found is None and self.is_observed
        self.anonymous_id: str = found[1] if found else secrets.token_hex(16)

    @property
    def user_id(self) -> Id | None:
        """Who the host says is signed in; None for nobody."""
        try:
            return self._user()
        except Exception:
            log.exception("the user of a request could not be told")
            return None

    @property
    def context(self) -> dict[str, Any]:
        """What the request tells of page, browser, language and campaign, in Segment's words."""
        environ = self._environ
        page = self._page()
        context: dict[str, Any] = {"page": page}
        if environ.get("HTTP_USER_AGENT"):
            context["userAgent"] = environ["HTTP_USER_AGENT"][:400]
        language = environ.get("HTTP_ACCEPT_LANGUAGE", "").split(",")[0].split(";")[0].strip()
        if language and language != "*":
            context["locale"] = language
        query = parse_qsl(page["search"][1:])
        campaign = {("name" if key == "utm_campaign" else key[4:]): value for key, value in query if key[:4] == "utm_"}
        if campaign:
            context["campaign"] = campaign
        return context

    def track(self, event: str, properties: Properties | None = None) -> bool:
        """Reports that this visitor did something; False, and nothing sent, for one who objects."""
        return self.is_observed and self._sender().track(event, properties, **self._who())

    def identify(self, traits: Properties | None = None) -> bool:
        """Reports what is known of this visitor, and, when signed in, who it is."""
        who = self._who()
        return self.is_observed and self._sender().identify(who.pop("user_id"), traits, **who)

    def page(self, name: str | None = None, properties: Properties | None = None) -> bool:
        """Reports that this visitor saw the page of this request."""
        return self.is_observed and self._sender().page(
            name, None, {**self._page(), **(properties or {})}, **self._who()
        )

    def _who(self) -> dict[str, Any]:
        return {"anonymous_id": self.anonymous_id, "user_id": self.user_id, "context": self.context}

    def _sender(self) -> Client:
        return self._client or default.client()

    def _page(self) -> dict[str, str]:
        environ = self._environ
        path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), safe="/;=,:@", encoding="latin-1")
        search = environ.get("QUERY_STRING", "")
        return {
            "path": path or "/",
            "referrer": environ.get("HTTP_REFERER", ""),
            "search": f"?{search}" if search else "",
            "url": request_uri(dict(environ)),
        }


def cookie_header(visitor: Visitor, environ: Environ, domain: str | None) -> str:
    """The `Set-Cookie` that makes the browser keep the visitor's id; scripts may read it, as the browser SDK must."""
    parts = [f"{COOKIE}={visitor.anonymous_id}", "Path=/", f"Max-Age={COOKIE_SECONDS}", "SameSite=Lax"]
    if domain:
        parts.append(f"Domain={domain}")
    if environ.get("wsgi.url_scheme") == "https":
        parts.append("Secure")
    return "; ".join(parts)


def keeps_cookie(visitor: Visitor, cache_control: str) -> bool:
    """Whether the answer should carry the cookie: not one that shared caches may hand to other visitors."""
    return visitor.is_new and "public" not in cache_control.lower()


def is_page_view(environ: Environ, status: int, content_type: str) -> bool:
    """Whether the request showed a page to a person, rather than fetch a part of one or look ahead."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and 200 <= status < 300
        and content_type.lower().startswith(("text/html", "application/xhtml+xml"))
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
        and "prefetch" not in environ.get("HTTP_SEC_PURPOSE", environ.get("HTTP_PURPOSE", ""))
    )
