"""What mails lead to: unsubscribing and confirming. Scanners open every link, so only a POST changes anything."""

import secrets

import structlog
from flask import Blueprint, Response, make_response, render_template, request

from backend.domain.confirmation import Confirmation
from backend.domain.confirmation import unseal as unseal_confirmation
from backend.domain.unsubscribe import Subscription, unseal
from backend.errors import ChimeinError, NotFound
from backend.pipeline.confirm import confirm as verify_address
from backend.pipeline.subscribe import resubscribe, unsubscribe
from backend.storage import unsubscribes
from backend.web.context import runtime

blueprint = Blueprint("hooks", __name__)
log = structlog.get_logger(__name__)


@blueprint.get("/u/<token>")
def show(token: str) -> Response:
    """Says what the button would do."""
    subscription = _subscription(token)
    rt = runtime()
    with rt.db.read() as conn:
        ended = unsubscribes.reason(conn, subscription, rt.sites.vault) is not None
    return _page("ended" if ended else "ask", subscription)


@blueprint.post("/u/<token>")
def change(token: str) -> Response:
    """Ends the subscription, however often; asked by our page, or by a mail program in one click (RFC 8058).

    With `wish=again` it takes it back: whoever holds the link can read the mails of that address.
    """
    subscription = _subscription(token)
    rt = runtime()
    again = request.form.get("wish") == "again"
    if again:
        resubscribe(rt, subscription)
    else:
        unsubscribe(rt, subscription)
    return _page("back" if again else "ended", subscription)


@blueprint.errorhandler(Exception)
def wrong(error: Exception) -> Response:
    """People come here from a mail: they read a sentence, not JSON."""
    template = "confirm.html" if request.path.startswith("/c/") else "unsubscribe.html"
    status = error.status if isinstance(error, ChimeinError) else getattr(error, "code", None)
    if status == 404:
        return _page("unknown", status=404, template=template)
    log.error("link_failed", exc_info=error)
    return _page("broken", template=template, status=status if isinstance(status, int) and 400 <= status < 600 else 500)


def _subscription(token: str) -> Subscription:
    rt = runtime()
    subscription = unseal(rt.settings.secret_key, token)
    if subscription is None or rt.sites.by_id(subscription.site_id) is None:
        raise NotFound("This link leads nowhere.")
    return subscription


@blueprint.get("/c/<token>")
def ask(token: str) -> Response:
    """Asks whether the address is theirs."""
    confirmation = _confirmation(token)
    if confirmation.expires_at <= runtime().clock():
        return _page("over", confirmation, status=410, template="confirm.html")
    return _page("ask", confirmation, template="confirm.html")


@blueprint.post("/c/<token>")
def confirm(token: str) -> Response:
    """Whoever presses the button reads the mails of this address."""
    confirmation = _confirmation(token)
    if confirmation.expires_at <= runtime().clock():
        return _page("over", confirmation, status=410, template="confirm.html")
    if not verify_address(runtime(), confirmation):
        raise NotFound("This link leads nowhere.")
    return _page("done", confirmation, template="confirm.html")


def _confirmation(token: str) -> Confirmation:
    rt = runtime()
    confirmation = unseal_confirmation(rt.settings.secret_key, token)
    if confirmation is None or rt.sites.by_id(confirmation.site_id) is None:
        raise NotFound("This link leads nowhere.")
    return confirmation


def _page(
    state: str,
    subscription: Subscription | Confirmation | None = None,
    status: int = 200,
    template: str = "unsubscribe.html",
) -> Response:
    site = None if subscription is None else runtime().sites.by_id(subscription.site_id)
    nonce = secrets.token_urlsafe(16)
    response = make_response(
        render_template(
            template,
            state=state,
            nonce=nonce,
            site=None if site is None else site.called,
            address=None if subscription is None else masked(subscription.value),
        ),
        status,
    )
    response.headers.update(
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'",
            # The link is the key: no other site may learn it, no search engine keep it.
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex, nofollow",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return response


def masked(address: str) -> str:
    """The address so that its owner knows it and a stranger, to whom the mail was passed on, does not."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
