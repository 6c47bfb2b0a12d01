"""Did it help? A goal that is reached is put down to the latest message before it that counts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from backend.domain.attention import Contact, Contacts
from backend.domain.cart import money
from backend.domain.condition.fields import dig_event
from backend.domain.event import Event
from backend.domain.purchase import order_value
from backend.domain.rule.compiled import CompiledGoal


def goal_value(event: Event, goal: CompiledGoal) -> Decimal:
    """What reaching the goal was worth; 0 where the event does not say."""
    if goal.value is None:
        return order_value(event.properties)
    return money(dig_event(event, goal.value)) or Decimal(0)


def with_goal(contacts: Contacts, rule_id: str, goal: CompiledGoal, at: datetime, value: Decimal) -> Contacts:
    """The contacts after this rule's goal was reached; a contact counts its earliest goal only.

    `converted_at` goes to the latest contact for which the goal lies within the window from what the rule counts from
    (sent, shown, clicked). `goal_at`, from the decision on, is kept for a page that reports later what it showed.
    """
    contacts = _put(contacts, rule_id, at, value, goal, "goal")
    return _put(contacts, rule_id, at, value, goal, "converted")


def still_open(goals: Mapping[str, CompiledGoal], contacts: Contacts) -> set[str]:
    """The ids of the contacts to which the goals of these rules, by rule id, may still be put down: at most one a rule.

    Asked at the moment of the latest contact, of those that are about to be forgotten. Of several messages of one rule
    the latest counts; one that was not seen until now is measured from its decision.
    """
    found: dict[str, str] = {}
    for contact in contacts:
        goal = goals.get(contact.rule_id)
        if goal is None or not contact.said:
            continue
        since = {"shown": contact.shown_at, "clicked": contact.clicked_at}.get(goal.basis) or contact.at
        if contact.converted_at is None and contacts[-1].at < since + goal.within:
            found[contact.rule_id] = contact.message_id
        else:
            found.pop(contact.rule_id, None)
    return set(found.values())


def after_report(contacts: Contacts, message_id: object, goal: CompiledGoal) -> Contacts:
    """The contacts where the page told later than the goal was reached that it had shown a message before."""
    for index, contact in enumerate(contacts):
        if contact.message_id != message_id:
            continue
        if contact.converted_at is None and contact.goal_at is not None and _within(contact, contact.goal_at, goal):
            changed = replace(contact, converted_at=contact.goal_at, revenue=contact.goal_value)
            return (*contacts[:index], changed, *contacts[index + 1 :])
        break
    return contacts


def _put(contacts: Contacts, rule_id: str, at: datetime, value: Decimal, goal: CompiledGoal, kind: str) -> Contacts:
    for index in range(len(contacts) - 1, -1, -1):
        contact = contacts[index]
        if contact.rule_id != rule_id or contact.at > at:
            continue
        if kind == "goal":
            if at - contact.at >= goal.within or _before(contact.goal_at, at):
                return contacts
            changed = replace(contact, goal_at=at, goal_value=value)
        else:
            if not contact.said or not _within(contact, at, goal):
                continue  # an earlier one may have been shown
            if _before(contact.converted_at, at):
                return contacts
            changed = replace(contact, converted_at=at, revenue=value)
        return (*contacts[:index], changed, *contacts[index + 1 :])
    return contacts


def _before(known: datetime | None, at: datetime) -> bool:
    return known is not None and known <= at


def _within(contact: Contact, at: datetime, goal: CompiledGoal) -> bool:
    since: datetime | None = contact.at
    if goal.basis == "shown":
        since = contact.shown_at
    elif goal.basis == "clicked":
        since = contact.clicked_at
    return since is not None and since <= at < since + goal.within
