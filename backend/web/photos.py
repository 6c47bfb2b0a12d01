"""`/photos/DIGEST`: an operator's photo, for every page on which they speak."""

from flask import Blueprint, Response, request

from backend.pipeline import portray
from backend.web.context import runtime

blueprint = Blueprint("photos", __name__)


@blueprint.get("/photos/<digest>")
def show(digest: str) -> Response:
    """A photo; what it is called says what is in it, so it never becomes another one."""
    data, kind = portray.seen(runtime(), digest)
    response = Response(data, mimetype=kind)
    response.set_etag(digest)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.headers["Content-Disposition"] = "inline"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Robots-Tag"] = "noindex"
    response.make_conditional(request)
    return response
