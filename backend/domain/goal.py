"""Did it help? A goal that is reached is put down to the latest message before it, or to the lack of one."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from backend.domain.attention import Contact, Contacts
from backend.domain.cart import money
from backend.domain.condition import Moment
from backend.domain.condition.fields import dig_event
from backend.domain.event import Event
from backend.domain.fold import order_value
from backend.domain.rule.compiled import CompiledGoal, CompiledRule


def with_goals(contacts: Contacts, event: Event, rules: Iterable[CompiledRule], moment: Moment) -> Contacts:
    """The contacts after this event, which may be the goal of these rules.

    A contact counts its first goal only. `goal_at` counts from the decision, for those who got nothing too: by it the
    two are compared, as they were dealt out. `converted_at` counts from what the rule says (sent, shown, clicked).
    """
    for rule in rules:
        goal = rule.goal
        if goal is not None and any(each.rule_id == rule.id for each in contacts) and goal.where(moment):
            contacts = _reached(contacts, event, rule.id, goal)
    return contacts


def _reached(contacts: Contacts, event: Event, rule_id: str, goal: CompiledGoal) -> Contacts:
    for index in range(len(contacts) - 1, -1, -1):
        contact = contacts[index]
        if contact.rule_id != rule_id or contact.at > event.timestamp:
            continue
        if event.timestamp - contact.at >= goal.within and not _within(contact, event, goal):
            return contacts
        changes: dict[str, Any] = {}
        if contact.goal_at is None and event.timestamp - contact.at < goal.within:
            changes |= {"goal_at": event.timestamp, "goal_value": _value(event, goal)}
        if contact.converted_at is None and _within(contact, event, goal):
            changes |= {"converted_at": event.timestamp, "revenue": _value(event, goal)}
        if not changes:
            return contacts
        return (*contacts[:index], replace(contact, **changes), *contacts[index + 1 :])
    return contacts


def _within(contact: Contact, event: Event, goal: CompiledGoal) -> bool:
    since: datetime | None = contact.at
    if contact.said and goal.basis == "shown":
        since = contact.shown_at
    elif contact.said and goal.basis == "clicked":
        since = contact.clicked_at
    return since is not None and since <= event.timestamp < since + goal.within


def _value(event: Event, goal: CompiledGoal) -> Decimal:
    if goal.value is None:
        return order_value(event.properties)
    return money(dig_event(event, goal.value)) or Decimal(0)
