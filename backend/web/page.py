"""What a page and its surroundings fetch: the SDK, its configuration, health, metrics, and the front door."""

import hashlib
import re
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from backend.domain.site import Site
from backend.errors import Forbidden, NotFound, Unauthorized
from backend.pipeline.desk import Watch
from backend.pipeline.status import ready
from backend.runtime import Runtime
from backend.schemas.capture import page_attention, page_capture, page_signals
from backend.schemas.desk import page_desk
from backend.storage.asked import Asked
from backend.web.auth import is_secret
from backend.web.context import runtime
from backend.web.cors import allow, preflight
from backend.web.errors import answer
from backend.web.metrics import registry

blueprint = Blueprint("page", __name__)
health = Blueprint("health", __name__)

DIST = Path(__file__).parents[2] / "sdk_js" / "dist"
WIDGET = "/chimein-widget.js"
ASKED = "chimein.asked"
WATCH = "chimein.watch"


@blueprint.get("/")
def front_door() -> str:
    """What this is, and where to go from here."""
    address = runtime().settings.public_url
    snippet = f'<script async src="{address}/chimein.js" data-key="demo"></script>'
    stub = DIST / "stub.js"
    if stub.exists():
        snippet = f"<script>{stub.read_text(encoding='utf-8').strip()}</script>\n{snippet}"
    return render_template("front_door.html", snippet=snippet)


@blueprint.get("/v1/config")
def config() -> Response:
    """What the SDK asks first: what to capture, where live is, what the site's policy says."""
    rt = runtime()
    key = request.args.get("writeKey", "")
    site = rt.sites.by_write_key(key) if key else None
    if site is None:
        return allow(answer(Unauthorized("Nobody gave out this write key.")), None)
    origin = request.headers.get("Origin")
    if site.origins and origin is not None and origin not in site.origins:
        return allow(answer(Forbidden("This origin is not one of the site's.")), site)
    capture = page_capture(site, _asked(rt).of(site))
    body: dict[str, Any] = {
        "site": site.id,
        "live": rt.settings.live_url,
        "widget": WIDGET,
        "capture": capture,
        "signals": page_signals(capture),
        "attention": page_attention(site),
        "desk": _desk(rt, site),
        "chat": site.attention.launcher,
        "sound": site.attention.sound,
        "policy": {name: getattr(site.policy, name) for name in ("require_signature", "honour_gpc", "honour_dnt")},
    }
    if site.policy.texts:
        body["texts"] = site.policy.texts
    response = jsonify(body)
    # Pages ask at each load: let them, but let an owner see a change soon.
    response.headers["Cache-Control"] = "private, max-age=30"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return allow(response, site)


def _asked(rt: Runtime) -> Asked:
    extensions = current_app.extensions
    if ASKED not in extensions:
        extensions[ASKED] = Asked(rt.db)
    found: Asked = extensions[ASKED]
    return found


def _desk(rt: Runtime, site: Site) -> dict[str, Any]:
    """Who is there to answer; a second old at most, and the usual time to an answer a minute."""
    watch = current_app.extensions.setdefault(WATCH, Watch(rt))
    if watch.rt is not rt:
        watch = current_app.extensions[WATCH] = Watch(rt)
    state = watch.state(site)
    opens_at = None if state.open else state.opens_at
    return page_desk(online=state.online, replies_in=watch.replies_in(site), opens_at=opens_at)


@blueprint.route("/v1/config", methods=["OPTIONS"], provide_automatic_options=False)
def config_preflight() -> Response:
    """Lets pages elsewhere ask for their configuration."""
    return preflight()


@blueprint.get("/chimein.js")
@blueprint.get("/chimein-widget.js")
@blueprint.get("/chimein-signals.js")
@blueprint.get("/chimein-talk.js")
@blueprint.get("/chimein-words-<_language>.json")
def script(_language: str = "") -> Response:
    """The SDK's core, its widget, its signals, the chat, or its words in a language; any page may load them."""
    if _language and not re.fullmatch(r"[a-z]{2}", _language):
        raise NotFound("There are no words in this language.")
    name = request.path[1:]
    try:
        stat = (DIST / name).stat()
    except FileNotFoundError:
        raise NotFound("The JavaScript SDK is not built: run `npm ci && npm run build` in sdk_js.") from None
    body, etag = _script(name, stat.st_mtime_ns, stat.st_size)
    response = Response(body, mimetype="application/json" if name.endswith("json") else "text/javascript")
    response.set_etag(etag)
    headers = response.headers
    headers["Cache-Control"] = "public, max-age=300"
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


@lru_cache(maxsize=24)
def _script(name: str, _changed: int, _size: int) -> tuple[bytes, str]:
    body = (DIST / name).read_bytes()
    return body, hashlib.blake2b(body, digest_size=12).hexdigest()


@health.get("/healthz")
def alive() -> Response:
    """The process lives; nothing else is asked."""
    return _brief({"status": "ok"})


@health.get("/readyz")
def readiness() -> Response:
    """Green exactly when a write would be accepted; else 503 and why."""
    ready(runtime())
    return _brief({"status": "ready"})


@health.get("/metrics")
def metrics() -> Response:
    """Prometheus text, for this machine or for whoever has the token."""
    settings = runtime().settings
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    known = scheme.lower() == "bearer" and any(
        is_secret(token.strip(), secret) for secret in (settings.metrics_token, settings.admin_token)
    )
    if not known and not _from_here():
        raise Unauthorized("From elsewhere, metrics need a token: CHIMEIN_METRICS_TOKEN as Bearer.")
    return Response(
        generate_latest(registry()), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
    )


def _from_here() -> bool:
    """Whether the request comes from this machine itself, and not through a proxy on it."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _brief(body: dict[str, str]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
