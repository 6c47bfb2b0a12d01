"""Which pages may call: cross-origin headers for the endpoints that a visitor's browser uses."""

from flask import Response, request

from backend.domain.site import Site

MAX_AGE = "86400"


def preflight() -> Response:
    """Answers a browser's question before a cross-origin call; who it is for is known only at the call itself."""
    reply = Response(status=204)
    headers = reply.headers
    headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
    headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Content-Encoding"
    headers["Access-Control-Max-Age"] = MAX_AGE
    headers["Vary"] = "Origin"
    return reply


def allow(reply: Response, site: Site | None) -> Response:
    """Lets the page read the answer when it is one of the site's, or when the site names none."""
    origin = request.headers.get("Origin")
    if origin is not None and (site is None or not site.origins or origin in site.origins):
        reply.headers["Access-Control-Allow-Origin"] = origin
        reply.headers["Access-Control-Expose-Headers"] = "Retry-After"
        reply.headers["Vary"] = "Origin"
    return reply
