"""What is a message? One thing said, or about to be said, to one visitor through one channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CHANNELS = ("popup", "chat", "email")
"""Every way to reach somebody that is served."""

ON_SITE = frozenset({"popup", "chat"})
"""Channels whose messages the page fetches; all others are handed over by a worker."""

DISPLAYS = ("teaser", "window", "at_once")
"""How a pop-up comes into sight: as a small bubble that opens into the window, as the window, or as the window without
waiting for a calm moment, where it answers what the visitor just did."""

STATUSES = (
    "queued",  # promised: waits for the page, or for a worker
    "claimed",  # a worker has it and has not begun to hand it over: safe to try again
    "sending",  # being handed over: if the worker dies now, nobody can tell
    "sent",
    "shown",
    "clicked",
    "dismissed",
    "replied",
    "failed",  # refused for good, or given up
    "skipped",  # a gate closed between the decision and the sending
    "unknown",  # the answer was lost on the way; not sent again
    "expired",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message. `content` is rendered text by name (title, body, button, subject, …).

    `anonymous_id` is the browser whose event led to it; `address` the mail address for e-mail; `due_at` when it is to
    be tried next; `step` the step of the rule that says it.
    """

    id: str
    site_id: str
    visitor_id: str
    rule_id: str
    enrolment_id: str
    channel: str
    variant: str
    content: Mapping[str, Any]
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    status: str = "queued"
    reason: str | None = None
    anonymous_id: str | None = None
    address: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    shown_at: datetime | None = None
    clicked_at: datetime | None = None
    dismissed_at: datetime | None = None
    replied_at: datetime | None = None
    reply: str | None = None
    step: str = ""
