"""`/m/TOKEN`: no more mails about this conversation. Scanners open every link, so only a POST changes anything."""

import secrets

from flask import Blueprint, Response, make_response, render_template, request

from backend.channels.email.talk_texts import page_texts
from backend.pipeline.silence import silence, silenced
from backend.web.context import runtime
from backend.web.talk import private, wrong

blueprint = Blueprint("silence", __name__)
blueprint.register_error_handler(Exception, wrong)


@blueprint.get("/m/<token>")
def show(token: str) -> Response:
    """Says what the button would do."""
    return _page(token, "off" if silenced(runtime(), token)[2] else "ask")


@blueprint.post("/m/<token>")
def change(token: str) -> Response:
    """Turns the mails off, however often; asked by our page, or by a mail program in one click (RFC 8058).

    With `wish=again` it turns them on.
    """
    again = request.form.get("wish") == "again"
    silence(runtime(), token, off=not again)
    return _page(token, "on" if again else "off")


def _page(token: str, state: str) -> Response:
    site, profile, _ = silenced(runtime(), token)
    nonce = secrets.token_urlsafe(16)
    locale = profile.device.locale if profile.device is not None else request.accept_languages.best
    language, texts = page_texts(locale)
    told = {"state": state, "language": language, "texts": texts, "site": site.called, "nonce": nonce}
    return private(make_response(render_template("silence.html", **told)), nonce)
