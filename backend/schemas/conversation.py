"""How a conversation and its parts are written: in the API, and for the page."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError, fields, validate

from backend.domain.attachment import MOST_IN_A_PART
from backend.domain.conversation import (
    KINDS,
    LONGEST_TAG,
    LONGEST_TEXT,
    MOST_TAGS,
    PRIORITIES,
    STATES,
    Conversation,
    Part,
    stranger_of,
)
from backend.domain.offer import MOST_IN_A_PART as OFFERED
from backend.domain.photo import Face
from backend.schemas.fields import Line, Moment, StrictSchema, Whole, format_moment
from backend.schemas.page import LARGEST, USUAL, Limit, PageQuery

_PART_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)


class PartOut(StrictSchema):
    """One thing said, noted or done."""

    id = fields.String()
    conversation_id = fields.String()
    number = fields.Integer(metadata={"description": "Its place in the conversation, from 1."})
    author = fields.String(metadata={"enum": ["visitor", "operator", "rule", "bot", "system"]})
    author_id = fields.String(allow_none=True, metadata={"description": "The id of an operator, a rule, or a visitor."})
    kind = fields.String(metadata={"enum": list(KINDS), "description": "A note is read by operators only."})
    channel = fields.String(metadata={"enum": ["chat", "popup", "email", "api"]})
    text = fields.String()
    content = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "A rule's message as it was shown, `attachments`, `products` of the catalogue "
            "(`product_id`, `name`, `price`, `currency`, `url`, `image_url`), of a note the operators whom it mentions "
            "(`mentions`), or of an event `event` with its values. "
            "Of what a bot promises `promise` (closed, busy), `opens_at`, and `ask` (email: where there is no "
            "address). Of a mail `from`, where it came from another address than it was written to, and `refused`: the "
            "files that were not kept, with `why` (kind, size, number, day)."
        },
    )
    at = Moment()
    edited_at = Moment(allow_none=True)
    deleted_at = Moment(allow_none=True)


class ConversationOut(StrictSchema):
    """One conversation with one person, whatever the channel."""

    id = fields.String()
    visitor_id = fields.String()
    opened_by = fields.String(metadata={"enum": ["visitor", "operator", "rule"]})
    message_id = fields.String(allow_none=True, metadata={"description": "The message of a rule that it answers."})
    state = fields.String(metadata={"enum": list(STATES)})
    snoozed_until = Moment(allow_none=True)
    assignee_id = fields.String(allow_none=True)
    department_id = fields.String(allow_none=True)
    priority = fields.String(metadata={"enum": list(PRIORITIES)})
    tags = fields.List(fields.String())
    created_at = Moment()
    last_at = Moment(metadata={"description": "When something was said or done last."})
    last = fields.Integer(metadata={"description": "The number of its last part."})
    seen = fields.Integer(metadata={"description": "The last part that the visitor has seen."})
    read = fields.Integer(metadata={"description": "The last part that an operator has read."})
    waiting_since = Moment(allow_none=True, metadata={"description": "Since when the visitor waits for an answer."})
    answered_at = Moment(allow_none=True, metadata={"description": "When the first answer came."})
    closed_at = Moment(allow_none=True)
    rating = fields.Integer(allow_none=True, metadata={"minimum": 1, "maximum": 5})
    remark = fields.String(allow_none=True)
    preview = fields.String(metadata={"description": "The beginning of what was said last."})


class SpokenOut(StrictSchema):
    """A conversation, and the part that was just added."""

    conversation = fields.Nested(ConversationOut)
    part = fields.Nested(PartOut)


class ConversationQuery(PageQuery):
    """Which conversations to list."""

    state = fields.String(validate=validate.OneOf(STATES))
    assignee = fields.String(metadata={"description": "An operator's id, or `none`."})
    department = fields.String(metadata={"description": "The id of a department."})
    tag = fields.String()
    visitor = fields.String(metadata={"description": "The id of a visitor."})
    q = fields.String(
        validate=validate.Length(max=200), metadata={"description": "Words, each of which stands in one of its parts."}
    )


class PartQuery(StrictSchema):
    """Which parts to list: the latest ones, in order."""

    limit = Limit(load_default=USUAL, metadata={"minimum": 1, "maximum": LARGEST})
    before = Whole(validate=validate.Range(min=1), metadata={"description": "Only those before this number."})
    after = Whole(validate=validate.Range(min=0), metadata={"description": "Only those behind this number."})


class PartsOut(StrictSchema):
    """Parts in order; there are earlier ones where `more` is true."""

    items = fields.List(fields.Nested(PartOut))
    more = fields.Boolean()


def _part_id(text: str) -> None:
    if _PART_ID.fullmatch(text) is None:
        raise ValidationError("8 to 64 letters, digits, - or _.")


class AttachmentQuery(StrictSchema):
    """What a file is called."""

    name = Line(longest=255, required=True, metadata={"description": "The file's name.", "example": "invoice.pdf"})


class AttachmentOut(StrictSchema):
    """A file that can be said with an answer."""

    id = fields.String()
    name = fields.String()
    type = fields.String(metadata={"description": "Known by its content.", "example": "application/pdf"})
    size = fields.Integer(metadata={"description": "Bytes."})
    url = fields.String(metadata={"description": "Where it lies for a day."})


class PartIn(StrictSchema):
    """What an operator says, or notes."""

    body = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))
    attachments = fields.List(
        fields.String(validate=validate.Length(max=64)),
        load_default=[],
        validate=validate.Length(max=MOST_IN_A_PART),
        metadata={"description": "Ids of files that were sent for this conversation; then `body` may be empty."},
    )
    products = fields.List(
        fields.String(validate=validate.Length(max=255)),
        load_default=[],
        validate=validate.Length(max=OFFERED),
        metadata={"description": "Ids of products of the catalogue, shown with picture, price and link."},
    )
    kind = fields.String(load_default="message", validate=validate.OneOf(("message", "note")))
    id = fields.String(
        validate=_part_id, metadata={"description": "An id of your own: the same one again adds nothing."}
    )


class ConversationIn(StrictSchema):
    """A conversation that an operator begins."""

    visitor = fields.String(required=True, metadata={"description": "The id of a visitor."})
    body = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))
    id = fields.String(validate=_part_id, metadata={"description": "An id of your own for its first part."})


class ConversationPatch(StrictSchema):
    """What to change."""

    state = fields.String(validate=validate.OneOf(STATES))
    snoozed_until = Moment(metadata={"description": "Goes with the state snoozed."})
    assignee_id = fields.String(allow_none=True)
    department_id = fields.String(allow_none=True)
    priority = fields.String(validate=validate.OneOf(PRIORITIES))
    tags = fields.List(Line(longest=LONGEST_TAG), validate=validate.Length(max=MOST_TAGS))


class PartPatch(StrictSchema):
    """Another text for a part."""

    body = fields.String(required=True, validate=validate.Length(max=LONGEST_TEXT))


class ReadIn(StrictSchema):
    """How far somebody has read."""

    number = Whole(required=True, validate=validate.Range(min=0))


_CONVERSATION = tuple(ConversationOut().fields)
_PART = tuple(PartOut().fields)
_SPOKEN = SpokenOut()
_RULES = ("title", "body", "button", "image", "answers", "display", "promise", "opens_at", "ask")


def conversation_view(conversation: Conversation) -> dict[str, Any]:
    """The conversation as `ConversationOut` dumps it."""
    return {name: getattr(conversation, name) for name in _CONVERSATION}


def part_view(part: Part) -> dict[str, Any]:
    """The part as `PartOut` dumps it."""
    return {name: getattr(part, name) for name in _PART}


def desk_note(conversation: Conversation, part: Part) -> dict[str, Any]:
    """A new or changed part with its conversation, as a console is told of it."""
    told: dict[str, Any] = _SPOKEN.dump({"conversation": conversation_view(conversation), "part": part_view(part)})
    return told


def page_thread(
    conversation: Conversation, told: Sequence[Part], faces: Mapping[str, Face], unread: int
) -> dict[str, Any]:
    """A conversation as a page is told of it, with its latest parts; `faces` are the operators' by id, with addresses
    of their photos."""
    face = faces.get(conversation.assignee_id or "")
    return {
        "id": conversation.id,
        "state": "closed" if conversation.state == "closed" else "open",
        "created_at": format_moment(conversation.created_at),
        "last_at": format_moment(conversation.last_at),
        "operator": None if face is None else face.name,
        "photo": None if face is None else face.photo,
        "last": conversation.last,
        "seen": conversation.seen,
        "read": conversation.read,
        "unread": unread,
        "rating": conversation.rating,
        "parts": [page_part(each, faces.get(each.author_id or "")) for each in told],
    }


def page_part(part: Part, face: Face | None) -> dict[str, Any]:
    """The part as a page is told of it; `face` is who speaks for the site, where that is somebody, with the address of
    their photo."""
    told = (*_RULES, "attachments", "products", "refused")
    content = {key: part.content[key] for key in told if key in part.content}
    stranger = stranger_of(part)
    shown = face if face is not None and part.author == "operator" else None
    return {
        "id": part.id,
        "conversation_id": part.conversation_id,
        "number": part.number,
        "author": part.author if stranger is None else "stranger",
        "name": shown.name if shown is not None else stranger,
        "photo": shown.photo if shown is not None else None,
        "channel": part.channel,
        "text": part.text,
        "content": content,
        "at": format_moment(part.at),
        "edited": part.edited_at is not None,
        "deleted": part.deleted_at is not None,
    }
