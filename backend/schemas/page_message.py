"""How a message is written for the page (contract, section 6)."""

from datetime import datetime
from typing import Any

from backend.domain.message import Message


def page_message(message: Message) -> dict[str, Any]:
    """What the widget reads: plain text and links; `answers` and `display` where given."""
    content = message.content
    return {
        "id": message.id,
        "channel": message.channel,
        "rule_id": message.rule_id,
        "variant": message.variant,
        "title": content.get("title"),
        "body": content.get("body"),
        "button": content.get("button"),
        "image": content.get("image"),
        "created_at": _moment(message.created_at),
        "expires_at": _moment(message.expires_at),
        **{name: content[name] for name in ("answers", "display") if name in content},
    }


def conversation_item(message: Message) -> dict[str, Any]:
    """A message that was seen, with the moment, and what was replied to it."""
    return {
        **page_message(message),
        "shown_at": None if message.shown_at is None else _moment(message.shown_at),
        "reply": message.reply,
        "replied_at": None if message.replied_at is None else _moment(message.replied_at),
    }


def conversation_note(
    user_id: str | None, anonymous_id: str | None, unread: list[str], talks: list[dict[str, Any]]
) -> dict[str, Any]:
    """That this user, or this browser, has conversations, which messages were never opened, and how far each talk is.

    Not what was said.
    """
    return {"id": "conversation", "user_id": user_id, "anonymous_id": anonymous_id, "unread": unread, "talks": talks}


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
