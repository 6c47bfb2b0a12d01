"""What is a notice? A few lines that call an operator, whose console may be closed, to a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.domain.conversation import Conversation, Part
from backend.domain.identity import derive

USELESS_AFTER = timedelta(hours=1)
"""Whoever waits longer is told of by mail."""

SELDOM = timedelta(hours=1)
"""The least time between two mails to an operator."""

MOST_LISTED = 20
LONGEST = 120
"""Characters of what is quoted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """A browser in which an operator wants to be called: its push service's address, and keys (base64url).

    `session` is the login in which they said so, with whose end it ends; None: it was told through the API.
    """

    id: str
    site_id: str
    operator_id: str
    endpoint: str
    p256dh: str
    auth: str
    created_at: datetime
    session: str | None = None


def subscription_id(endpoint: str) -> str:
    """The id of a browser's subscription: whoever subscribes in it last is called there."""
    return derive("push", endpoint)


def called(before: Conversation, after: Conversation, part: Part) -> bool:
    """Whether this new part calls operators: somebody begins to wait, or is handed to a colleague while they wait."""
    if after.waiting_since is None:
        return False
    if part.kind == "event":
        given = part.content.get("event") == "assigned" and after.assignee_id is not None
        return given and part.author_id != after.assignee_id
    return part.kind == "message" and part.author == "visitor" and before.waiting_since is None


def mention_body(conversation: Conversation, part: Part, name: str | None, site: str) -> dict[str, Any]:
    """What the service worker gets where a colleague (called `name`) mentions an operator in a note."""
    return {
        "title": f"{cut(name or 'A colleague')} mentions you · {cut(site)}",
        "body": cut(part.text),
        "conversation_id": conversation.id,
        "site_id": conversation.site_id,
        "at": part.at.isoformat(),
    }


def notice_body(conversation: Conversation, name: str | None, site: str) -> dict[str, Any]:
    """What the console's service worker gets; it shows title and body, and opens the conversation when clicked."""
    return {
        "title": f"{cut(name or 'A visitor')} · {cut(site)}",
        "body": cut(conversation.preview),
        "conversation_id": conversation.id,
        "site_id": conversation.site_id,
        "at": None if conversation.waiting_since is None else conversation.waiting_since.isoformat(),
    }


def cut(text: str) -> str:
    """The text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def digest_lines(
    waiting: Sequence[Conversation], names: Mapping[str, str], sites: Mapping[str, str], now: datetime
) -> list[str]:
    """A mail's lines about conversations that wait: who, since when, on which site, and what they said."""
    told = []
    for each in waiting[:MOST_LISTED]:
        assert each.waiting_since is not None
        minutes = int((now - each.waiting_since).total_seconds() // 60)
        since = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
        who, site = cut(names.get(each.id) or "A visitor"), cut(sites.get(each.site_id, ""))
        told.append(f"{who} ({site}), for {since}: {cut(each.preview)}")
    if len(waiting) > MOST_LISTED:
        told.append(f"… and {len(waiting) - MOST_LISTED} more.")
    return told
