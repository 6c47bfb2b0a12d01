"""The step `hear`: what visitors say becomes parts of their conversations, in the transaction that folds their events.

So a part that the collector has accepted is kept once, and in the order in which it was said, whoever dies when.
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from backend.domain.attachment import MOST_IN_A_PART, told_of
from backend.domain.conversation import (
    RATED,
    RATINGS,
    REPLIED,
    Conversation,
    Part,
    Said,
    chosen,
    conversation_id,
    having,
    numbered,
    text_of,
)
from backend.domain.event import SIGNAL, Event
from backend.domain.message import ON_SITE, Message
from backend.domain.profile import Profile
from backend.pipeline.promise import Promises
from backend.storage import attachments, conversations, messages, parts, visitors
from backend.storage.database import Connection
from backend.storage.webhooks import Ref

LONG_AGO = datetime.min.replace(tzinfo=UTC)

AT_ONCE = 200
"""Persons whose conversations are read and written together."""

MOST = 100
"""Conversations of a person among which the one that goes on is looked for."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What somebody said: `home` is the visitor whom the event itself names."""

    person_id: str
    home: str
    site_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Heard:
    """A part that is new, the conversation as it is with it, whose it is, and the webhooks that tell of it."""

    conversation: Conversation
    part: Part
    person_id: str
    promised: Sequence[Ref] = ()


def hear(connection: Connection, profiles: Mapping[str, Profile], spoken: Sequence[Spoken]) -> list[Heard]:
    """Writes what was said, in order of time; returns the parts that are new."""
    groups: dict[str, list[Spoken]] = {}
    for each in sorted(spoken, key=lambda each: each.event.moment):
        if each.person_id in profiles:
            groups.setdefault(each.person_id, []).append(each)
    promises = Promises(connection, max((each.event.received_at for each in spoken), default=LONG_AGO))
    heard: list[Heard] = []
    persons = sorted(groups)  # in one order, so that two workers cannot wait for each other
    for start in range(0, len(persons), AT_ONCE):
        some = [(profiles[each], groups[each]) for each in persons[start : start + AT_ONCE]]
        heard.extend(_hear(connection, some, promises))
    return heard


def _hear(
    connection: Connection, persons: Sequence[tuple[Profile, Sequence[Spoken]]], promises: Promises
) -> list[Heard]:
    """What these persons said, each in order of time."""
    members = {profile.id: visitors.members_of(profile) for profile, _ in persons}
    everybody = [each for own in members.values() for each in own]
    found = conversations.lock_of_visitors(connection, everybody)
    known = parts.known(connection, everybody, [each.event.message_id for _, told in persons for each in told])
    ledger = _Ledger({each.id for own in found.values() for each in own})
    for profile, told in persons:
        own = [each for member in members[profile.id] for each in found.get(member, ())]
        _Listener(connection, profile.id, members[profile.id], own, promises, ledger).take(told, known)
    ledger.write(connection)
    return ledger.heard


class _Ledger:
    """What a transaction adds to conversations, to be written at once; `stored` are the ids of those that are there."""

    def __init__(self, stored: Collection[str]) -> None:
        self.heard: list[Heard] = []
        self._stored = stored
        self._talks: dict[str, Conversation] = {}

    def add(self, conversation: Conversation, part: Part, person_id: str, promised: Sequence[Ref]) -> None:
        """Notes a part, and the conversation as it is with it."""
        self._talks[conversation.id] = conversation
        self.heard.append(Heard(conversation, part, person_id, promised))

    def has(self, part_id: str) -> bool:
        """Whether a part of this id is to be written."""
        return any(each.part.id == part_id for each in self.heard)

    def write(self, connection: Connection) -> None:
        """Writes it all."""
        fresh = [each for each in self._talks.values() if each.id not in self._stored]
        conversations.insert(connection, fresh)
        conversations.save(connection, *(each for each in self._talks.values() if each.id in self._stored))
        parts.insert(connection, *(each.part for each in self.heard))


class _Listener:
    """One person's conversations, locked, as they grow."""

    def __init__(
        self,
        connection: Connection,
        person_id: str,
        members: Sequence[str],
        talks: Iterable[Conversation],
        promises: Promises,
        ledger: _Ledger,
    ) -> None:
        self.connection = connection
        self.person_id = person_id
        self.members = members
        self.found = sorted(talks, key=lambda each: (each.last_at, each.id), reverse=True)[:MOST]
        self.promises = promises
        self.ledger = ledger

    def take(self, spoken: Sequence[Spoken], known: Container[str]) -> None:
        """Adds what was said, what is `known` excepted."""
        for each in spoken:
            if each.event.message_id not in known:
                self._take(each)

    def _take(self, spoken: Spoken) -> None:
        event = spoken.event
        if event.name == RATED:
            self._rate(spoken)
            return
        said = text_of(event.properties)
        sent = _attached(event)
        found = attachments.bind(self.connection, self.members, sent, event.message_id) if sent else []
        attached = [told_of(each) for each in found]
        if not said and not attached:
            return
        message = self._answered(event) if event.name == REPLIED else None
        conversation = self._going_on(event, message) or self._begun(spoken, message)
        if message is not None:
            conversation = self._quote(conversation, message)
        channel, content = _by_mail(event)
        if message is not None:
            channel = message.channel
        if attached:
            content["attachments"] = attached
        self._add(
            conversation,
            Said(
                id=event.message_id,
                author="visitor",
                author_id=spoken.home,
                text=said,
                at=event.timestamp,
                channel=channel,
                content=content,
            ),
        )

    def _answered(self, event: Event) -> Message | None:
        """The message on the site that is replied to; None where it is none of this person's."""
        told = event.properties.get("message_id")
        if not isinstance(told, str):
            return None
        found = messages.among(self.connection, self.members, [told])
        return found[0] if found and found[0].channel in ON_SITE else None

    def _going_on(self, event: Event, message: Message | None) -> Conversation | None:
        message_id = message.id if message is not None else None
        return chosen(
            self.found, event.properties.get("conversation_id"), message_id, event.anonymous_id, proven=event.signed
        )

    def _begun(self, spoken: Spoken, message: Message | None) -> Conversation:
        event = spoken.event
        return Conversation(
            id=conversation_id(spoken.site_id, event.message_id),
            site_id=spoken.site_id,
            visitor_id=spoken.home,
            opened_by="visitor" if message is None else "rule",
            created_at=event.timestamp,
            last_at=event.timestamp,
            anonymous_id=event.anonymous_id,
            message_id=message.id if message is not None else None,
        )

    def _quote(self, conversation: Conversation, message: Message) -> Conversation:
        """The conversation with the message that is answered, as what leads to the answer."""
        if self.ledger.has(message.id):
            return conversation
        if parts.find(self.connection, conversation.visitor_id, message.id) is not None:
            return conversation
        said = Said(
            id=message.id,
            author="rule",
            author_id=message.rule_id,
            text=str(message.content.get("body") or ""),
            at=message.shown_at or message.created_at,
            channel=message.channel,
            content=dict(message.content),
        )
        return self._add(conversation, said)

    def _rate(self, spoken: Spoken) -> None:
        event = spoken.event
        told, rating = event.properties.get("conversation_id"), event.properties.get("rating")
        found = next((each for each in self.found if each.id == told), None)
        if found is None or type(rating) is not int or rating not in RATINGS:
            return
        remark = text_of(event.properties) or None
        rated = replace(found, rating=rating, remark=remark)
        content = {"event": "rated", "rating": rating}
        said = Said(
            id=event.message_id,
            author="visitor",
            author_id=spoken.home,
            kind="event",
            text=remark or "",
            at=event.timestamp,
            content=content,
        )
        self._add(rated, said)

    def _add(self, conversation: Conversation, said: Said) -> Conversation:
        part = numbered(conversation, said)
        after = having(conversation, part)
        self.found = [after, *(each for each in self.found if each.id != after.id)]
        self.ledger.add(after, part, self.person_id, self.promises.take(conversation, after, part))
        return after


def _by_mail(event: Event) -> tuple[str, dict[str, Any]]:
    """The channel by which it came, and what a mail has beside its text: told by ourselves only, never by a page."""
    if event.type != SIGNAL or event.properties.get("channel") != "email":
        return "chat", {}
    return "email", {
        name: event.properties[name] for name in ("mail_id", "refused", "from") if name in event.properties
    }


def _attached(event: Event) -> list[str]:
    """The ids of what was uploaded with it."""
    told = event.properties.get("attachments")
    return [each for each in told if isinstance(each, str)][:MOST_IN_A_PART] if isinstance(told, list) else []
