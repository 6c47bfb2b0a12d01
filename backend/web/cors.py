"""Which pages may call: cross-origin headers for the endpoints that a visitor's browser uses."""

from flask import Response, request

from backend.domain.site import Site

PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding"),
    ("Access-Control-Max-Age", "86400"),
]


def allowed(origin: str | None, site: Site | None) -> list[tuple[str, str]]:
    """The headers that let a page of this origin read the answer: when it is the site's, or the site names none."""
    if origin is None or not (site is None or not site.origins or origin in site.origins):
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", "Retry-After"),
        ("Vary", "Origin"),
    ]


def preflight() -> Response:
    """Answers a browser's question before a cross-origin call; who it is for is known only at the call itself."""
    return Response(status=204, headers=[*PREFLIGHT, *allowed(request.headers.get("Origin", "*"), None)])


def allow(reply: Response, site: Site | None) -> Response:
    """The reply with the headers that let the page read it, where it may."""
    reply.headers.extend(allowed(request.headers.get("Origin"), site))
    return reply
