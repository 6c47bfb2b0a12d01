"""What is a conversation? What one person and the site say to each other, part by part, whatever the channel."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from backend.domain.identity import derive

STATES = ("open", "snoozed", "closed")
"""Snoozed: closed until a moment, or until the visitor says something."""

PRIORITIES = ("none", "low", "medium", "high", "urgent")

AUTHORS = ("visitor", "operator", "rule", "bot", "system")

KINDS = (
    "message",  # what the other side reads
    "note",  # what operators write to each other
    "event",  # what happened to the conversation: assigned, closed, tagged, rated
)

STARTED, SENT, REPLIED, RATED = (
    "Live Chat Conversation Started",
    "Live Chat Message Sent",
    "Message Replied",
    "Live Chat Conversation Rated",
)
"""Events by which visitors speak; the first two are of Segment's live chat spec."""

SPOKEN = frozenset({SENT, REPLIED, RATED})

LONGEST_TEXT = 10_000
LONGEST_TAG = 50
MOST_TAGS = 20
RATINGS = range(1, 6)

EDITABLE_FOR = timedelta(minutes=15)
"""So long its author may change or take back a part."""

LONGEST_SNOOZE = timedelta(days=366)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """One conversation. It stays under the id of the visitor that it began with, and belongs to the person they are.

    `anonymous_id` is the browser in which it began: whoever proves nothing sees it only there. `last` is the number of
    its last part; `seen` and `read` are the last ones that the visitor and that operators have seen. `waiting_since` is
    since when the visitor waits for an answer, `answered_at` when the first one came. `opened_by` is one of `AUTHORS`,
    `message_id` the message of a rule that it answers, `preview` the beginning of what was said last.
    """

    id: str
    site_id: str
    visitor_id: str
    opened_by: str
    created_at: datetime
    last_at: datetime
    anonymous_id: str | None = None
    message_id: str | None = None
    state: str = "open"
    snoozed_until: datetime | None = None
    assignee_id: str | None = None
    department_id: str | None = None
    priority: str = "none"
    tags: tuple[str, ...] = ()
    last: int = 0
    seen: int = 0
    read: int = 0
    waiting_since: datetime | None = None
    answered_at: datetime | None = None
    closed_at: datetime | None = None
    rating: int | None = None
    remark: str | None = None
    preview: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One thing said, noted or done; `number` is its place, from 1.

    `author_id` is the id of an operator, of a rule, or of the visitor as whom somebody spoke; `channel` the way by
    which it came (chat, popup, email, api); `content` what it has beside text: a rule's rendered message,
    `attachments`, of a mail also `mail_id`, the files of it that were `refused`, and `from` where it came from another
    address than it was written to; or of an event its `event` and values.
    """

    id: str
    site_id: str
    visitor_id: str
    conversation_id: str
    number: int
    author: str
    kind: str
    channel: str
    text: str
    at: datetime
    author_id: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    edited_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """A part that is yet to get its number."""

    id: str
    author: str
    text: str
    at: datetime
    kind: str = "message"
    channel: str = "chat"
    author_id: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)


def conversation_id(site_id: str, first: str) -> str:
    """The id of the conversation that begins with the part of this id: beginning it twice makes one."""
    return derive("conversation", site_id, first)


def text_of(properties: Mapping[str, Any]) -> str:
    """What a visitor's event says, cut to what a part may hold; empty where it says nothing."""
    for name in ("message_body", "text"):
        told = properties.get(name)
        if isinstance(told, str) and told.strip():
            return told.strip()[:LONGEST_TEXT]
    return ""


def files_of(part: Part) -> list[Mapping[str, Any]]:
    """What is attached to a part: `id`, `name`, `type` and `size` of each; nothing where it was taken back."""
    told = part.content.get("attachments") if part.deleted_at is None else None
    return [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []


def refused_of(part: Part) -> list[Mapping[str, Any]]:
    """What came with a part and was not kept: `name`, `size`, and `why`."""
    told = part.content.get("refused") if part.deleted_at is None else None
    return [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []


def stranger_of(part: Part) -> str | None:
    """Who answered a mail that was not to them, by what their mail says; None where the visitor speaks themselves."""
    told = part.content.get("from") if part.author == "visitor" else None
    if not isinstance(told, Mapping):
        return None
    name, address = (str(told.get(each) or "").strip() for each in ("name", "address"))
    return f"{name} <{address}>" if name and address else name or address or "?"


def preview_of(part: Part) -> str:
    """The beginning of a part, for lists."""
    if part.deleted_at is not None:
        return ""
    told = part.text or str(part.content.get("title") or "") or _held(part.content)
    stranger = stranger_of(part)
    return " ".join((told if stranger is None else f"{stranger}: {told}").split())[:200]


def _held(content: Mapping[str, Any]) -> str:
    """The names of the files and products of a part without words."""
    listed = [content.get(name) for name in ("attachments", "products")]
    found = [each for told in listed if isinstance(told, list) for each in told if isinstance(each, Mapping)]
    return ", ".join(str(each["name"]) for each in found if each.get("name"))


def having(conversation: Conversation, part: Part) -> Conversation:
    """The conversation with one more part, as which it is numbered: whoever speaks opens it again."""
    told: dict[str, Any] = {"last": part.number, "last_at": max(part.at, conversation.last_at)}
    if part.kind == "message":
        told |= {"preview": preview_of(part), "state": "open", "snoozed_until": None, "closed_at": None}
        if part.author in ("bot", "system"):  # operators look for what a person said
            told["preview"] = conversation.preview
        if part.author == "visitor":
            told["seen"] = part.number
            told["waiting_since"] = conversation.waiting_since or part.at
        elif part.author == "operator":
            told |= {"read": part.number, "waiting_since": None}
            if conversation.waiting_since is not None and conversation.answered_at is None:
                told["answered_at"] = part.at
        else:
            told["state"] = conversation.state
            told |= {"snoozed_until": conversation.snoozed_until, "closed_at": conversation.closed_at}
    return replace(conversation, **told)


def closed(conversation: Conversation, at: datetime) -> Conversation:
    """The conversation as it is when nobody expects anything more."""
    return replace(conversation, state="closed", closed_at=at, snoozed_until=None, waiting_since=None)


def snoozed(conversation: Conversation, until: datetime) -> Conversation:
    """The conversation, out of sight until a moment."""
    return replace(conversation, state="snoozed", snoozed_until=until, closed_at=None)


def opened(conversation: Conversation) -> Conversation:
    """The conversation, in sight again."""
    return replace(conversation, state="open", snoozed_until=None, closed_at=None)


def numbered(conversation: Conversation, said: Said) -> Part:
    """What was said as the next part of this conversation."""
    return Part(
        id=said.id,
        site_id=conversation.site_id,
        visitor_id=conversation.visitor_id,
        conversation_id=conversation.id,
        number=conversation.last + 1,
        author=said.author,
        author_id=said.author_id,
        kind=said.kind,
        channel=said.channel,
        text=said.text,
        content=said.content,
        at=said.at,
    )


def for_visitors(part: Part) -> bool:
    """Whether the visitor may see it."""
    return part.kind == "message"


def chosen(
    found: Iterable[Conversation], told: object, message_id: str | None, browser: str | None, *, proven: bool
) -> Conversation | None:
    """Which of a person's conversations, the latest first, goes on with what they say; None: a new one begins.

    `told` is the id that the page gave, `message_id` the message of a rule that is answered. Who proves nothing goes on
    only with what began in their own browser, or with what they know the id of.
    """
    known = list(found)
    if isinstance(told, str):
        given = next((each for each in known if each.id == told), None)
        if given is not None:
            return given
    mine = [each for each in known if proven or (browser is not None and each.anonymous_id == browser)]
    if message_id is not None:
        answered = next((each for each in mine if each.message_id == message_id), None)
        if answered is not None:
            return answered
    return next((each for each in mine if each.state != "closed"), None)
