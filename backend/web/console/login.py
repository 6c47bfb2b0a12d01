"""How operators come in and go: by password, by the administrator's token the first time, by an invitation."""

from contextlib import suppress
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask import Response, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from backend.domain.operator import LONGEST_NAME, SHORTEST_PASSWORD
from backend.errors import ChimeinError, Invalid, NotFound
from backend.pipeline import log_in
from backend.storage import operators, presence
from backend.web.console import guard
from backend.web.console.shell import blueprint, my_sites, page
from backend.web.context import runtime


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> BaseResponse:
    """Asks for address and password."""
    rt, onward = runtime(), _onward(request.values.get("next", ""))
    if request.method == "POST":
        email, password = request.form.get("email", ""), request.form.get("password", "")
        try:
            _, text = log_in.log_in(rt, email, password, _address(), request.headers.get("User-Agent", ""))
        except ChimeinError as error:
            return _again("console/login.html", error, email=email, onward=onward)
        return _seated(text, onward)
    with rt.db.read() as connection:
        if not operators.any_administrator(connection):
            return redirect(url_for("console.first"))
    return make_response(page("console/login.html", onward=onward, email="", chosen="chosen" in request.args))


@blueprint.route("/first", methods=["GET", "POST"])
def first() -> BaseResponse:
    """Makes the first operator: whoever has the administrator's token chooses name, address and password."""
    told = {name: request.form.get(name, "").strip() for name in ("name", "email", "token")}
    if request.method == "POST":
        rt, password = runtime(), request.form.get("password", "")
        try:
            name, email = name_of(told["name"]), email_address(told["email"])
            made = log_in.first(rt, told["token"], email, name, password, _address())
            _, text = log_in.log_in(rt, made.email, password, _address(), request.headers.get("User-Agent", ""))
        except ChimeinError as error:
            return _again("console/first.html", error, told=told | {"token": ""}, shortest=SHORTEST_PASSWORD)
        return _seated(text, "")
    return make_response(page("console/first.html", told=told, shortest=SHORTEST_PASSWORD))


@blueprint.route("/invited/<text>", methods=["GET", "POST"])
def invited(text: str) -> BaseResponse:
    """Lets somebody who was invited choose a password."""
    rt = runtime()
    with rt.db.read() as connection:
        operator = operators.invited(connection, rt.sites.vault, text, rt.clock())
    if operator is None:
        raise NotFound("This link has been used, or is too old. Ask an administrator for another one.")
    values: dict[str, Any] = {"operator": operator, "shortest": SHORTEST_PASSWORD}
    if request.method == "POST":
        try:
            log_in.choose_password(rt, text, request.form.get("password", ""))
        except ChimeinError as error:
            return _again("console/invited.html", error, **values)
        return redirect(url_for("console.login", chosen=1), 303)
    response = make_response(page("console/invited.html", **values))
    response.headers["Referrer-Policy"] = "no-referrer"  # the link is the key
    return response


@blueprint.post("/logout")
def logout() -> BaseResponse:
    """Ends the session, here and in the database."""
    if text := guard.cookie(guard.SESSION):
        _leave()
        log_in.log_out(runtime(), text)
    response = redirect(url_for("console.login"), 303)
    guard.drop_cookie(response, guard.SESSION)
    return response


def _leave() -> None:
    """Notes that whoever logs out is at no desk any more."""
    rt = runtime()
    with suppress(ChimeinError):
        operator = guard.seat()
        for each in my_sites():
            presence.leave(rt.redis, each.id, operator.id)


def _seated(text: str, onward: str) -> BaseResponse:
    """The browser with a session of its own: whatever it had before is over, and worth nothing to who planted it."""
    if before := guard.cookie(guard.SESSION):
        log_in.log_out(runtime(), before)
    response = redirect(onward or url_for("console.home"), 303)
    guard.set_cookie(response, guard.SESSION, text)
    guard.drop_cookie(response, guard.FORM)
    return response


def _again(template: str, error: ChimeinError, **values: Any) -> Response:
    response = make_response(page(template, mistake=error.message, mistakes=error.errors, **values), error.status)
    if (wait := getattr(error, "retry_after", None)) is not None:
        response.headers["Retry-After"] = str(int(wait))
    return response


def email_address(text: str) -> str:
    """The address, if it is one; Invalid."""
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise Invalid("This is no e-mail address.", {"email": ["This is no e-mail address."]}) from None


def name_of(text: str) -> str:
    """The name, in one line; Invalid."""
    told = " ".join(text.split())
    if not told or len(told) > LONGEST_NAME or not told.isprintable():
        raise Invalid("A name has 1 to 100 characters.", {"name": ["A name has 1 to 100 characters."]})
    return told


def _address() -> str:
    return request.remote_addr or ""


def _onward(text: str) -> str:
    """Where to go after the login: within the console only."""
    fine = text.startswith("/console/") and "//" not in text and "\\" not in text and text.isprintable()
    return text if fine and not text.startswith(url_for("console.login")) else ""
