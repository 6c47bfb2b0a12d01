"""The Flask application, in two roles: `web` takes events and manages, `live` holds the pages' streams."""

from importlib.metadata import version
from typing import Literal

from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

from backend.runtime import Runtime, build_runtime
from backend.settings import Settings
from backend.web import api, attach, console, demo, errors, hooks, live, metrics, page, photos, silence, talk
from backend.web.collector import Collector
from backend.web.context import KEY

MAX_BODY = 2**20
"""Bytes of a request body; routes have their own, smaller limits."""

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def create_app(settings: Settings, role: Literal["web", "live"] = "web", runtime: Runtime | None = None) -> Flask:
    """The application of one process; with `runtime` it uses that and builds none."""
    app = Flask("backend.web", template_folder="pages", static_folder="assets", static_url_path="/assets")
    app.url_map.strict_slashes = False  # an address is the same thing with a slash behind it
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's default provider
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.extensions[KEY] = runtime or build_runtime(settings)
    app.extensions[metrics.KEY] = metrics.build_registry(version("chimein-server"))
    if settings.proxies:
        hops = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    errors.register(app)
    app.after_request(_protect_pages)
    app.register_blueprint(page.health)
    if role == "live":
        app.register_blueprint(live.blueprint)
        app.register_blueprint(console.stream.blueprint)
        return app
    for blueprint in (
        *(live.inbox, attach.blueprint, photos.blueprint, page.blueprint, hooks.blueprint),
        *(talk.blueprint, talk.mailbox, silence.blueprint, demo.blueprint),
    ):
        app.register_blueprint(blueprint)
    api.register(app)
    console.register(app)
    app.wsgi_app = Collector(app, settings.caller_rate, settings.proxies)  # type: ignore[method-assign]
    return app


def _protect_pages(response: Response) -> Response:
    """Strict headers for whatever a browser shows as a page; a page may have set its own before."""
    headers = response.headers
    if headers.get("Content-Type", "").startswith("text/html"):
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    return response
