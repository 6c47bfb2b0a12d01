"""What is a hook? What a site wants its own systems to be told of conversations, as soon as it happens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.conversation import Conversation, Part

OPENED, SAID, ASSIGNED, CLOSED, RATED, WAITING = EVENTS = (
    "conversation.opened",
    "conversation.part",  # a message, of whomever
    "conversation.assigned",
    "conversation.closed",
    "conversation.rated",
    "conversation.waiting",  # its visitor begins to wait for an answer
)

FORMATS = ("chimein", "slack")

MOST_HOOKS = 20
LONGEST_SLACK = 2_900
"""Characters of what was said, of which Slack shows some 3,000."""

_HEADLINES = {
    OPENED: "New conversation with {who}",
    SAID: "{author} wrote",
    ASSIGNED: "The conversation with {who} was assigned",
    CLOSED: "The conversation with {who} was closed",
    RATED: "{who} gave {rating} of 5",
    WAITING: "{who} waits for an answer",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """One address and the events that it is told of; `format` is one of `FORMATS`."""

    id: str
    site_id: str
    url: str
    events: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    format: str = "chimein"
    active: bool = True


def happened(before: Conversation, after: Conversation, part: Part) -> tuple[str, ...]:
    """Which of the events this new part is. What operators note for each other is none."""
    found = [OPENED] if part.number == 1 else []
    if part.kind == "message":
        found.append(SAID)
        if part.author == "visitor" and before.waiting_since is None and after.waiting_since is not None:
            found.append(WAITING)
    elif part.kind == "event":
        told = part.content.get("event")
        if told == "assigned":
            found.append(ASSIGNED)
        elif told == "state" and part.content.get("to") == "closed":
            found.append(CLOSED)
        elif told == "rated":
            found.append(RATED)
    return tuple(found)


_MENTION = re.compile(r"(?<![\w.+-])@(?=\w)")


def slack_body(body: Mapping[str, Any], url: str) -> dict[str, str]:
    """What Slack and its like are told: a headline that leads to `url`, and what was said as a quotation.

    `body` is that of the webhook. Nothing that anybody wrote can mention people, link elsewhere under another name, or
    look like a line of ours.
    """
    visitor, part = body["visitor"], body["part"]
    who = slack_escaped(" ".join(str(visitor.get("name") or "A visitor").split())[:100]).replace("|", "¦")
    author = who if part["author"] == "visitor" else "The site"
    rating = part["content"].get("rating")
    headline = _HEADLINES[body["type"]].format(who=who, author=author, rating=rating)
    lines = str(part["text"] or part["content"].get("title") or "")[:LONGEST_SLACK].splitlines()
    quoted = [f"> {slack_escaped(line)}" for line in lines if line.strip()]
    return {"text": "\n".join([f"<{url}|{headline}>", *quoted])}


def slack_escaped(text: str) -> str:
    """The text without what Slack reads as its own: `&`, `<` and `>` written as Slack asks for.

    Others of its kind (Mattermost, Rocket.Chat) call whoever a bare `@name` means: with something invisible in it, it
    is a text. Addresses of mail stay as they are.
    """
    return _MENTION.sub("@\u2060", text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
