"""The console's stream, `GET /console/SITE/stream` of the process `live`: what happens on a site, to who is logged in.

It begins with `hello`, at which the page looks again: what happened before nobody told it. A `beat` follows whenever
nothing else was told for a while, so that a page notices that its stream has died without a word.
"""

import json
from collections.abc import Iterator

from flask import Blueprint, Response, g, request

from backend.domain.site import Site
from backend.errors import ChimeinError
from backend.pipeline.desk import beat
from backend.pipeline.tell import desk_of, seat_of
from backend.runtime import Runtime
from backend.storage import console_sessions, operators
from backend.storage.live import Subscription
from backend.web.console import guard
from backend.web.context import runtime
from backend.web.errors import answer

blueprint = Blueprint("console_stream", __name__, url_prefix="/console")

HEARTBEAT_SECONDS = 15.0
RETRY_MS = 2_000


@blueprint.get("/<site>/stream")
def stream(site: str) -> Response:
    """Frames of what operators of this site are told, until one side hangs up or may no longer listen."""
    rt = runtime()
    try:
        operator = guard.seat()
        found = guard.enter(operator, site)
        beat(rt, found.id, operator.id, active=True)
        subscription = rt.live.subscribe([desk_of(found.id), seat_of(operator.id)])
    except ChimeinError as error:
        return _readable(answer(error))
    frames = _frames(rt, found, operator.id, guard.cookie(guard.SESSION), subscription)
    reply = Response(frames, mimetype="text/event-stream")
    reply.call_on_close(lambda: rt.live.unsubscribe(subscription))
    reply.headers["Cache-Control"] = "no-store"
    reply.headers["X-Accel-Buffering"] = "no"
    return _readable(reply)


def _frames(rt: Runtime, site: Site, operator_id: str, text: str, subscription: Subscription) -> Iterator[str]:
    checked = rt.clock()
    try:
        yield f"retry: {RETRY_MS}\n\nevent: hello\ndata: {json.dumps({'beat': HEARTBEAT_SECONDS})}\n\n"
        while not subscription.closed:
            note = subscription.next(HEARTBEAT_SECONDS)
            moved = note is not None and note["event"] == "moved"  # they may be something else now, or nobody
            if moved and not _still(rt, site, text):
                return
            if (now := rt.clock()) and (now - checked).total_seconds() >= HEARTBEAT_SECONDS - 1:
                checked = now
                if not _still(rt, site, text):
                    return
                beat(rt, site.id, operator_id, active=False)
            if note is None or moved:
                yield "event: beat\ndata: {}\n\n"
            else:
                yield f"event: {note['event']}\ndata: {json.dumps(note['data'])}\n\n"
    finally:
        rt.live.unsubscribe(subscription)


def _still(rt: Runtime, site: Site, text: str) -> bool:
    """Whether the session goes on, and its operator is still something on this site."""
    with rt.db.read() as connection:
        session = console_sessions.find(connection, rt.sites.vault, text, rt.clock())
        found = None if session is None else operators.find(connection, session.operator_id)
    return found is not None and found.on(site.id) is not None


def _readable(reply: Response) -> Response:
    """The reply, readable for the console's own pages, which come from the other port of this host."""
    g.pop("new_form_cookie", None)
    if request.headers.get("Origin") == runtime().settings.public_url:
        reply.headers["Access-Control-Allow-Origin"] = runtime().settings.public_url
        reply.headers["Access-Control-Allow-Credentials"] = "true"
    reply.headers["Vary"] = "Origin"
    return reply
