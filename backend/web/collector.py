"""The collector: Segment's HTTP Tracking API, also in the short forms that the browser library uses.

It stands in front of Flask as a bare WSGI application: these calls are a thousand times as many as all others, and
routing, request and response objects would take a third of their time.
"""

import base64
import binascii
import logging
import math
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any, TypedDict

from flask import Flask
from werkzeug.wsgi import get_input_stream

from backend.domain.site import Policy, Site
from backend.errors import Busy, ChimeinError, Forbidden, Malformed, TooLarge, TooManyRequests, Unauthorized
from backend.pipeline.collect import collect_batch, collect_single, read_batch, read_single, unpacked
from backend.runtime import Runtime
from backend.schemas.capture import CAPTURE
from backend.schemas.wire import REQUEST_BYTES, Receipt, encode_json
from backend.web.auth import is_secret
from backend.web.context import KEY
from backend.web.cors import PREFLIGHT, allowed
from backend.web.throttle import Throttle, address_of

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
WSGI = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

BATCH, METRICS = "batch", "metrics"
CALLS = {
    "/v1/track": "track",
    "/v1/page": "page",
    "/v1/screen": "screen",
    "/v1/identify": "identify",
    "/v1/group": "group",
    "/v1/alias": "alias",
    "/v1/batch": BATCH,
    "/v1/import": BATCH,
    "/v1/t": "track",
    "/v1/p": "page",
    "/v1/s": "screen",
    "/v1/i": "identify",
    "/v1/g": "group",
    "/v1/a": "alias",
    "/v1/b": BATCH,
    "/v1/m": METRICS,  # Segment's library tells of its own health there; taken, and not kept
}
NOTHING_NEW = Receipt(True, 0, [])

logger = logging.getLogger(__name__)


class Collector:
    """Answers the collector's calls, and hands everything else on."""

    def __init__(self, app: Flask, caller_rate: int = 0, proxies: int = 0) -> None:
        self._extensions = app.extensions
        self._others: WSGI = app.wsgi_app
        self._throttle = Throttle(caller_rate)
        self._proxies = proxies

    @property
    def _rt(self) -> Runtime:
        rt: Runtime = self._extensions[KEY]
        return rt

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The WSGI application."""
        call = CALLS.get(environ["PATH_INFO"])
        if call is None:
            return self._others(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            start_response("204 No Content", [*PREFLIGHT, *allowed(environ.get("HTTP_ORIGIN") or "*", None)])
            return []
        site: Site | None = None
        origin = environ.get("HTTP_ORIGIN")
        headers: Headers = []
        try:
            if method != "POST":
                raise ChimeinError("This address takes POST only.", code="method_not_allowed", status=405)
            self._let_in(environ)
            body = unpacked(_body(environ), environ.get("HTTP_CONTENT_ENCODING"))
            site, receipt = self._take(call, body, environ)
            status, answer = "200 OK", encode_json(receipt)
        except ChimeinError as error:
            status, headers, answer = _failed(error)
            if isinstance(error, Forbidden):
                origin = None  # that page is not even told why
        except Exception:
            logger.exception("unexpected error in the collector")
            status, headers, answer = _failed(ChimeinError("Something went wrong here; it has been logged."))
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        start_response(status, headers + allowed(origin, site))
        return [answer]

    def _let_in(self, environ: Environ) -> None:
        """Raises `TooManyRequests` where this caller sends too fast."""
        address = address_of(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR"), self._proxies)
        seconds = self._throttle.wait(address)
        if seconds:
            raise TooManyRequests("Too many requests from this address.", retry_after=seconds)

    def _take(self, call: str, body: bytes, environ: Environ) -> tuple[Site | None, Receipt]:
        if call == METRICS:
            return None, NOTHING_NEW
        rt = self._rt
        key, secret = _credentials(environ.get("HTTP_AUTHORIZATION"))
        received_at = rt.clock()
        if call == BATCH:
            batch = read_batch(body)
            site = self._site(key or batch.write_key, environ)
            asked = _asked(site, environ, secret)
            return site, collect_batch(rt.log, site.id, received_at, batch, **asked)
        event = read_single(body, call)
        site = self._site(key or event.write_key, environ)
        asked = _asked(site, environ, secret)
        return site, collect_single(rt.log, site.id, received_at, event, body, **asked)

    def _site(self, key: str | None, environ: Environ) -> Site:
        """The site of a write key; raises `Unauthorized`, or `Forbidden` where the page's origin is not the site's."""
        if not key:
            raise Unauthorized(
                "A write key is required: as Basic user name, as Bearer token, or as `writeKey` in the body."
            )
        site = self._rt.sites.by_write_key(key)
        if site is None:
            raise Unauthorized("Nobody gave out this write key.")
        origin = environ.get("HTTP_ORIGIN")
        if site.origins and origin is not None and origin not in site.origins:
            raise Forbidden("This origin is not one of the site's.")
        return site


class _Asked(TypedDict):
    """What is asked of what a caller sends, as `collect_single` names it."""

    objects: bool
    hide: Collection[str]
    forms: Collection[str] | None


def _asked(site: Site, environ: Environ, secret: str) -> _Asked:
    """What the site asks of this caller: whoever knows its secret key is no page, and may tell any form field."""
    vouched = bool(secret) and is_secret(secret, site.secret_key)
    forms = None if vouched else site.capture.get("forms", CAPTURE["forms"])
    return {"objects": _objects(site.policy, environ), "hide": site.policy.hide_query, "forms": forms}


def _objects(policy: Policy, environ: Environ) -> bool:
    """Whether the browser sends a privacy signal that the site honours."""
    if environ.get("HTTP_SEC_GPC") == "1" and policy.honour_gpc:
        return True
    return environ.get("HTTP_DNT") == "1" and policy.honour_dnt


def _body(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    try:
        if length and int(length) > REQUEST_BYTES:
            raise TooLarge("A request may have 500 KB.")
    except ValueError as error:
        raise Malformed("The Content-Length is not a number.") from error
    body: bytes = get_input_stream(environ).read(REQUEST_BYTES + 1)
    return body


def _credentials(header: str | None) -> tuple[str | None, str]:
    """The write key of an `Authorization` header, and the secret key that a backend gives as its Basic password."""
    if not header:
        return None, ""
    scheme, _, value = header.partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return value.strip() or None, ""
    if scheme == "basic":
        try:
            key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthorized("The Basic credentials cannot be read.") from error
        return key or None, secret
    return None, ""


def _failed(error: ChimeinError) -> tuple[str, Headers, bytes]:
    headers: Headers = [("Cache-Control", "no-store")]
    if isinstance(error, Unauthorized):
        headers.append(("WWW-Authenticate", 'Bearer realm="chimein"'))
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "POST, OPTIONS"))
    if isinstance(error, Busy):
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after)))))
    return f"{error.status} {HTTPStatus(error.status).phrase}", headers, encode_json(error.body())
