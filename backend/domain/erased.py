"""Whom has a site promised to forget? Which names an event carries, and whether it may bring somebody back.

The rule: nothing that happened up to the erasure takes effect after it, under whatever name of the erased it comes.
What happened later does not either, as long as it merely carries an erased id. But a person may come back of their own
accord: an `identify` (or `alias`) with a user id that happened after the erasure, and was never sent before, lifts the
erasure of the ids that it names; from then on they are those of somebody new. A new browser is somebody new anyway.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.event import Event
from backend.domain.identifier import FORM_FIELDS

ANONYMOUS, USER, EMAIL, PHONE, MESSAGE, VISITOR = "anonymous", "user", "email", "phone", "message", "visitor"
RETURNING = ("identify", "alias")

Name = tuple[str, str]
"""A kind and a value."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A name was erased at this moment; `lifted` since its person came back."""

    erased_at: datetime
    lifted: bool = False


def name_of(kind: str, value: str) -> Name:
    """A name in the one spelling under which it is remembered."""
    if kind == EMAIL:
        return kind, value.strip().lower()[:255]
    if kind == PHONE:
        return kind, re.sub(r"[^\d+]", "", value)[:255]
    return kind, value


def ids_of(event: Event) -> list[Name]:
    """The ids by which an event names its person."""
    found = [] if event.user_id is None else [(USER, event.user_id)]
    if event.anonymous_id is not None:
        found.append((ANONYMOUS, event.anonymous_id))
    if event.type == "alias" and event.previous_id is not None:
        found.append((ANONYMOUS, event.previous_id))
    return found


def contacts_of(event: Event) -> list[Name]:
    """The addresses and numbers of the person that an event tells."""
    found: list[Name] = []
    for traits in (event.traits, event.context.get("traits")):
        if isinstance(traits, Mapping):
            found.extend(name_of(kind, traits[kind]) for kind in (EMAIL, PHONE) if isinstance(traits.get(kind), str))
    if event.name == "Form Field Filled":
        field, value = event.properties.get("field"), event.properties.get("value")
        kind = FORM_FIELDS.get(field.lower()) if isinstance(field, str) else None
        if kind is not None and isinstance(value, str):
            found.append(name_of(kind, value))
    return [each for each in found if each[1]]


def names_of(event: Event) -> list[Name]:
    """Everything in an event by which somebody erased might be known."""
    return [*ids_of(event), *contacts_of(event), (MESSAGE, event.message_id)]


def admitted(event: Event, stones: Mapping[Name, Tombstone], *, of_another: bool) -> list[Name] | None:
    """The names whose erasure this event lifts, mostly none; None where it must not take effect.

    `of_another`: its user id is that of somebody who is known, and on whose device an erased one was.
    """
    if (MESSAGE, event.message_id) in stones:
        return None
    ids = ids_of(event)
    own = ids[:1] if of_another else [*ids, *contacts_of(event)]
    if any(event.timestamp <= stones[name].erased_at for name in own if name in stones):
        return None
    closed = [name for name in ids if name in stones and not stones[name].lifted]
    if not closed:
        return []
    if event.type in RETURNING and event.user_id is not None:
        return [name for name in closed if event.timestamp > stones[name].erased_at]
    return [] if of_another and closed[0] != ids[0] else None


def told_by(traits: Mapping[str, Any]) -> list[Name]:
    """The addresses and numbers among somebody's traits."""
    return [name_of(kind, value) for kind in (EMAIL, PHONE) if isinstance(value := traits.get(kind), str) and value]
