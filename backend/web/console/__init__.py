"""The console at `/console/`: what operators, marketers and administrators work with."""

from flask import Flask

from backend.web.console import (
    account,
    chat_settings,
    composer,
    departments,
    inbox,
    installed,
    live_visitors,
    login,
    overview,
    presence,
    replies,
    rule_editor,
    rules,
    segment_editor,
    segments,
    settings,
    simulation,
    site_policy,
    stages,
    stream,
    team,
    thread,
    tokens,
    visitor_card,
    visitors,
    working_hours,
)
from backend.web.console.shell import blueprint

PAGES = (
    *(login, installed, presence, inbox, thread, composer, visitor_card, live_visitors, visitors),
    *(segments, segment_editor, rules, rule_editor, simulation, overview),
    *(settings, team, departments, working_hours, chat_settings, replies, stages, site_policy, tokens, account),
)
"""The modules that put their pages on the blueprint when they are imported."""


__all__ = ["register", "stream"]


def register(app: Flask) -> None:
    """Adds the console to the application."""
    app.register_blueprint(blueprint)
