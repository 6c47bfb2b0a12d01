"""The collector: Segment's HTTP Tracking API, also in the short forms that the browser library uses."""

import base64
import binascii

from flask import Blueprint, Response, request

from backend.domain.site import Site
from backend.errors import ChimeinError, Forbidden, Unauthorized
from backend.pipeline.collect import collect_batch, collect_single, read_batch, read_single, unpacked
from backend.schemas.wire import Receipt, encode_json
from backend.web.context import runtime
from backend.web.cors import allow, preflight
from backend.web.errors import answer

blueprint = Blueprint("collector", __name__, url_prefix="/v1")

CALLS = {
    "track": "track",
    "page": "page",
    "screen": "screen",
    "identify": "identify",
    "group": "group",
    "alias": "alias",
    "t": "track",
    "p": "page",
    "s": "screen",
    "i": "identify",
    "g": "group",
    "a": "alias",
}
BATCHES = ("batch", "b", "import")


def single(call: str) -> Response:
    """`POST /v1/track` and its like: one event."""
    return _collect(CALLS[call])


def batch() -> Response:
    """`POST /v1/batch`: many events of any kind."""
    return _collect(None)


def metrics() -> Response:
    """`POST /v1/m`: Segment's library tells of its own health there; taken, and not kept."""
    return allow(Response(encode_json(Receipt(True, 0, [])), mimetype="application/json"), None)


blueprint.add_url_rule("/m", "metrics", metrics, methods=["POST"], provide_automatic_options=False)
blueprint.add_url_rule("/m", "preflight_m", preflight, methods=["OPTIONS"])
for _call in CALLS:
    blueprint.add_url_rule(
        f"/{_call}",
        f"single_{_call}",
        single,
        methods=["POST"],
        defaults={"call": _call},
        provide_automatic_options=False,
    )
    blueprint.add_url_rule(f"/{_call}", f"preflight_{_call}", preflight, methods=["OPTIONS"])
for _path in BATCHES:
    blueprint.add_url_rule(f"/{_path}", f"batch_{_path}", batch, methods=["POST"], provide_automatic_options=False)
    blueprint.add_url_rule(f"/{_path}", f"preflight_{_path}", preflight, methods=["OPTIONS"])


def _collect(kind: str | None) -> Response:
    site: Site | None = None
    try:
        rt = runtime()
        headers = request.headers
        body = unpacked(request.get_data(cache=False), headers.get("Content-Encoding"))
        key = _header_key(headers.get("Authorization"))
        received_at = rt.clock()
        if kind is None:
            events = read_batch(body)
            site = _site(key or events.write_key)
            receipt = collect_batch(rt.log, site.id, received_at, events)
        else:
            event = read_single(body, kind)
            site = _site(key or event.write_key)
            receipt = collect_single(rt.log, site.id, received_at, event, body)
    except ChimeinError as error:
        return allow(answer(error), site)
    return allow(Response(encode_json(receipt), mimetype="application/json"), site)


def _site(key: str | None) -> Site:
    """The site of a write key; raises `Unauthorized`, or `Forbidden` where the page's origin is not the site's."""
    if not key:
        raise Unauthorized(
            "A write key is required: as Basic user name, as Bearer token, or as `writeKey` in the body."
        )
    site = runtime().sites.by_write_key(key)
    if site is None:
        raise Unauthorized("Nobody gave out this write key.")
    origin = request.headers.get("Origin")
    if site.origins and origin is not None and origin not in site.origins:
        raise Forbidden("This origin is not one of the site's.")
    return site


def _header_key(header: str | None) -> str | None:
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return value.strip() or None
    if scheme == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unauthorized("The Basic credentials cannot be read.") from error
    return None
