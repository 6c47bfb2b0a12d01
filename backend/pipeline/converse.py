"""The verb `converse`: what operators say, note and change; each in one transaction, and told to all who look on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from backend.domain.attachment import told_of
from backend.domain.conversation import (
    EDITABLE_FOR,
    LONGEST_SNOOZE,
    LONGEST_TEXT,
    Conversation,
    Part,
    Said,
    closed,
    opened,
    preview_of,
    snoozed,
)
from backend.domain.photo import Face
from backend.domain.site import Site
from backend.errors import Conflict, Forbidden, Invalid, NotFound
from backend.pipeline.attach import take_away
from backend.pipeline.desk import beat
from backend.pipeline.mention import with_mentions
from backend.pipeline.note import add
from backend.pipeline.promise import Promises
from backend.pipeline.suggest import offered
from backend.pipeline.tell import tell, tell_changed
from backend.runtime import Runtime
from backend.storage import attachments, conversations, parts, visitors
from backend.storage.database import Connection

AT_ONCE = 100
"""Conversations that are opened again in one turn."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks for the site: an operator's id, name and the digest of their photo, or (without id) a token's name."""

    id: str | None
    name: str
    photo: str | None = None

    @property
    def face(self) -> Face:
        """How visitors are shown them."""
        return Face(self.name, self.photo)


def start(
    rt: Runtime, site: Site, visitor_id: str, text: str, speaker: Speaker, part_id: str | None = None
) -> tuple[Conversation, Part]:
    """Begins a conversation with a visitor; NotFound where there is none of this id."""
    now = rt.clock()
    said = _said(text, now, speaker, part_id)
    with rt.db.begin() as connection:
        profile = visitors.load_profile(connection, visitor_id)
        if profile is None or profile.site_id != site.id:
            raise NotFound("There is no such visitor.")
        known = parts.find(connection, profile.id, said.id)
        if known is not None:
            conversation, part = _repeated(connection, site, known)
        else:
            conversation = Conversation(
                id=uuid4().hex,
                site_id=site.id,
                visitor_id=profile.id,
                opened_by="operator",
                created_at=now,
                last_at=now,
                anonymous_id=profile.anonymous_ids[-1] if profile.anonymous_ids and profile.user_id is None else None,
                assignee_id=speaker.id,
            )
            conversation, part = _add(connection, conversation, said)
    if known is None or part.author_id == speaker.id:
        tell(rt, conversation, part, profile.id, speaker.face)
    return conversation, part


def say(
    rt: Runtime,
    site: Site,
    conversation_id: str,
    text: str,
    speaker: Speaker,
    *,
    kind: str = "message",
    part_id: str | None = None,
    content: Mapping[str, Any] | None = None,
    attached: Sequence[str] = (),
    products: Sequence[str] = (),
    channel: str = "chat",
) -> tuple[Conversation, Part]:
    """Adds an operator's message or note; the same `part_id` again answers what is there. NotFound, Invalid.

    `attached` are the ids of files that were sent for this conversation and not said with anything yet, `products` of
    the catalogue. A note's mentions of operators are found in its text.
    """
    told = dict(content or {}) | ({"attachments": list(attached)} if attached else {})
    told |= {"products": list(products)} if products else {}
    said = _said(text, rt.clock(), speaker, part_id, kind=kind, content=told, channel=channel)
    with rt.db.begin() as connection:
        conversation = _locked(connection, site, conversation_id)
        known = parts.find(connection, conversation.visitor_id, said.id)
        if known is not None:
            conversation, part = _repeated(connection, site, known)
        else:
            if attached:
                said = _with_files(connection, conversation, said, attached)
            if products:
                chosen = offered(connection, site, conversation.visitor_id, products)
                said = replace(said, content={**said.content, "products": chosen})
            if kind == "note":
                said = replace(said, content=with_mentions(connection, site.id, said.text, said.content))
            if kind == "message" and conversation.assignee_id is None and speaker.id is not None:
                conversation = replace(conversation, assignee_id=speaker.id)
            conversation, part = _add(connection, conversation, said)
        person_id = visitors.person_of(connection, conversation.visitor_id)
    if known is None or part.author_id == speaker.id:  # told again: who wrote it may have died before it told
        tell(rt, conversation, part, person_id, speaker.face)
    if speaker.id is not None:
        beat(rt, site.id, speaker.id, active=True)
    return conversation, part


def change(
    rt: Runtime, site: Site, conversation_id: str, changes: Mapping[str, Any], speaker: Speaker
) -> tuple[Conversation, list[Part]]:
    """Changes state, assignee, department, priority or tags; each change is a part of kind `event`. NotFound, Invalid.

    `snoozed_until` goes with the state `snoozed`.
    """
    now = rt.clock()
    with rt.db.begin() as connection:
        conversation = before = _locked(connection, site, conversation_id)
        conversation = _changed(conversation, changes, now)
        added: list[Part] = []
        for told in _differences(before, conversation):
            said = Said(
                id=uuid4().hex,
                author="operator",
                author_id=speaker.id,
                kind="event",
                text="",
                at=now,
                channel="api",
                content=told | {"by": speaker.name},
            )
            conversation, part = _add(connection, conversation, said)
            added.append(part)
        person_id = visitors.person_of(connection, conversation.visitor_id)
    for part in added:
        tell(rt, conversation, part, person_id, speaker.face)
    return conversation, added


def awake(rt: Runtime) -> int:
    """Opens the conversations whose snooze is over; returns how many."""
    now = rt.clock()
    with rt.db.read() as connection:
        due = conversations.awake(connection, now, AT_ONCE)
    for each in due:
        with rt.db.begin() as connection:
            found = conversations.find(connection, each.site_id, each.id, lock=True)
            if found is None or found.snoozed_until is None or found.snoozed_until > now:
                continue
            content = {"event": "state", "to": "open"}
            said = Said(id=uuid4().hex, author="system", kind="event", text="", at=now, channel="api", content=content)
            conversation, part = _add(connection, opened(found), said)
            person_id = visitors.person_of(connection, conversation.visitor_id)
        tell(rt, conversation, part, person_id, None)
    return len(due)


def edit(rt: Runtime, site: Site, conversation_id: str, number: int, text: str, speaker: Speaker) -> Part:
    """Puts another text into a part of one's own of the last minutes. NotFound, Forbidden, Conflict, Invalid."""

    def work(part: Part, now: datetime) -> Part:
        return replace(part, text=_text(text), edited_at=now)

    return _rewrite(rt, site, conversation_id, number, speaker, work)


def take_back(rt: Runtime, site: Site, conversation_id: str, number: int, speaker: Speaker) -> Part:
    """Takes back a part of one's own of the last minutes: its place stays, its text is gone. Errors as above."""

    def work(part: Part, now: datetime) -> Part:
        return replace(part, text="", content={}, deleted_at=now)

    part = _rewrite(rt, site, conversation_id, number, speaker, work)
    take_away(rt, part.visitor_id, part.id)
    return part


def mark_read(rt: Runtime, site: Site, conversation_id: str, number: int) -> Conversation:
    """Notes that operators have read up to this part. NotFound."""
    with rt.db.begin() as connection:
        conversation = _locked(connection, site, conversation_id)
        changed = conversations.read(connection, conversation, number)
        conversation = replace(conversation, read=max(conversation.read, min(number, conversation.last)))
        person_id = visitors.person_of(connection, conversation.visitor_id)
    if changed:
        tell_changed(rt, conversation, person_id)
    return conversation


def _rewrite(
    rt: Runtime,
    site: Site,
    conversation_id: str,
    number: int,
    speaker: Speaker,
    work: Callable[[Part, datetime], Part],
) -> Part:
    now = rt.clock()
    with rt.db.begin() as connection:
        conversation = _locked(connection, site, conversation_id)
        found = parts.list_parts(connection, conversation, after=number - 1, before=number + 1, limit=1)
        if not found:
            raise NotFound("There is no such part.")
        part = found[0]
        if part.kind == "event" or part.author != "operator" or part.author_id != speaker.id:
            raise Forbidden("Only its author may change a part.")
        if part.deleted_at is not None:
            raise Conflict("This part was taken back.")
        if now - part.at > EDITABLE_FOR:
            minutes = int(EDITABLE_FOR.total_seconds() // 60)
            raise Conflict(f"A part may be changed within {minutes} minutes; this one is older.")
        part = work(part, now)
        if part.kind == "note":
            part = replace(part, content=with_mentions(connection, site.id, part.text, part.content))
        parts.save(connection, part)
        Promises(connection, now).mention(part)
        if number == conversation.last:
            conversation = replace(conversation, preview=preview_of(part))
            conversations.save(connection, conversation)
        person_id = visitors.person_of(connection, conversation.visitor_id)
    tell(rt, conversation, part, person_id, speaker.face, again=True)
    return part


def _changed(conversation: Conversation, changes: Mapping[str, Any], now: datetime) -> Conversation:
    plain = {name: changes[name] for name in ("assignee_id", "department_id", "priority") if name in changes}
    if "tags" in changes:
        plain["tags"] = tuple(dict.fromkeys(changes["tags"]))
    after = replace(conversation, **plain)
    state, until = changes.get("state", after.state), changes.get("snoozed_until")
    if state == "snoozed" and ("state" in changes or until is not None):
        if until is None or not now < until <= now + LONGEST_SNOOZE:
            raise Invalid("Until when?", {"snoozed_until": ["A moment in the future, within a year."]})
        return snoozed(after, until)
    if until is not None:
        raise Invalid("Only what is snoozed has an end.", {"snoozed_until": ["Goes with the state snoozed."]})
    if state == "closed" and after.state != "closed":
        return closed(after, now)
    return opened(after) if state == "open" and after.state != "open" else after


def _differences(before: Conversation, after: Conversation) -> list[dict[str, Any]]:
    """What was changed, each as the content of an event."""
    found: list[dict[str, Any]] = []
    if (before.state, before.snoozed_until) != (after.state, after.snoozed_until):
        until = None if after.snoozed_until is None else after.snoozed_until.isoformat()
        found.append({"event": "state", "to": after.state, **({"until": until} if until else {})})
    for name, attribute in (("assigned", "assignee_id"), ("department", "department_id"), ("priority", "priority")):
        if getattr(before, attribute) != getattr(after, attribute):
            found.append({"event": name, "to": getattr(after, attribute)})
    if before.tags != after.tags:
        found.append({"event": "tags", "to": list(after.tags)})
    return found


def _said(text: str, at: datetime, speaker: Speaker, part_id: str | None, **more: Any) -> Said:
    content = more.get("content", {})
    told = _text(text, empty=bool(content.get("attachments") or content.get("products")))
    return Said(id=part_id or uuid4().hex, author="operator", author_id=speaker.id, text=told, at=at, **more)


def _with_files(connection: Connection, conversation: Conversation, said: Said, ids: Sequence[str]) -> Said:
    found = attachments.bind(connection, [conversation.visitor_id], ids, said.id)
    if len(found) < len(set(ids)):
        raise Invalid(
            "Some files are not there.", {"attachments": ["Must be files of this conversation, not said yet."]}
        )
    return replace(said, content={**said.content, "attachments": [told_of(each) for each in found]})


def _text(text: str, *, empty: bool = False) -> str:
    told = text.strip()
    if not told and not empty:
        raise Invalid("There is nothing in it.", {"body": ["Must not be empty."]})
    if len(told) > LONGEST_TEXT:
        raise Invalid("It is too long.", {"body": [f"At most {LONGEST_TEXT:,} characters."]})
    return told


def _add(connection: Connection, conversation: Conversation, said: Said) -> tuple[Conversation, Part]:
    after, part = add(connection, conversation, said)
    Promises(connection, part.at).take(conversation, after, part)
    return after, part


def _locked(connection: Connection, site: Site, conversation_id: str) -> Conversation:
    found = conversations.find(connection, site.id, conversation_id, lock=True)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


def _repeated(connection: Connection, site: Site, part: Part) -> tuple[Conversation, Part]:
    conversation = conversations.find(connection, site.id, part.conversation_id)
    assert conversation is not None
    return conversation, part
