"""The step `hear`: what visitors say becomes parts of their conversations, in the transaction that folds their events.

So a part that the collector has accepted is kept once, and in the order in which it was said, whoever dies when.
"""

from collections.abc import Mapping, Sequence
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
        groups.setdefault(each.person_id, []).append(each)
    heard: list[Heard] = []
    promises = Promises(connection, max((each.event.received_at for each in spoken), default=LONG_AGO))
    for person_id in sorted(groups):  # in one order, so that two workers cannot wait for each other
        profile = profiles.get(person_id)
        if profile is not None:
            heard.extend(_Listener(connection, profile, promises).take(groups[person_id]))
    return heard


class _Listener:
    """One person's conversations, locked, as they grow."""

    def __init__(self, connection: Connection, profile: Profile, promises: Promises) -> None:
        self.connection = connection
        self.person_id = profile.id
        self.members = visitors.members_of(profile)
        self.found = conversations.of_visitors(connection, self.members, MOST, lock=True)
        self.heard: list[Heard] = []
        self.promises = promises

    def take(self, spoken: Sequence[Spoken]) -> list[Heard]:
        known = parts.known(self.connection, self.members, [each.event.message_id for each in spoken])
        for each in spoken:
            if each.event.message_id not in known:
                self._take(each)
        return self.heard

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
        conversations.save(self.connection, after)
        parts.insert(self.connection, part)
        self.found = [after, *(each for each in self.found if each.id != after.id)]
        promised = self.promises.take(conversation, after, part)
        self.heard.append(Heard(after, part, self.person_id, promised))
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
