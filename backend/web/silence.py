"""`/m/TOKEN`: no more mails about this conversation. Scanners open every link, so only a POST changes anything."""

import secrets

from flask import Blueprint, Response, make_response, render_template, request

from backend.channels.email.talk_texts import page_texts
from backend.domain.profile import Profile
from backend.domain.site import Site
from backend.pipeline.silence import silence, silenced
from backend.web.context import runtime
from backend.web.talk import private, wrong

blueprint = Blueprint("silence", __name__)
blueprint.register_error_handler(Exception, wrong)


@blueprint.get("/m/<token>")
def show(token: str) -> Response:
    """Says what the button would do."""
    site, profile, off = silenced(runtime(), token)
    return _page(site, profile, "off" if off else "ask")


@blueprint.post("/m/<token>")
def change(token: str) -> Response:
    """Turns the mails off, however often; asked by our page, or by a mail program in one click (RFC 8058).

    With `wish=again` it turns them on.
    """
    again = request.form.get("wish") == "again"
    site, profile = silence(runtime(), token, off=not again)
    return _page(site, profile, "on" if again else "off")


def _page(site: Site, profile: Profile, state: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    locale = profile.device.locale if profile.device is not None else request.accept_languages.best
    language, texts = page_texts(locale)
    told = {"state": state, "language": language, "texts": texts, "site": site.called, "nonce": nonce}
    return private(make_response(render_template("silence.html", **told)), nonce)
