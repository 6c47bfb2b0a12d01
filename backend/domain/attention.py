"""What was said to this person already, and what came of it: caps, goals and tallies are read from these contacts."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain.answer import Answers
from backend.domain.event import Event

CONTACT_LIMIT = 100
"""Contacts remembered for one person, the latest ones, and beside them those that a cap, a goal or a wish still needs.

What pages report of others is counted by the messages' own rows: `pipeline/recall`.
"""

SLACK = 20
"""So many more may gather before the oldest are forgotten: forgetting looks at all of them."""

HELD_OUT = "holdout"
GLOBALLY_HELD_OUT = "global_holdout"
"""Variants of those who got nothing, for comparison: of one rule, or of the whole site."""

FEEDBACK = {
    "Message Shown": "shown_at",
    "Message Clicked": "clicked_at",
    "Message Dismissed": "dismissed_at",
    "Message Replied": "replied_at",
    "Message Answered": "replied_at",
}
"""What the page reports of a message, and where the moment is noted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """One message said to a person, or held back for comparison; `at` is the moment of the decision.

    Where a message that no page showed goes on by another channel, that is the moment of that. `message_id` is the
    message's, or the enrolment's where it was held back. `page` is the path at which the person was then. `goal_at` is
    when the rule's goal was reached after the decision, `converted_at` when after what the rule counts from. `never`:
    they asked not to be told such things again. `answers` are those that it offered.
    """

    message_id: str
    rule_id: str
    step: str
    channel: str
    category: str
    variant: str
    at: datetime
    page: str | None = None
    shown_at: datetime | None = None
    clicked_at: datetime | None = None
    dismissed_at: datetime | None = None
    replied_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    converted_at: datetime | None = None
    revenue: Decimal | None = None
    goal_at: datetime | None = None
    goal_value: Decimal | None = None
    never: bool = False
    answers: Answers | None = None

    @property
    def said(self) -> bool:
        """Whether something was said: False for those held out."""
        return self.variant not in {HELD_OUT, GLOBALLY_HELD_OUT}


Contacts = tuple[Contact, ...]


def with_contact(contacts: Contacts, contact: Contact) -> Contacts:
    """The contacts with one more, in order of time."""
    if contacts and contact.at < contacts[-1].at:
        return tuple(sorted((*contacts, contact), key=_moment))
    return (*contacts, contact)


def forgetting(contacts: Contacts, needed: Callable[[Contacts], Collection[str]]) -> tuple[Contacts, Contacts]:
    """The contacts that stay in memory, and those that are forgotten: the oldest, once there are too many.

    `needed` tells the ids of those that must stay, whatever their age.
    """
    if len(contacts) <= CONTACT_LIMIT + SLACK:
        return contacts, ()
    older, latest = contacts[:-CONTACT_LIMIT], contacts[-CONTACT_LIMIT:]
    asked = needed(contacts)
    stays = [each.never or each.message_id in asked for each in older]
    kept = tuple(each for each, stay in zip(older, stays, strict=True) if stay)
    return (*kept, *latest), tuple(each for each, stay in zip(older, stays, strict=True) if not stay)


def with_feedback(contacts: Contacts, event: Event) -> Contacts:
    """The contacts after the page reported what became of a message; the earliest report of each kind counts."""
    message_id = event.properties.get("message_id")
    name = FEEDBACK[event.name]
    for index, contact in enumerate(contacts):
        if contact.message_id == message_id and contact.said:
            known: datetime | None = getattr(contact, name)
            moment = event.timestamp if known is None else min(known, event.timestamp)
            never = contact.never or (name == "dismissed_at" and event.properties.get("never") is True)
            told: dict[str, Any] = {name: moment, "never": never}
            changed = replace(contact, **told)
            if changed.shown_at is None or changed.shown_at > moment:
                changed = replace(changed, shown_at=moment)  # who clicked has seen it
            return (*contacts[:index], changed, *contacts[index + 1 :])
    return contacts


def answered(contacts: Contacts, event: Event) -> tuple[str, Any] | None:
    """Which trait an answer sets, and to what; None for an answer that no message to this person offered.

    Only the message that was sent says so: the page reports the value alone, and whatever else it claims is not read.
    """
    message_id = event.properties.get("message_id")
    for contact in contacts:
        if contact.message_id == message_id and contact.answers is not None:
            value = contact.answers.chosen(event.properties.get("value"))
            return None if value is None else (contact.answers.trait, value)
    return None


def with_unsubscribed(contacts: Contacts, moment: datetime) -> Contacts:
    """The contacts after the person took their leave: it is put down to the latest mail before, else the latest at all.

    Mail is what people unsubscribe from.
    """
    before = [index for index, each in enumerate(contacts) if each.said and each.at <= moment]
    mails = [index for index in before if contacts[index].channel == "email"]
    if not before:
        return contacts
    index = (mails or before)[-1]
    contact = contacts[index]
    if contact.unsubscribed_at is not None and contact.unsubscribed_at <= moment:
        return contacts
    return (*contacts[:index], replace(contact, unsubscribed_at=moment), *contacts[index + 1 :])


def merged(a: Contacts, b: Contacts) -> Contacts:
    """The contacts of two profiles that turn out to be one person; too many are forgotten with the next one."""
    joined: dict[str, Contact] = {}
    for contact in (*a, *b):
        same = joined.get(contact.message_id)
        joined[contact.message_id] = contact if same is None else _joined(same, contact)
    return tuple(sorted(joined.values(), key=_moment))


def _joined(a: Contact, b: Contact) -> Contact:
    """One contact that both sides know: the earliest of each moment."""
    moments: dict[str, Any] = {
        name: min((each for each in (getattr(a, name), getattr(b, name)) if each is not None), default=None)
        for name in (
            "shown_at",
            "clicked_at",
            "dismissed_at",
            "replied_at",
            "unsubscribed_at",
            "converted_at",
            "goal_at",
        )
    }
    moments["revenue"] = a.revenue if a.revenue is not None else b.revenue
    moments["goal_value"] = a.goal_value if a.goal_value is not None else b.goal_value
    return replace(a, **moments, never=a.never or b.never)


def said(contacts: Iterable[Contact]) -> list[Contact]:
    """Those that were said, without those held out."""
    return [contact for contact in contacts if contact.said]


def _moment(contact: Contact) -> datetime:
    return contact.at
