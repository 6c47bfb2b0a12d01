"""The page of a site's canned replies: texts that operators call up by a slash and a shortcut."""

from typing import Any

from backend.domain.site import Site
from backend.errors import Conflict
from backend.pipeline import can
from backend.schemas.operator import CannedReplyIn
from backend.storage import canned_replies
from backend.web.console.forms import KEPT, Form, loaded, typed
from backend.web.console.site_pages import Answer, address, page, redirected, show
from backend.web.context import runtime

PLACES = {"shortcut": "shortcut", "text": "text"}


@page("/settings/replies")
def replies(*, site: Site) -> Answer:
    """All canned replies of the site."""
    return _replies(site)


def _replies(site: Site, form: Form = KEPT, wrong: str = "") -> str:
    with runtime().db.read() as connection:
        found = canned_replies.list_replies(connection, site.id)
    return show("settings", "replies", replies=found, form=form, wrong=wrong, kept=KEPT)


@page("/settings/replies", right="record", methods=("POST",))
def can_reply(*, site: Site) -> Answer:
    """Puts a reply by."""
    told, form = _told()
    if not form.fine:
        return _replies(site, form)
    try:
        can.can(runtime(), site, told["shortcut"], told["text"])
    except Conflict as error:
        return _replies(site, Form(again=True, beside={"shortcut": error.message}))
    return redirected(address("replies", done="saved"))


@page("/settings/replies/<reply_id>", right="record", methods=("POST",))
def change_reply(reply_id: str, *, site: Site) -> Answer:
    """Changes a reply."""
    told, form = _told()
    try:
        if form.fine:
            can.change(runtime(), site, reply_id, told)
    except Conflict as error:
        form = Form(again=True, beside={"shortcut": error.message})
    return redirected(address("replies", done="saved")) if form.fine else _replies(site, form, reply_id)


@page("/settings/replies/<reply_id>/away", right="record", methods=("POST",))
def throw_reply_away(reply_id: str, *, site: Site) -> Answer:
    """Throws a reply away."""
    can.throw_away(runtime(), site, reply_id)
    return redirected(address("replies", done="deleted"))


def _told() -> tuple[dict[str, Any], Form]:
    return loaded(CannedReplyIn(), {"shortcut": typed("shortcut").removeprefix("/"), "text": typed("text")}, PLACES)
