"""The page of who is on the site now, which renews itself, and from which a chat is begun."""

from collections.abc import Mapping

from flask import request
from werkzeug.wrappers import Response

from backend.domain.site import Site
from backend.pipeline import converse
from backend.pipeline.watch import MOST_READ, note_shown, watch
from backend.web.console.guard import speaker
from backend.web.console.shell import partial
from backend.web.console.site_pages import Answer, address, fragment, page, reader, redirected, show
from backend.web.context import runtime

SHOWN = 100


@page("/live")
def live(*, site: Site) -> Answer:
    """Who is here now."""
    return _watched(site, whole=not partial())


@page("/live/now")
def live_now(*, site: Site) -> Answer:
    """The list alone, as it is now."""
    return _watched(site, whole=False)


def _watched(site: Site, *, whole: bool) -> Answer:
    asked = _asked()
    found = watch(
        runtime(),
        site,
        stage=asked.get("stage"),
        source=asked.get("source"),
        page=asked.get("page"),
        limit=SHOWN,
    )
    note_shown(runtime(), site, reader(), [each.profile for each in found.visitors], asked)
    told = {
        "watched": found,
        "asked": asked,
        "filtered": bool(asked),
        "most_read": MOST_READ,
        "sources": sorted({*found.sources, *filter(None, [asked.get("source")])}),
        "action": address("live"),
        "renewed": address("live_now", **asked),
    }
    return show("live", "live_visitors", **told) if whole else fragment("_live_visitors", **told)


def _asked() -> Mapping[str, str]:
    told = {name: request.args.get(name, "").strip()[:200] for name in ("stage", "source", "page")}
    return {name: value for name, value in told.items() if value}


@page("/visitors/<visitor_id>/chat", right="record", methods=("POST",))
def start_chat(visitor_id: str, *, site: Site) -> Answer | Response:
    """Begins a conversation; sending the same form twice begins one."""
    body, part_id = request.form.get("body", ""), request.form.get("part_id", "")
    conversation, _ = converse.start(runtime(), site, visitor_id, body, speaker(), _id(part_id))
    talk = address("conversation", conversation.id)
    return fragment("_chat_begun", talk=talk) if partial() else redirected(talk)


def _id(text: str) -> str | None:
    """An id for the part, if the form carried one."""
    fits = 16 <= len(text) <= 64 and text.isascii() and text.isalnum()
    return text if fits else None
