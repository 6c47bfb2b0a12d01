"""`/t/TOKEN`: a conversation by its private link; and `/v1/mail/inbound`, where a mail provider brings answers."""

import base64
import hashlib
import hmac
import secrets
import time
from datetime import timedelta
from typing import Any

import structlog
from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request

from backend.channels.email.talk_texts import page_texts
from backend.domain.calendar import zone_of
from backend.domain.conversation import Part, files_of, stranger_of
from backend.domain.offer import offers_of, priced
from backend.errors import ChimeinError, Forbidden, Invalid, Malformed, Unauthorized
from backend.pipeline.attach import address_of
from backend.pipeline.mail_in import take
from backend.pipeline.resume import Resumed, answer, is_heard, resume
from backend.schemas.incoming_mail import LARGEST
from backend.storage import mail_counts
from backend.web.auth import is_secret
from backend.web.context import runtime

blueprint = Blueprint("talk", __name__)
mailbox = Blueprint("mailbox", __name__)
log = structlog.get_logger(__name__)

PATIENCE = 2.0
"""Seconds that an answer has to appear before the page is shown without it."""

SIGNED_FOR = 900
"""Seconds by which the time of a provider's signature may be off."""


@blueprint.get("/t/<token>")
def show(token: str) -> Response:
    """The thread, and a form to answer; looking changes nothing: scanners open every link."""
    return _page(resume(runtime(), token))


@blueprint.post("/t/<token>")
def reply(token: str) -> Response:
    """Says something, and shows the thread again: reloading that says nothing twice."""
    rt = runtime()
    request.max_form_memory_size = 200_000
    try:
        part_id = answer(rt, token, request.form.get("body", ""), request.form.get("key", ""))
    except Invalid:
        return _page(resume(rt, token))
    until = time.monotonic() + PATIENCE
    while not is_heard(rt, token, part_id) and time.monotonic() < until:
        time.sleep(0.1)
    back: Response = redirect(f"/t/{token}?sent=1#end", 303)  # type: ignore[assignment]
    return private(back)


@blueprint.errorhandler(Exception)
def wrong(error: Exception) -> Response:
    """People come here from a mail: they read a sentence, not JSON."""
    status = error.status if isinstance(error, ChimeinError) else getattr(error, "code", None)
    if status not in (404, 429):
        log.error("link_failed", exc_info=error)
    state = {404: "unknown", 429: "busy"}.get(status or 500, "broken")
    status = status if isinstance(status, int) and 400 <= status < 600 else 500
    language, texts = page_texts(request.accept_languages.best or "")
    nonce = secrets.token_urlsafe(16)
    page = render_template("talk_ended.html", state=state, texts=texts, language=language, nonce=nonce)
    return private(make_response(page, status), nonce)


def _page(found: Resumed) -> Response:
    nonce = secrets.token_urlsafe(16)
    locale = found.profile.device.locale if found.profile.device is not None else request.accept_languages.best
    language, texts = page_texts(locale)
    shown = [
        {
            "mine": each.author == "visitor" and stranger_of(each) is None,
            "name": stranger_of(each) or _name(each, found, texts["you"]),
            "text": texts["taken_back"] if each.deleted_at else each.text,
            "title": str(each.content.get("title") or "") if each.author == "rule" else "",
            "gone": each.deleted_at is not None,
            "offers": [(offer, priced(offer)) for offer in offers_of(each.content)],
            "files": [
                {"name": file["name"], "url": address_of(runtime(), file["id"], file["name"])}
                for file in files_of(each)
            ],
            "at": each.at.astimezone(zone_of(found.site.timezone)),
        }
        for each in found.parts
    ]
    told = {
        "language": language,
        "texts": texts,
        "site": found.site.called,
        "parts": shown,
        "key": secrets.token_urlsafe(16),
        "sent": request.args.get("sent") == "1",
        "nonce": nonce,
    }
    return private(make_response(render_template("talk.html", **told)), nonce)


def _name(part: Part, found: Resumed, you: str) -> str:
    return you if part.author == "visitor" else found.names.get(part.author_id or "") or found.site.called


def private(response: Response, nonce: str = "") -> Response:
    """The page as nobody else may keep, frame, or learn the address of."""
    style = f"'nonce-{nonce}'" if nonce else "'none'"
    response.headers.update(
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; style-src {style}; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex, nofollow",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return response


@mailbox.get("/v1/mail/inbound")
def ask_for_inbound() -> Response:
    """Whether these credentials are good; a large mail is only let in behind this answer."""
    _let_in()
    return jsonify({"status": "ready"})


@mailbox.post("/v1/mail/inbound")
def inbound() -> Response:
    """A mail as it is (`message/rfc822`), in Mailgun's form (`body-mime`), or in Postmark's JSON (`RawEmail`).

    `recipient` and `sender` of the envelope may stand in the query. When this answers 200, the mail is kept.
    """
    request.max_content_length = LARGEST + 2**20
    request.max_form_memory_size = LARGEST + 2**20
    kind = request.mimetype
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raw = request.form.get("body-mime", "").encode("utf-8", "surrogateescape")
        recipient, sender = request.form.get("recipient"), request.form.get("sender")
        only = _let_in(signed=_signed(raw, recipient, sender))
    else:
        only = _let_in()
        recipient, sender = request.args.get("recipient"), request.args.get("sender")
        if kind == "application/json":
            told = request.get_json(silent=True)
            raw_text = told.get("RawEmail") if isinstance(told, dict) else None
            raw = raw_text.encode("utf-8", "replace") if isinstance(raw_text, str) else b""
            recipient = recipient or _text(told, "OriginalRecipient")
        else:
            raw = request.get_data(cache=False)
    if not raw:
        raise Malformed("There is no mail in it: send it as it is, as message/rfc822.")
    return jsonify(dict(take(runtime(), raw, [recipient] if recipient else [], sender, only=only)))


def _text(told: Any, name: str) -> str | None:
    found = told.get(name) if isinstance(told, dict) else None
    return found if isinstance(found, str) else None


def _signed(raw: bytes, recipient: str | None, sender: str | None) -> bool:
    """Whether a form is signed with our secret, as Mailgun does it: HMAC-SHA256 of timestamp and token.

    That says nothing about the mail: so a signature is good for one mail, which may come again as it was.
    """
    secret = runtime().settings.mail_in_secret
    stamp, token, given = (request.form.get(name, "") for name in ("timestamp", "token", "signature"))
    if not secret or not given or not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 12:
        return False
    if abs(runtime().clock().timestamp() - int(stamp)) > SIGNED_FOR:
        return False
    made = hmac.new(secret.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made.encode(), given.encode("utf-8", "replace")):
        return False
    told = hashlib.sha256(b"\0".join([raw, *((each or "").encode("utf-8", "replace") for each in (recipient, sender))]))
    if not mail_counts.first(runtime().redis, made, told.hexdigest(), 2 * timedelta(seconds=SIGNED_FOR)):
        raise Forbidden("This signature came before, with another mail.")
    return True


def _let_in(*, signed: bool = False) -> str | None:
    """The id of the one site for which whoever asks may bring mails, None for any; Unauthorized, Forbidden."""
    if signed:
        return None
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    user, secret = "", value.strip()
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            secret = ""
    if not secret:
        raise Unauthorized("Mails are brought with CHIMEIN_MAIL_IN_SECRET, or with a site's write key and secret key.")
    if is_secret(secret, runtime().settings.mail_in_secret):
        return None
    site = runtime().sites.by_write_key(user) if user else None
    if site is None or not is_secret(secret, site.secret_key):
        raise Forbidden("This secret is wrong.")
    return site.id
