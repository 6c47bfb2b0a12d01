"""What the page is told: `POST /v1/live`, a server-sent-event stream, and `POST /v1/inbox` where no stream can pass."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response, current_app, request

from backend.domain.site import Site
from backend.errors import ChimeinError, Forbidden, Malformed, TooManyRequests, Unauthorized
from backend.pipeline.attach import addressed
from backend.pipeline.hint import visitor_types
from backend.pipeline.rulesets import Rulesets
from backend.pipeline.show import Viewer, conversation, streams, unread, viewer, waiting
from backend.pipeline.threads import see, standing, threads
from backend.runtime import Runtime
from backend.schemas.conversation import page_thread
from backend.schemas.page_message import conversation_item, conversation_note, page_message
from backend.storage import here
from backend.storage.live import Subscription
from backend.web.context import runtime
from backend.web.cors import allow, preflight
from backend.web.errors import answer
from backend.web.throttle import Throttle

blueprint = Blueprint("live", __name__, url_prefix="/v1")
inbox = Blueprint("inbox", __name__, url_prefix="/v1")

HEARTBEAT_SECONDS = 20.0
POLL_SECONDS = 10
RETRY_MS = 3_000
BODY_BYTES = 16_384
RULESETS = "chimein.rulesets"


class Hello(msgspec.Struct, rename="camel"):
    """What the page says of itself; nothing secret stands in an address."""

    write_key: str
    anonymous_id: str | None = None
    user_id: str | None = None
    user_hash: str | None = None
    last_event_id: str | int | None = None
    conversation_id: str | None = None
    number: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None


_typing = Throttle(1)
"""What one browser tells of its typing: a word every few seconds is enough."""

_decode = msgspec.json.Decoder(Hello).decode

blueprint.add_url_rule("/live", "live_preflight", preflight, methods=["OPTIONS"])
inbox.add_url_rule("/inbox", "inbox_preflight", preflight, methods=["OPTIONS"])
inbox.add_url_rule("/read", "read_preflight", preflight, methods=["OPTIONS"])
inbox.add_url_rule("/typing", "typing_preflight", preflight, methods=["OPTIONS"])
inbox.add_url_rule("/conversation", "talk_preflight", preflight, methods=["OPTIONS"])


@blueprint.route("/live", methods=["POST"], provide_automatic_options=False)
def stream() -> Response:
    """Everything that waits for this browser, then what comes, until one side hangs up."""
    site: Site | None = None
    try:
        rt = runtime()
        site, who = _viewer(rt)
        subscription = rt.live.subscribe(streams(rt, who))
        reply = Response(_frames(rt, _rulesets(rt), who, subscription), mimetype="text/event-stream")
        reply.call_on_close(lambda: rt.live.unsubscribe(subscription))
    except ChimeinError as error:
        return allow(answer(error), site)
    reply.headers["Cache-Control"] = "no-store"
    reply.headers["X-Accel-Buffering"] = "no"
    return allow(reply, site)


@inbox.route("/inbox", methods=["POST"], provide_automatic_options=False)
def poll() -> Response:
    """The same messages at once, for pages that no stream reaches."""
    site: Site | None = None
    try:
        rt = runtime()
        site, who = _viewer(rt)
        items = [page_message(each) for each in waiting(rt, _rulesets(rt), who)]
        note = _conversation(rt, who)
    except ChimeinError as error:
        return allow(answer(error), site)
    body = json.dumps({"items": items, "poll_after": POLL_SECONDS, **({"conversation": note} if note else {})})
    reply = Response(body, mimetype="application/json", headers={"Cache-Control": "no-store"})
    return allow(reply, site)


@inbox.route("/conversation", methods=["POST"], provide_automatic_options=False)
def talk() -> Response:
    """What was said in the chat so far, on whichever device: for a proven user; else what began in this browser."""
    site: Site | None = None
    try:
        rt = runtime()
        site, who = _viewer(rt)
        items = [conversation_item(each) for each in conversation(rt, who)]
        told = [page_thread(each.conversation, each.parts, each.faces, each.unread) for each in threads(rt, who)]
        for each in told:
            each["parts"] = [addressed(rt, part) for part in each["parts"]]
    except ChimeinError as error:
        return allow(answer(error), site)
    body = json.dumps({"items": items, "conversations": told})
    return allow(Response(body, mimetype="application/json", headers={"Cache-Control": "no-store"}), site)


@inbox.route("/read", methods=["POST"], provide_automatic_options=False)
def mark_read() -> Response:
    """How far the visitor has read a conversation."""
    site: Site | None = None
    try:
        rt = runtime()
        site, who, hello = _hello(rt)
        if hello.conversation_id is None or hello.number is None:
            raise Malformed("`conversationId` and `number` are required.")
        found = see(rt, who, hello.conversation_id, hello.number)
    except ChimeinError as error:
        return allow(answer(error), site)
    body = json.dumps({"id": found.id, "seen": found.seen})
    return allow(Response(body, mimetype="application/json", headers={"Cache-Control": "no-store"}), site)


@inbox.route("/typing", methods=["POST"], provide_automatic_options=False)
def typing() -> Response:
    """The visitor is typing: told to the operators, and kept nowhere."""
    site: Site | None = None
    try:
        rt = runtime()
        site, who, hello = _hello(rt)
        if hello.conversation_id is None:
            raise Malformed("`conversationId` is required.")
        if seconds := _typing.wait(f"{site.id} {who.visitor_ids[0]}"):
            raise TooManyRequests("Once in a few seconds is enough.", retry_after=seconds)
        visitor_types(rt, who, hello.conversation_id)
    except ChimeinError as error:
        return allow(answer(error), site)
    return allow(Response(status=204), site)


def _frames(rt: Runtime, rulesets: Rulesets, who: Viewer, subscription: Subscription) -> Iterator[str]:
    number = 0
    try:
        yield f"retry: {RETRY_MS}\n\n"
        here.note(rt.redis, who.site.id, subscription.visitor_ids, rt.clock())
        if (talked := _conversation(rt, who)) is not None:
            number += 1
            yield _frame(number, "conversation", talked)
        for message in waiting(rt, rulesets, who):
            number += 1
            yield _frame(number, "message", page_message(message))
        while not subscription.closed:
            note = subscription.next(HEARTBEAT_SECONDS)
            if note is None:
                here.note(rt.redis, who.site.id, subscription.visitor_ids, rt.clock())
                yield ": hb\n\n"
            elif note["event"] == "moved":
                return  # the visitor is somebody else now: the page comes back, and is told what is theirs
            elif who.may_see(note.get("anonymous_id")):
                number += 1
                yield _frame(number, str(note["event"]), note["data"])
    finally:
        rt.live.unsubscribe(subscription)


def _conversation(rt: Runtime, who: Viewer) -> dict[str, Any] | None:
    """The word to a page that there is something to come back to."""
    ids, talks = unread(rt, who), standing(rt, who)
    return conversation_note(who.user_id, who.anonymous_id, ids or [], talks) if talks or ids is not None else None


def _frame(number: int, event: str, data: Any) -> str:
    return f"id: {number}\nevent: {event}\ndata: {json.dumps(data)}\n\n"


def _viewer(rt: Runtime) -> tuple[Site, Viewer]:
    site, who, _ = _hello(rt)
    return site, who


def _hello(rt: Runtime) -> tuple[Site, Viewer, Hello]:
    body = request.get_data(cache=False)
    if len(body) > BODY_BYTES:
        raise Malformed("This is too much for a greeting.")
    try:
        hello = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{error}.") from error
    return (*greeted(rt, hello), hello)


def greeted(rt: Runtime, hello: Hello) -> tuple[Site, Viewer]:
    """The site and the viewer whom a page names; raises where the key, the origin or the proof is wrong."""
    site = rt.sites.by_write_key(hello.write_key)
    if site is None:
        raise Unauthorized("Nobody gave out this write key.")
    origin = request.headers.get("Origin")
    if site.origins and origin is not None and origin not in site.origins:
        raise Forbidden("This origin is not one of the site's.")
    return site, viewer(site, hello.anonymous_id or None, hello.user_id or None, hello.user_hash)


def _rulesets(rt: Runtime) -> Rulesets:
    extensions = current_app.extensions
    if RULESETS not in extensions:
        extensions[RULESETS] = Rulesets(rt)
    found: Rulesets = extensions[RULESETS]
    return found
