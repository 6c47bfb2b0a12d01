"""The console at `/console/`: what operators, marketers and administrators work with."""

from flask import Flask

from backend.web.console import live_visitors, login, overview, rules, segments, settings, visitors
from backend.web.console.shell import blueprint

PAGES = (login, live_visitors, visitors, segments, rules, overview, settings)
"""The modules that put their pages on the blueprint when they are imported."""


def register(app: Flask) -> None:
    """Adds the console to the application."""
    app.register_blueprint(blueprint)
