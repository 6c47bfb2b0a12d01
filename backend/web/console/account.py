"""An operator's own page: their name and photo, their password, and where they are logged in."""

from flask import request

from backend.domain.operator import SHORTEST_PASSWORD
from backend.domain.photo import LARGEST, SIDE
from backend.domain.site import Site
from backend.errors import ChimeinError, Invalid
from backend.pipeline import log_in, portray
from backend.storage import console_sessions, operators
from backend.web.console import guard
from backend.web.console.forms import KEPT, Form, typed, wrong
from backend.web.console.login import name_of
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.context import runtime

PLACES = {"name": "name", "photo": "photo", "before": "before", "password": "password"}


@page("/account")
def account(*, site: Site) -> Answer:
    """What an operator says of themselves."""
    return _account(site, KEPT)


def _account(site: Site, form: Form) -> str:
    rt, seat = runtime(), guard.seat()
    now = rt.clock()
    with rt.db.read() as connection:
        sessions = console_sessions.list_sessions(connection, seat.id, now)
        mine = console_sessions.find(connection, rt.sites.vault, guard.cookie(guard.SESSION), now)
    return show(
        "account",
        "account",
        form=form,
        membership=seat.on(site.id),
        sessions=[(_browser(each.agent), each, mine is not None and each.digest == mine.digest) for each in sessions],
        shortest=SHORTEST_PASSWORD,
        side=SIDE,
    )


@page("/account/name", methods=("POST",))
def account_name(*, site: Site) -> Answer:
    """Changes the name that visitors and colleagues see."""
    rt, seat = runtime(), guard.seat()
    try:
        name = name_of(typed("name"))
    except Invalid as error:
        return _account(site, wrong(error.errors, PLACES))
    with rt.db.begin() as connection:
        operators.rename(connection, seat.id, name, rt.clock())
    return redirected(address("account", done="saved"))


@page("/account/photo", methods=("POST",))
def account_photo(*, site: Site) -> Answer:
    """Changes the photo that visitors and colleagues see, or (with `away`) takes it away."""
    rt, seat = runtime(), guard.seat()
    if "away" in request.form:
        portray.hide(rt, seat.id)
        return redirected(address("account", done="saved"))
    sent = request.files.get("photo")
    try:
        portray.portray(rt, seat.id, b"" if sent is None else sent.read(LARGEST + 1))
    except ChimeinError as error:
        return _account(site, wrong(error.errors or {"photo": [error.message]}, PLACES))
    return redirected(address("account", done="saved"))


@page("/account/password", methods=("POST",))
def account_password(*, site: Site) -> Answer:
    """Changes the password, and ends all other sessions."""
    fields = request.form
    try:
        session = guard.cookie(guard.SESSION)
        log_in.change_password(runtime(), guard.seat(), session, fields.get("before", ""), fields.get("password", ""))
    except ChimeinError as error:
        return _account(site, wrong(error.errors, PLACES, error.message))
    return redirected(address("account", done="password"))


@page("/account/sessions", methods=("POST",))
def end_sessions(*, site: Site) -> Answer:  # noqa: ARG001
    """Ends all other sessions."""
    log_in.end_others(runtime(), guard.seat().id, guard.cookie(guard.SESSION))
    return redirected(address("account", done="sessions"))


def _browser(agent: str) -> str:
    """What a browser calls itself, in two words at most."""
    browsers = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
    systems = (
        *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows")),
        *(("Mac OS", "macOS"), ("Linux", "Linux")),
    )
    browser = next((name for sign, name in browsers if sign in agent), "")
    system = next((name for sign, name in systems if sign in agent), "")
    return " on ".join(filter(None, (browser, system))) or agent[:60] or "Unknown browser"
