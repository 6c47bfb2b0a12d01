"""On the site: the page fetches what waits for it; there is nothing to hand over, only somebody to call."""

from collections.abc import Iterable
from typing import Any

from backend.domain.identity import anonymous_visitor
from backend.domain.message import ON_SITE, Message
from backend.schemas.page_message import page_message

Note = tuple[str, dict[str, Any]]


def notes(messages: Iterable[Message]) -> list[Note]:
    """For the live bus: `(visitor id, note)` for each stream that may carry one of these messages.

    Those are the person's, and that of the browser in which it began. Calling twice is harmless: pages know a
    message by its id.
    """
    found: list[Note] = []
    for message in messages:
        if message.channel not in ON_SITE:
            continue
        note = {"event": "message", "anonymous_id": message.anonymous_id, "data": page_message(message)}
        streams = {message.visitor_id}
        if message.anonymous_id is not None:
            streams.add(anonymous_visitor(message.site_id, message.anonymous_id))
        found.extend((visitor_id, note) for visitor_id in sorted(streams))
    return found
