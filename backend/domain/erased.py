"""Whom has a site promised to forget? Which names an event carries, and whether it may bring somebody back.

The rule: nothing that happened up to the erasure takes effect after it, under whatever name of the erased it comes.
What happened later does not either, as long as it merely carries an erased id. But a person may come back of their own
accord: an `identify` (or `alias`) with a user id that happened after the erasure, and was never sent before, lifts the
erasure of the ids that it names; from then on they are those of somebody new. A new browser is somebody new anyway.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.domain.event import SIGNAL, Event
from backend.domain.identifier import CONTACTS, FORM_FIELDS, NOTED, Reading, as_known
from backend.domain.trait import CHANGED

ANONYMOUS, USER, EMAIL, PHONE, MESSAGE, VISITOR = "anonymous", "user", "email", "phone", "message", "visitor"
RETURNING = ("identify", "alias")

Name = tuple[str, str]
"""A kind and a value."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A name was erased at this moment; `lifted` since its person came back."""

    erased_at: datetime
    lifted: bool = False


_AS_PHONE = frozenset({"phone", "whatsapp", "viber"})
_SUBSCRIBING = frozenset({"Unsubscribed", "Subscribed"})
_NUMBER = re.compile(r"(?=(?:\D*\d){6})[\d\s()./+-]{6,40}")


def contact_names(kind: str, value: str, reading: Reading) -> set[Name]:
    """An address in the spellings under which it is remembered: as the site reads it, and nearly as it was written.

    Both, since a site may read otherwise tomorrow: numbers without a country are those of its region. What names
    nobody, such as `test@test.com`, is nobody's name.
    """
    if not value.strip() or reading.names_nobody(value):
        return set()
    known = as_known(kind, value, reading.region)
    written = unicodedata.normalize("NFC", value.strip()).lower()[:255]
    if kind in _AS_PHONE:
        kind = PHONE  # the same number leads to the same person, by whatever way
        digits = re.sub(r"[^\d+]", "", written)
        written = f"+{digits[2:]}" if digits.startswith("00") else digits
    return {(kind, each) for each in (known, written) if each}


def guesses(text: str, reading: Reading) -> set[Name]:
    """Every name that this text could be, whatever it stands for."""
    typed = text.strip()
    if not typed:
        return set()
    found = {(kind, each) for kind in (USER, ANONYMOUS, MESSAGE) for each in (text, typed)}
    if "@" in typed:
        found |= contact_names(EMAIL, typed, reading)
    if _NUMBER.fullmatch(typed):
        found |= contact_names(PHONE, typed, reading)
    if typed.startswith("@") or "t.me/" in typed:
        found |= contact_names("telegram", typed, reading)
    return found


def ids_of(event: Event) -> list[Name]:
    """The ids by which an event names its person."""
    found = [] if event.user_id is None else [(USER, event.user_id)]
    if event.anonymous_id is not None:
        found.append((ANONYMOUS, event.anonymous_id))
    if event.type == "alias" and event.previous_id is not None:
        found.append((ANONYMOUS, event.previous_id))
    return found


def contacts_of(event: Event, reading: Reading) -> set[Name]:
    """The addresses and numbers of the person that an event tells."""
    properties = event.properties
    told = [event.traits, event.context.get("traits"), properties if event.name == CHANGED else None]
    found: list[tuple[Any, Any]] = [pair for traits in told if isinstance(traits, Mapping) for pair in _among(traits)]
    if event.name == "Form Field Filled":
        field = properties.get("field")
        kind = FORM_FIELDS.get(field.lower()) if isinstance(field, str) else None
        found.append((kind, properties.get("value")))
    elif event.name == NOTED and event.type == SIGNAL:
        found.append((properties.get("kind"), properties.get("value")))
    elif event.name in _SUBSCRIBING:
        found.append((EMAIL, properties.get("email")))
    return {
        name
        for kind, value in found
        if kind in CONTACTS and isinstance(value, str)
        for name in contact_names(kind, value, reading)
    }


def told_by(traits: Mapping[str, Any], reading: Reading) -> set[Name]:
    """The addresses and numbers among somebody's traits."""
    return {name for kind, value in _among(traits) for name in contact_names(kind, value, reading)}


def names_of(event: Event, reading: Reading) -> set[Name]:
    """Everything in an event by which somebody erased might be known."""
    return {*ids_of(event), *contacts_of(event, reading), (MESSAGE, event.message_id)}


def _among(traits: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The addresses among traits, also those that operations set."""
    for kind in CONTACTS:
        value = traits.get(kind)
        if isinstance(value, str):
            yield kind, value
    for operation in ("$set", "$set_once"):
        within = traits.get(operation)
        if isinstance(within, Mapping):
            yield from ((kind, each) for kind in CONTACTS if isinstance(each := within.get(kind), str))


def admitted(
    event: Event, stones: Mapping[Name, Tombstone], reading: Reading, *, of_another: bool
) -> list[Name] | None:
    """The names whose erasure this event lifts, mostly none; None where it must not take effect.

    `of_another`: its user id is that of somebody who is known, and on whose device an erased one was.
    """
    if (MESSAGE, event.message_id) in stones:
        return None
    ids = ids_of(event)
    own = ids[:1] if of_another else [*ids, *contacts_of(event, reading)]
    if any(event.timestamp <= stones[name].erased_at for name in own if name in stones):
        return None
    closed = [name for name in ids if name in stones and not stones[name].lifted]
    if not closed:
        return []
    if event.type in RETURNING and event.user_id is not None:
        return [name for name in closed if event.timestamp > stones[name].erased_at]
    return [] if of_another and closed[0] != ids[0] else None
