"""Conversations as files: all of a site as lines, and one as a page that can be read, printed and passed on."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from backend.domain.calendar.zone import zone_of
from backend.domain.conversation import Conversation, Part, stranger_of
from backend.domain.site import Site
from backend.pipeline.promise import visitor_name
from backend.runtime import Runtime
from backend.schemas.conversation import ConversationOut, PartOut, conversation_view, part_view
from backend.storage import operators, talk_exports, visitors
from backend.storage.database import Connection
from backend.web.api.looks import Notes

AT_ONCE = 100
"""Conversations in memory at a time."""

VISIBLE = ("message",)
"""What visitors may read of a conversation."""

_STYLE = Path(__file__).parents[1] / "pages" / "conversation.css"
_conversation, _part = ConversationOut(), PartOut()


def lines(
    rt: Runtime, site: Site, since: datetime | None, until: datetime | None, *, notes: bool, noted: Notes
) -> Iterator[str]:
    """Each conversation as a line, with its parts behind it; who is in a piece is noted before it leaves."""
    note_piece, note_whole = noted
    after, shown = ("", ""), 0
    try:
        while True:
            with rt.db.read() as connection:
                group = talk_exports.piece(connection, site.id, after, AT_ONCE, since, until)
            if not group:
                return
            note_piece(each.visitor_id for each in group)
            shown += len(group)
            yield from thread_lines(rt, group, notes=notes)
            after = (group[-1].visitor_id, group[-1].id)
    finally:
        note_whole(shown)


def thread_lines(rt: Runtime, group: Sequence[Conversation], *, notes: bool) -> Iterator[str]:
    """These conversations as lines, each with its parts behind it: `record` is conversation or part."""
    told = iter(group)
    current: Conversation | None = None
    with rt.db.read() as connection:
        for piece in talk_exports.parts_of(connection, group, None if notes else VISIBLE):
            names = operators.names(connection, {each.author_id for each in piece if each.author_id is not None})
            for part in piece:
                while current is None or current.id != part.conversation_id:
                    current = next(told)  # in the same order, so that one without parts comes by too
                    yield _line("conversation", _conversation.dump(conversation_view(current)))
                name = names.get(part.author_id or "") if part.author == "operator" else None
                yield _line("part", _part.dump(part_view(part)) | {"author_name": name})
    for rest in told:
        yield _line("conversation", _conversation.dump(conversation_view(rest)))


def _line(record: str, told: Mapping[str, Any]) -> str:
    return json.dumps({"record": record, **told}, ensure_ascii=False) + "\n"


@cache
def style() -> tuple[Markup, str]:
    """The style of the page, and the policy under which a browser shows it: nothing but that style may come in."""
    text = _STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"  # noqa: S704  # our own file


def page_values(rt: Runtime, site: Site, conversation: Conversation, *, notes: bool) -> dict[str, Any]:
    """What the template `conversation.html` shows; its parts come as they are asked for."""
    zone = zone_of(site.timezone)
    with rt.db.read() as connection:
        profile = visitors.load_profile(connection, conversation.visitor_id)
        names = operators.names(connection, {conversation.assignee_id} - {None})  # type: ignore[arg-type]
    who = visitor_name(profile) or "a visitor"
    facts: list[tuple[str, str | None]] = [
        ("Site", site.name),
        ("Began", _shown(conversation.created_at, zone)),
        ("State", conversation.state),
    ]
    if notes:
        facts += [("Answered by", names.get(conversation.assignee_id or "")), ("Tags", ", ".join(conversation.tags))]
    facts.append(("Rating", f"{conversation.rating} of 5" if conversation.rating is not None else None))
    facts.append(("Remark", conversation.remark))
    looks, policy = style()
    return {
        "who": who,
        "facts": [(name, value) for name, value in facts if value],
        "parts": _shown_parts(rt, conversation, who, zone, notes=notes),
        "style": looks,
        "policy": policy,
    }


def _shown_parts(
    rt: Runtime, conversation: Conversation, who: str, zone: tzinfo, *, notes: bool
) -> Iterator[dict[str, Any]]:
    with rt.db.read() as connection:
        for piece in talk_exports.parts_of(connection, [conversation], None if notes else VISIBLE):
            names = _names(connection, piece)
            files = talk_exports.file_names(connection, {each for part in piece for each in _files(part)})
            for part in piece:
                yield {
                    "look": part.kind if part.kind != "message" else part.author,
                    "author": _author(part, who, names),
                    "at": part.at.isoformat(),
                    "shown_at": _shown(part.at, zone),
                    "edited": part.edited_at is not None,
                    "gone": part.deleted_at is not None,
                    "title": part.content.get("title"),
                    "text": part.text,
                    "files": [files.get(each, each) for each in _files(part)],
                    "event": _event(part, who, names) if part.kind == "event" else None,
                }


def _names(connection: Connection, piece: Sequence[Part]) -> dict[str, str]:
    ids = [each.author_id for each in piece] + [each.content.get("to") for each in piece if each.kind == "event"]
    return operators.names(connection, {each for each in ids if isinstance(each, str)})


def _author(part: Part, who: str, names: Mapping[str, str]) -> str:
    if part.author == "visitor":
        return stranger_of(part) or who
    return names.get(part.author_id or "") or {"operator": "Operator", "rule": "Message"}.get(part.author, "chimein")


def _event(part: Part, who: str, names: Mapping[str, str]) -> str:
    """One line about what happened to the conversation."""
    told, by = part.content, part.content.get("by") or _author(part, who, names)
    what, to = told.get("event"), told.get("to")
    if what == "rated":
        return f"{who} gave {told.get('rating')} of 5" + (f": {part.text}" if part.text else "")
    if what == "state":
        return f"{by}: {to}"
    if "to" not in told:
        return f"{by}: {str(what).replace('_', ' ')}"
    if isinstance(to, list):
        to = ", ".join(map(str, to))
    return f"{by}: {what} {names.get(str(to), to) if to else 'nobody' if what == 'assigned' else 'none'}"


def _files(part: Part) -> list[str]:
    """What is attached: ids, or where the part itself says so, names."""
    told = part.content.get("attachments")
    found = [each.get("name") or each.get("id") if isinstance(each, dict) else each for each in told or ()]
    return [str(each)[:255] for each in found if each]


def _shown(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
