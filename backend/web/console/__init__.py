"""The console at `/console/`: what operators, marketers and administrators work with."""

from flask import Flask

from backend.web.console import (
    composer,
    inbox,
    installed,
    live_visitors,
    login,
    overview,
    presence,
    rule_editor,
    rules,
    segments,
    settings,
    stream,
    thread,
    visitor_card,
    visitors,
)
from backend.web.console.shell import blueprint

PAGES = (
    *(login, installed, presence, inbox, thread, composer, visitor_card, live_visitors, visitors),
    *(segments, rules, rule_editor, overview, settings),
)
"""The modules that put their pages on the blueprint when they are imported."""


__all__ = ["register", "stream"]


def register(app: Flask) -> None:
    """Adds the console to the application."""
    app.register_blueprint(blueprint)
